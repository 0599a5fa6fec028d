"""VMAF, where there is an ffmpeg with the filter libvmaf.

Z. Li et al., "Toward A Practical Perceptual Video Quality Metric", Netflix Technology Blog, 2016. The model is the
default one of libvmaf, for a television in full HD.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_upscale.errors import EngineError
from esr_workbench.ffmpeg import check_filter, run_ffmpeg

GRAY = 128


def check_vmaf() -> None:
    """Raise EngineError when there is no ffmpeg with the filter libvmaf."""
    check_filter("libvmaf")


def vmaf(clip: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Return the mean VMAF of luma frames (N, H, W) against the true ones, 0 to 100.

    Raises:
        EngineError: ffmpeg failed.
    """
    height, width = truth.shape[1:]
    with TemporaryDirectory() as name:
        folder, inputs = Path(name), []
        for file, frames in (("clip.yuv", clip), ("truth.yuv", truth)):
            # libvmaf takes no gray; it looks at luma alone.
            rows, columns = frames.shape[1:]
            chroma = np.full(2 * ((rows + 1) // 2) * ((columns + 1) // 2), GRAY, np.uint8).tobytes()
            (folder / file).write_bytes(b"".join(frame.tobytes() + chroma for frame in frames))
            inputs += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}", "-i", file]
        graph = "[0:v][1:v]libvmaf=log_fmt=json:log_path=vmaf.json"
        result = run_ffmpeg([*inputs, "-lavfi", graph, "-f", "null", "-"], folder=folder)
        if result.exit_code:
            raise EngineError(f"ffmpeg's filter libvmaf failed: {result.reason}")
        report: dict[str, Any] = json.loads((folder / "vmaf.json").read_text(encoding="utf-8"))
    return float(report["pooled_metrics"]["vmaf"]["mean"])
