"""The systemd unit: closed as far as the server allows, and no further."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from esr_api.address import parse_address

UNIT = Path(__file__).parent.parent.parent / "deploy" / "esr-serve.service"
ANALYZE = shutil.which("systemd-analyze")


def _service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)  # an option may be given twice
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(UNIT)
    return parser["Service"]


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze, of the Debian package systemd")
def test_exposure_is_two_at_most() -> None:
    assert ANALYZE is not None
    command = (ANALYZE, "security", "--offline=true", "--threshold=20", "--no-pager", str(UNIT))
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    level = re.search(r"Overall exposure level for esr-serve.service: ([0-9.]+)", result.stdout)
    assert level is not None
    assert float(level[1]) <= 2.0


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("DynamicUser", "clients could not run as the same user"),
        ("PrivateUsers", "another user namespace may not open /proc/PID/fd of ours"),
        ("ProtectProc", "clients' processes would be hidden"),
        ("PrivatePIDs", "clients' processes would be hidden"),
        ("MemoryDenyWriteExecute", "Halide compiles into memory that it then runs"),
    ],
)
def test_what_the_server_needs_is_not_closed(option: str, why: str) -> None:
    assert _service().get(option, "no") == "no", why


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze, of the Debian package systemd")
@pytest.mark.parametrize("call", ["mbind", "sched_setscheduler", "setpriority", "memfd_create", "sched_getaffinity"])
def test_the_filter_passes_codecs_and_kernels(call: str) -> None:
    lines = re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE)
    names = [set(line.removeprefix("~").split()) for line in lines]
    (allow_list,) = (_calls(groups) for line, groups in zip(lines, names, strict=True) if not line.startswith("~"))
    (deny_list,) = (_calls(groups) for line, groups in zip(lines, names, strict=True) if line.startswith("~"))
    assert call in allow_list - deny_list


def _calls(groups: set[str]) -> set[str]:
    """The system calls of some groups, and of the groups in them."""
    assert ANALYZE is not None
    command = (ANALYZE, "syscall-filter", "--no-pager", *groups)
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    lines = (line.strip() for line in result.stdout.splitlines() if line.startswith("    "))
    names = {line for line in lines if not line.startswith("#")}
    inner = {name for name in names if name.startswith("@")} - groups
    return names - inner | (_calls(inner) if inner else set())


def test_shared_memory_has_a_user_and_a_socket_folder() -> None:
    service = _service()
    assert service["User"] == "edge-sr"
    words = service["ExecStart"].split()
    addresses = [parse_address(words[i + 1]) for i, word in enumerate(words) if word == "--listen"]
    folders = {str(Path(address.path).parent) for address in addresses if address.path}
    assert folders == {f"/run/{service['RuntimeDirectory']}"}
    assert all(address.is_local for address in addresses)


def test_stopping_waits_for_the_grace() -> None:
    service = _service()
    grace = re.search(r"--grace (\d+)", service["ExecStart"])
    assert grace is not None
    assert int(service["TimeoutStopSec"]) > int(grace[1])
