"""Pages that messages lay in: kept while streams run, given back afterwards. Each case has a process of its own."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

# Blocks of 3 MB, as upscaled 1080p frames, come and go some at a time; then many are free at once.
SCRIPT = """
import json, resource, sys
from esr_server import malloc

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

if sys.argv[1] == "keep":
    malloc.keep_freed_pages()
def frame():
    return [bytearray(3_000_000) for _ in range(4)]

for _ in range(3):
    frame()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    frame()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
many = [bytearray(3_000_000) for _ in range(30)]
del many
peak = resident()
malloc.give_back()
print(json.dumps([faults, peak, resident()]))
"""


def _run(how: str) -> tuple[int, int, int]:
    result = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    faults, before_bytes, after_bytes = json.loads(result.stdout)
    return faults, before_bytes, after_bytes


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_pages_are_kept_until_given_back() -> None:
    faults, before_bytes, after_bytes = _run("keep")
    assert faults < _run("as it is")[0] / 10
    assert before_bytes - after_bytes > 50_000_000
