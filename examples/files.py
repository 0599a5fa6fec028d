"""Upscale a file: `python examples/files.py in.mp4 out.mp4`."""

import sys

import esr_client
from esr_client.files import FileSettings, upscale_file

if len(sys.argv) != 3:
    sys.exit(__doc__)
source, out = sys.argv[1:]
with esr_client.connect() as client:
    report = upscale_file(
        client,
        source,
        out,
        FileSettings(overwrite=True),
        progress=lambda state: print(f"\r{state.frames} of {state.total} frames", end=""),
    )
print(f"\n{report.size[0]}x{report.size[1]}, {report.frames} frames in {report.elapsed_s:.1f} s")
