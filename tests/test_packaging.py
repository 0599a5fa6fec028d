"""What a wheel holds: every module and every file that lies in a package."""

from __future__ import annotations

import ast
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


def test_the_client_alone_has_all_that_it_imports() -> None:
    client = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {name: (ROOT / "client" / folder).resolve() for name, folder in client["package-dir"].items()}
    packages = {
        ".".join(path.parent.relative_to(folder.parent).parts)
        for folder in folders.values()
        for path in folder.rglob("__init__.py")
    }
    assert packages == set(client["packages"])
    assert folders.keys() == client["package-data"].keys()
    imported = {
        module.partition(".")[0]
        for folder in folders.values()
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for module in imported_modules(node)
    }
    assert {name for name in imported if name in PACKAGES} <= folders.keys()


def imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
