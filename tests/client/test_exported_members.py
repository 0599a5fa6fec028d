"""What the package exports is listed, sorted, and does not pull in what is not needed."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import metadata
from types import FunctionType, ModuleType

import pytest

import esr_client


def test_all_is_complete() -> None:
    public = {
        name
        for name, value in vars(esr_client).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert esr_client.__all__[0] == "connect"
    assert len(set(esr_client.__all__)) == len(esr_client.__all__)
    assert set(esr_client.__all__) == public


def test_names_are_those_that_users_import() -> None:
    for name in esr_client.__all__:
        assert getattr(esr_client, name).__module__ == "esr_client", name


@pytest.mark.parametrize("name", [name for name in esr_client.__all__ if inspect.isclass(getattr(esr_client, name))])
def test_public_members_have_docstrings(name: str) -> None:
    """What `help` shows of each method and property."""
    exported = getattr(esr_client, name)
    own = {
        member: getattr(exported, member)
        for base in exported.__mro__
        if base.__module__.partition(".")[0] == "esr_client"
        for member, value in vars(base).items()
        if not member.startswith("_") and isinstance(value, FunctionType | classmethod | staticmethod | property)
    }
    assert inspect.getdoc(exported)
    assert [member for member, value in own.items() if not inspect.getdoc(value)] == []


def test_version_is_that_of_the_package() -> None:
    assert esr_client.__version__ == metadata.version("edge-sr")
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        esr_client.nonesuch  # noqa: B018


def test_import_loads_neither_av_nor_the_server() -> None:
    code = "import esr_client, sys; print({'av', 'esr_upscale', 'esr_server', 'typer', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
