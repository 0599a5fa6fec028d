"""What the package exports is listed, sorted, and does not pull in what is not needed."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import esr_client


def test_all_is_sorted_and_complete() -> None:
    public = {
        name
        for name, value in vars(esr_client).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert esr_client.__all__ == sorted(esr_client.__all__)
    assert set(esr_client.__all__) == public


def test_each_private_module_says_what_it_gives() -> None:
    for name in esr_client.__all__:
        value = getattr(esr_client, name)
        module = sys.modules[value.__module__]
        assert name in module.__all__, f"{module.__name__} does not list {name}"


def test_importing_it_imports_neither_av_nor_the_server() -> None:
    code = "import esr_client, sys; print({'av', 'esr_upscale', 'esr_server', 'typer', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
