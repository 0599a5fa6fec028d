"""Kernels that were compiled elsewhere, called through ctypes: for devices that have no Halide.

The library has functions `int f(halide_buffer_t *plane, …, float scalar, …, int32_t tasks, halide_buffer_t *out)`; most
have one plane and no scalar. Any number of threads may call them at once; ctypes lets go of the interpreter while one
runs. The buffer's layout is that of Halide 21's HalideRuntime.h.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from esr_upscale.backends.aot.manifest import (
    LIBRARY,
    CompiledFunction,
    chroma_name,
    find,
    read_manifest,
    rgb_luma_name,
    rgb_name,
)
from esr_upscale.backends.fused import FusedKernel
from esr_upscale.backends.layout import UNBOUNDED_TASKS, Layout
from esr_upscale.backends.packed import PackedRgb
from esr_upscale.bt601 import LUMA_DEPTH
from esr_upscale.errors import EngineError
from esr_upscale.filters import Siting
from esr_upscale.models import ModelSpec
from esr_upscale.plane_kernel import Weights, digest, threads_per_frame

UNSIGNED = 1
"""halide_type_uint."""


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Dimension(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int32) for name in ("min", "extent", "stride", "flags"))


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("device", ctypes.c_uint64),
        ("device_interface", ctypes.c_void_p),
        ("host", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("type", _Type),
        ("dimensions", ctypes.c_int32),
        ("dim", ctypes.POINTER(_Dimension)),
        ("padding", ctypes.c_void_p),
    )


def _buffer(plane: NDArray[Any]) -> _Buffer:
    # Halide's first dimension is numpy's last.
    extents = zip(reversed(plane.shape), reversed(plane.strides), strict=True)
    dims = (_Dimension * plane.ndim)(*(_Dimension(0, n, stride // plane.itemsize, 0) for n, stride in extents))
    kind = _Type(UNSIGNED, 8 * plane.itemsize, 1)
    return _Buffer(0, None, plane.__array_interface__["data"][0], 0, kind, plane.ndim, dims, None)


class HalideErrors:
    """What Halide's runtime says when it gives up; its own handler prints that and ends the process."""

    def __init__(self) -> None:
        self._local = threading.local()
        self.handler = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(self._remember)

    def _remember(self, _: int | None, message: bytes) -> None:
        self._local.message = message.decode(errors="replace").strip()

    def last(self) -> str:
        """Return the last message on this thread."""
        return getattr(self._local, "message", "no reason given")


@cache
def _errors() -> HalideErrors:
    # One for the life of the process: libraries stay loaded, and go on to call the handler they were given.
    return HalideErrors()


@dataclass(frozen=True, slots=True)
class LibraryFunction:
    """One function of a library. A NativeCode."""

    library: CompiledKernels
    entry: CompiledFunction

    @property
    def layout(self) -> Layout:
        return self.entry.layout

    def fill(
        self, rows: NDArray[Any], planes: Sequence[NDArray[Any]], scalars: Sequence[float], concurrency: int
    ) -> None:
        self.library.call(self.entry.function, planes, scalars, concurrency, rows)


class CompiledKernels:
    """A library made by `esr compile`, loaded. Safe to use from any thread."""

    def __init__(self, directory: Path, threads: int) -> None:
        """Load the library of `directory`; planes are worked on by `threads` threads.

        Raises:
            EngineError: there is no library, or it is not for this processor or this version.
        """
        self._manifest = read_manifest(directory)
        try:
            self._library = ctypes.CDLL(str((directory / LIBRARY).resolve()))
        except OSError as error:
            raise EngineError(
                f"{directory / LIBRARY} does not load here ({error}); it was made for {self._manifest.target}"
            ) from error
        self._library.halide_set_error_handler(_errors().handler)
        self._library.halide_set_num_threads(threads)
        self._threads = threads

    def plan(self, spec: ModelSpec, weights: Weights, depth: int) -> FusedKernel | None:
        """Return the kernel of a model, if it was compiled at this depth with these weights."""
        functions = (f for f in self._manifest.functions if f.weights == digest(weights))
        entry = find(functions, spec.canonical_id, depth)
        return FusedKernel(LibraryFunction(self, entry)) if entry else None

    def has_model(self, spec: ModelSpec) -> bool:
        """Return whether a network is in the library, with any weights."""
        return any(f.model == spec.canonical_id for f in self._manifest.functions)

    def plan_chroma(self, scale: int, siting_x: Siting, siting_y: Siting, depth: int) -> FusedKernel | None:
        """Return the kernel of chroma planes, if it was compiled at this depth and siting."""
        entry = find(self._manifest.functions, chroma_name(scale, siting_x, siting_y), depth)
        return FusedKernel(LibraryFunction(self, entry)) if entry else None

    def plan_rgb(self, scale: int, depth: int) -> PackedRgb | None:
        """Return the functions of packed RGB, if they were compiled for this scale and depth."""
        luma = find(self._manifest.functions, rgb_luma_name(depth), LUMA_DEPTH)
        color = find(self._manifest.functions, rgb_name(scale), depth)
        if luma is None or color is None:
            return None
        return PackedRgb(FusedKernel(LibraryFunction(self, luma)), FusedKernel(LibraryFunction(self, color)))

    def call(
        self,
        function: str,
        planes: Sequence[NDArray[Any]],
        scalars: Sequence[float],
        concurrency: int,
        result: NDArray[Any],
    ) -> None:
        """Run a function of the library on planes of its type, one of `concurrency` that share the threads."""
        tasks = threads_per_frame(self._threads, concurrency) if concurrency > 1 else UNBOUNDED_TASKS
        buffers = [ctypes.byref(_buffer(plane)) for plane in (*planes, result)]
        values = [ctypes.c_float(scalar) for scalar in scalars]
        code = getattr(self._library, function)(*buffers[:-1], *values, ctypes.c_int32(tasks), buffers[-1])
        if code:
            raise EngineError(f"{function} failed on a plane of {planes[0].shape}: {_errors().last()}")
