"""What a wheel holds: every module and every file that lies in a package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
DATA = SETUPTOOLS["package-data"]
PACKAGES = {
    path.parent.name: path.parent
    for where in SETUPTOOLS["packages"]["find"]["where"]
    for path in (ROOT / where).glob("*/__init__.py")
}


def test_packages_have_data_patterns() -> None:
    assert set(PACKAGES) == set(DATA)


@pytest.mark.parametrize("name", DATA)
def test_package_files_are_in_the_wheel(name: str) -> None:
    root = PACKAGES[name]
    files = {path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    modules = {path for path in files if path.suffix == ".py"}
    # setuptools leaves out a folder of modules without an `__init__.py`.
    assert {path.parent for path in modules} == {path.parent for path in modules if path.name == "__init__.py"}
    matched = {path for pattern in DATA[name] for path in root.glob(pattern)}
    assert files - modules <= matched
