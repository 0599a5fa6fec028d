"""What GitHub and pre-commit read: workflows, forms and hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
FORMS = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_ci_runs_the_tests_on_every_python() -> None:
    job = read(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]
    assert {"run": ".ci/run"} in job["steps"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_forms_have_what_github_wants(path: Path) -> None:
    form = read(path)
    assert form.keys() >= {"name", "description", "body"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}


def test_hooks_are_the_programs_of_the_environment() -> None:
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    programs = [hook["entry"].split()[0] for hook in repository["hooks"]]
    assert programs == [".venv/bin/ruff", ".venv/bin/ruff", ".venv/bin/mypy"]
