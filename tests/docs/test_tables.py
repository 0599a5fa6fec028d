"""Lists in the documentation that say what code has: flags, series, statuses, codecs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import typer
from grpc import StatusCode

from esr_server.__main__ import esr_serve
from esr_server.rpc import errors
from esr_server.telemetry.metrics import Metrics
from esr_upscale.media.decode import DECODERS
from esr_upscale.media.encoders import ENCODERS
from tests.docs.test_snippets import PAGES, ROOT

SERVING = (ROOT / "docs/serving.md").read_text()
REALTIME = (ROOT / "docs/realtime.md").read_text()
PROTO = (ROOT / "proto/esr_api/v1/upscaler.proto").read_text()


def test_flags_are_documented() -> None:
    application = typer.Typer(add_completion=False)
    application.command()(esr_serve)
    options = {option for parameter in typer.main.get_command(application).params for option in parameter.opts}
    unlisted = {"--exit-with-stdin", "--version"}  # of private servers, and of every program
    assert {option for option in options - unlisted if f"`{option}" not in SERVING} == set()


def test_series_are_documented() -> None:
    metrics = Metrics()
    metrics.watch_capacity(lambda: 0.0, lambda: ())
    families = [family for family in metrics.registry.collect() if family.name.startswith("esr_")]
    names = [f"{family.name}_total" if family.type == "counter" else family.name for family in families]
    assert len(names) > 15
    assert [name for name in names if f"`{name}`" not in SERVING] == []


def test_statuses_are_documented() -> None:
    codes = {code for _, code in errors._CODES} | {StatusCode.INTERNAL}
    assert {code.name for code in codes if f"`{code.name}`" not in SERVING} == set()


def test_codecs_are_documented() -> None:
    decoders, encoders = ", ".join(DECODERS), ", ".join(ENCODERS)
    assert f"allow-list: {decoders}." in PROTO
    assert f"\n{decoders}. " in SERVING
    assert f"allow-list: {encoders}." in PROTO
    assert encoders in REALTIME


def paths() -> Iterator[tuple[str, str]]:
    """Yield the files and tests that pages name, other than those with a name to fill in."""
    folders = "client|server|proto|workbench|tests|docs|deploy|examples"
    for page in PAGES:
        for match in re.finditer(rf"`((?:{folders})/[\w./-]+)(?:::(\w+))?`", page.read_text()):
            if "NAME" not in match[1]:
                yield match[1], match[2] or ""


@pytest.mark.parametrize(("path", "test"), sorted(set(paths())))
def test_paths_exist(path: str, test: str) -> None:
    assert (ROOT / path).exists()
    assert not test or f"def {test}(" in (ROOT / path).read_text()


def tables() -> Iterator[tuple[str, str]]:
    """Yield (name, file) of each sentence of CONTRIBUTING that says in which file a name is."""
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text().split())
    for match in re.finditer(r"((?:`\w+`(?:, | and | or )?)+) (?:of|in) `([\w./]+\.py)`", text):
        yield from ((name, match[2]) for name in re.findall(r"`(\w+)`", match[1]))


@pytest.mark.parametrize(("name", "path"), sorted(set(tables())))
def test_names_are_in_their_files(name: str, path: str) -> None:
    assert re.search(rf"\b{name}\b", (ROOT / path).read_text())
