"""The documentation site: it builds without a warning, and its references are complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import esr_client
import esr_client.files
from docs import reference
from esr_api.v1 import upscaler_pb2 as pb

ROOT = Path(__file__).parents[2]
PROTO = (ROOT / "proto/esr_api/v1/upscaler.proto").read_text()
SERVICE = pb.DESCRIPTOR.services_by_name["UpscalerService"]
MESSAGES = pb.DESCRIPTOR.message_types_by_name
ENUMS = pb.DESCRIPTOR.enum_types_by_name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    options = ("--quiet", "--fail-on-warning", "--keep-going", "-c", str(ROOT / "docs"), "-d", str(folder / "trees"))
    command = [sys.executable, "-m", "sphinx", *options, str(ROOT), str(folder / "html")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert result.returncode == 0, result.stderr
    return folder / "html"


def test_site_has_every_page(site: Path) -> None:
    pages = {path.relative_to(ROOT).with_suffix(".html") for path in (ROOT / "docs").glob("*.md")}
    assert [str(page) for page in pages if not (site / page).exists()] == []
    assert (site / "index.html").read_text() == (site / "README.html").read_text()


def test_sdk_reference_has_every_name(site: Path) -> None:
    page = (site / "docs/sdk.html").read_text()
    names = [f"{module.__name__}.{name}" for module in (esr_client, esr_client.files) for name in module.__all__]
    assert [name for name in names if f'id="{name}"' not in page] == []
    assert "Items that may be on their way" in page, "the docstrings of fields are missing"


def test_contract_reference_has_every_name(site: Path) -> None:
    page = (site / "docs/contract.html").read_text()
    calls = [method.name for method in SERVICE.methods]
    assert [name for name in (*calls, *MESSAGES, *ENUMS) if f'<section id="{name.lower()}">' not in page] == []


def test_entries_match_the_descriptor() -> None:
    """Each call, field and value of the compiled contract is one that the reference's parser has read."""
    read = {entry.name: [name for _, _, name, _ in entry.rows] for entry in reference.entries(PROTO)}
    assert read.pop("UpscalerService") == [method.name for method in SERVICE.methods]
    fields = {name: [each.name for each in message.fields] for name, message in MESSAGES.items()}
    values = {name: [each.name for each in enum.values] for name, enum in ENUMS.items()}
    assert {name: sorted(rows) for name, rows in read.items()} == {
        name: sorted(rows) for name, rows in (fields | values).items()
    }


def test_entries_raise_on_an_unknown_line() -> None:
    with pytest.raises(ValueError, match="does not know: reserved 4"):
        list(reference.entries("message Rational {\n  reserved 4;\n}\n"))
