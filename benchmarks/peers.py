"""What else could upscale a luma plane: other engines for the same networks, and other bicubics.

A network's peers are given what suits them, float32 in [0, 1], and need not round or lay out code values; the fused
kernel is timed from uint8 to uint8. `make` of a peer gives what is timed, or raises AbsentError with the reason.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import av
import cv2
import numpy as np
import onnxruntime
import openvino
import torch
from numpy.typing import NDArray

from esr_upscale import nets
from esr_upscale.backends.halide import kernel as fused
from esr_upscale.models import ModelSpec, load_weights
from esr_workbench.model_files.onnx_file import export_onnx

Plane: TypeAlias = NDArray[np.uint8]
Run: TypeAlias = Callable[[], object]


class AbsentError(Exception):
    """The peer cannot run this model here; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to upscale a plane."""

    name: str
    make: Callable[[ModelSpec, Plane, int], Run]
    """From model, plane and threads: what upscales the plane once."""


def _unit(plane: Plane) -> NDArray[np.float32]:
    return plane.astype(np.float32)[None, None] / np.float32(255)


def _fused(spec: ModelSpec, plane: Plane, threads: int) -> Run:
    kernel = fused.plan(spec, load_weights(spec), 8, threads)
    assert kernel is not None
    return lambda: kernel(plane)


def _torch(spec: ModelSpec, plane: Plane, threads: int) -> Run:
    module, x = nets.build_module(spec, load_weights(spec)).eval(), torch.from_numpy(_unit(plane))
    return _in_torch(module, x, threads)


def _torch_compile(spec: ModelSpec, plane: Plane, threads: int) -> Run:
    module = nets.build_module(spec, load_weights(spec)).eval()
    run = _in_torch(torch.compile(module), torch.from_numpy(_unit(plane)), threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
    except Exception as error:  # Inductor has no common base of what it raises
        raise AbsentError(f"torch.compile: {type(error).__name__}") from error
    return run


def _in_torch(module: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, threads: int) -> Run:
    def run() -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return module(x)

    return run


def _onnx(spec: ModelSpec, run: Callable[[Path], Run]) -> Run:
    with tempfile.TemporaryDirectory() as directory:
        return run(export_onnx(spec, load_weights(spec), "CC0-1.0", Path(directory) / "model.onnx", 18))


def _onnxruntime(spec: ModelSpec, plane: Plane, threads: int) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads

    def make(path: Path) -> Run:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        inputs = {"luma": _unit(plane)}
        return lambda: session.run(None, inputs)

    return _onnx(spec, make)


def _openvino(spec: ModelSpec, plane: Plane, threads: int) -> Run:
    def make(path: Path) -> Run:
        core = openvino.Core()
        model = core.read_model(path)
        model.reshape([1, 1, *plane.shape])
        # Left to itself it takes bfloat16 where the processor has it, and is 10 to 130 code values off.
        config = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = core.compile_model(model, "CPU", config).create_infer_request()
        luma = _unit(plane)
        return lambda: request.infer([luma], share_inputs=True, share_outputs=True)

    return _onnx(spec, make)


def _opencv_dnn(spec: ModelSpec, plane: Plane, threads: int) -> Run:
    def make(path: Path) -> Run:
        try:
            net = cv2.dnn.readNetFromONNX(str(path))
            net.setInput(_unit(plane))
            net.forward()
        except cv2.error as error:
            raise AbsentError(f"OpenCV's dnn: {str(error).strip().splitlines()[0][:80]}") from error

        def run() -> object:
            cv2.setNumThreads(threads)
            net.setInput(_unit(plane))
            return net.forward()

        return run

    return _onnx(spec, make)


def _swscale(spec: ModelSpec, plane: Plane, threads: int) -> Run:
    return swscale(av.VideoFrame.from_ndarray(plane, "gray"), spec.scale, threads)


def swscale(frame: av.VideoFrame, scale: int, threads: int) -> Run:
    """FFmpeg's bicubic on a whole frame, in its own format."""
    reformatter = av.video.reformatter.VideoReformatter()
    width, height, interpolation = frame.width * scale, frame.height * scale, av.video.reformatter.Interpolation.BICUBIC
    return lambda: reformatter.reformat(frame, width, height, interpolation=interpolation, threads=threads)


def _opencv(interpolation: int) -> Callable[[ModelSpec, Plane, int], Run]:
    def make(spec: ModelSpec, plane: Plane, threads: int) -> Run:
        def run() -> object:
            cv2.setNumThreads(threads)
            return cv2.resize(plane, None, fx=spec.scale, fy=spec.scale, interpolation=interpolation)

        return run

    return make


FUSED = Peer("fused", _fused)
NETWORKS = (
    Peer("torch", _torch),
    Peer("torch_compile", _torch_compile),
    Peer("onnxruntime", _onnxruntime),
    Peer("openvino", _openvino),
    Peer("opencv_dnn", _opencv_dnn),
)
"""Engines that run any of the networks."""
FILTERS = (
    Peer("swscale", _swscale),
    Peer("opencv_cubic", _opencv(cv2.INTER_CUBIC)),
    Peer("opencv_lanczos4", _opencv(cv2.INTER_LANCZOS4)),
)
"""Fixed filters, compared with bicubic and with the smallest networks."""


def quiet() -> None:
    """Keep compilers and exporters from writing between the figures."""
    for name in ("torch", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)


def sgemm(size: int, threads: int) -> tuple[Run, float]:
    """A product of two square matrices in float32 by torch's BLAS, and its 10⁹ operations."""
    a, b = torch.rand(size, size), torch.rand(size, size)

    def run() -> object:
        torch.set_num_threads(threads)
        return a @ b

    return run, 2 * size**3 / 1e9
