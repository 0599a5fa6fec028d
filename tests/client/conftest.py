"""Fixtures of the client's tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import esr_client
from tests.client.scripted import Script, serving
from tests.support.server import running_on_thread
from tests.support.server import target as target_of


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A directory whose path is short enough for a Unix socket (107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="esr-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A real server's target."""
    with running_on_thread() as server:
        yield target_of(server)


@pytest.fixture
def script() -> Script:
    """What the scripted server will do."""
    return Script()


@pytest.fixture
def target(script: Script, socket_dir: Path) -> Iterator[str]:
    """A scripted server's target."""
    with serving(script, socket_dir) as target:
        yield target


@pytest.fixture
def client(target: str) -> Iterator[esr_client.Client]:
    """A sync client of the scripted server."""
    with esr_client.connect(target) as client:
        yield client
