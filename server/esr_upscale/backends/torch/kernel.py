"""Planes in, planes out: the torch backend. Code values in and out, the network in between.

`CpuKernel` runs a network's form for the CPU strip by strip, so that what it makes of a strip stays in the cache;
`ModuleKernel` runs the module as it stands, on any device, and is what the other is held against.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from esr_upscale.errors import EngineError
from esr_upscale.filters import RADIUS, Siting
from esr_upscale.models import ModelSpec, Padding, check_weights
from esr_upscale.nets import build_module, torch_families
from esr_upscale.nets.bicubic import Bicubic, BicubicForm
from esr_upscale.nets.family import CpuForm
from esr_upscale.plane_kernel import PlaneAllocator, PlaneKernel, Weights, own_memory, threads_per_frame


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """Code values of a pixel depth, 1 … 16 bits."""

    depth: int

    @property
    def maximum(self) -> int:
        return (1 << self.depth) - 1

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Return the sample type: uint8 up to 8 bits, uint16 above."""
        return np.uint8 if self.depth <= 8 else np.uint16

    def round_(self, values: Tensor) -> Tensor:
        """Clip float code values in place and make them ready to be truncated: half is rounded up."""
        return values.add_(0.5).clamp_(0, self.maximum + 0.5)


def plan(spec: ModelSpec, weights: Weights, pixel_depth: int, *, device: str = "cpu", threads: int = 1) -> PlaneKernel:
    """Return the torch kernel of a model: uint8 planes at a depth of 8 bits, uint16 from 9 to 16.

    `device` is "cpu", on `threads` threads, or "cuda" (or "cuda:1"), in half precision up to 10 bits. Raises
    WeightsError when `weights` are not of this model, EngineError when the device is not there.
    """
    check_weights(spec, weights, "the given weights")
    form = torch_families()[spec.family].cpu_form
    if device == "cpu" and form is not None:
        sample_format = SampleFormat(pixel_depth)
        arranged = form(spec, weights, sample_format.maximum)
        return CpuKernel(arranged, spec.scale, spec.radius, spec.padding, sample_format, threads)
    return _on_device(build_module(spec, weights), pixel_depth, device)


def reference(spec: ModelSpec, weights: Weights, pixel_depth: int) -> PlaneKernel:
    """Return the module as it stands, in float32 on the CPU: slow, what every faster kernel is held against."""
    return _on_device(build_module(spec, weights), pixel_depth, "cpu")


def plan_chroma(
    scale: int,
    siting_x: Siting,
    siting_y: Siting,
    pixel_depth: int,
    device: str = "cpu",
    threads: int = 1,
) -> PlaneKernel:
    """Return bicubic (Keys, a = −0.5) for a chroma plane sited as given on each axis; as `plan` otherwise."""
    if device == "cpu":
        form = BicubicForm(scale, siting_y, siting_x)
        return CpuKernel(form, scale, RADIUS, "edge", SampleFormat(pixel_depth), threads)
    return _on_device(Bicubic(scale, siting_y, siting_x), pixel_depth, device)


def _on_device(module: nn.Module, pixel_depth: int, device: str) -> ModuleKernel:
    target = torch.device(device)
    if target.type == "cuda" and not torch.cuda.is_available():
        raise EngineError(f"device {device!r} was requested, but torch finds no CUDA device here; use device 'cpu'")
    # Half has 11 bits of precision: enough for 10-bit code values, not for more.
    half = target.type == "cuda" and pixel_depth <= 10
    return ModuleKernel(module, SampleFormat(pixel_depth), target, torch.float16 if half else torch.float32)


class CpuKernel:
    """A network's form for the CPU, over strips, on `threads` threads. A PlaneKernel."""

    backend = "torch-cpu"

    def __init__(
        self, form: CpuForm, scale: int, radius: int, padding: Padding, samples: SampleFormat, threads: int
    ) -> None:
        self._form, self._scale, self._radius, self._padding = form, scale, radius, padding
        self._samples, self._helpers = samples, threads - 1
        # Whole strips in parallel, each on one thread. Torch's own way, every operation in parallel, has the threads
        # meet after each of them, and on a busy machine each meeting waits for the slowest.
        self._pool = ThreadPoolExecutor(self._helpers, "esr-strips") if self._helpers else None

    def __call__(self, plane: NDArray[Any], memory: PlaneAllocator = own_memory, concurrency: int = 1) -> NDArray[Any]:
        height, width = plane.shape
        s = self._scale
        padded = torch.from_numpy(pad(plane, self._radius, self._padding))
        shape, dtype = (s * height, s * width), np.dtype(self._samples.dtype)
        buffer = memory(shape, dtype)
        result = np.empty(shape, dtype) if buffer is None else buffer
        phases = torch.from_numpy(result).view(height, s, width, s).permute(1, 3, 0, 2)  # (s, s, H, W)
        share = -(-height // (self._helpers + 1))
        rows = max(1, min(self._form.strip_pixels // width, share))
        strips = deque((start, min(start + rows, height)) for start in range(0, height, rows))
        count = threads_per_frame(self._helpers + 1, concurrency) - 1
        helpers = [self._pool.submit(self._work, padded, phases, strips) for _ in range(count) if self._pool]
        self._work(padded, phases, strips)
        for helper in helpers:
            if not helper.cancel():  # one that has not started is at another picture's strips, and not needed any more
                helper.result()
        return result

    def _work(self, padded: Tensor, phases: Tensor, strips: deque[tuple[int, int]]) -> None:
        with torch_threads(1), torch.inference_mode():
            for start, stop in _take_all(strips):
                for p, values in enumerate(self._form(padded[start : stop + 2 * self._radius])):
                    phases[p // self._scale, p % self._scale, start:stop] = self._samples.round_(values)


class ModuleKernel:
    """A module on whole planes, on `device`, computing in `dtype`. A PlaneKernel."""

    def __init__(self, module: nn.Module, samples: SampleFormat, device: torch.device, dtype: torch.dtype) -> None:
        self.backend = f"torch-{device.type}"
        self._samples, self._device, self._dtype = samples, device, dtype
        self._module = module.to(device, dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, plane: NDArray[Any], memory: PlaneAllocator = own_memory, concurrency: int = 1) -> NDArray[Any]:
        """Upscale a plane on the device. The result never lies in `memory`; threads are torch's own."""
        x = torch.from_numpy(plane.astype(np.float32))[None, None].to(self._device)
        x = (x / self._samples.maximum).to(self._dtype, memory_format=torch.channels_last)
        y = self._module(x)[0, 0].float() * self._samples.maximum
        # numpy makes the integers: torch has few operations on uint16.
        return self._samples.round_(y).cpu().numpy().astype(self._samples.dtype)


def pad(plane: NDArray[Any], radius: int, padding: Padding) -> NDArray[np.float32]:
    """A float32 copy of `plane` (H, W) with `radius` more samples on every side: its edge replicated, or zeros."""
    height, width = plane.shape
    padded = np.zeros((height + 2 * radius, width + 2 * radius), np.float32)
    rows, columns = slice(radius, radius + height), slice(radius, radius + width)
    padded[rows, columns] = plane
    if padding == "edge":
        padded[:radius, columns], padded[radius + height :, columns] = plane[0], plane[-1]
        padded[:, :radius] = padded[:, radius, None]
        padded[:, radius + width :] = padded[:, radius + width - 1, None]
    return padded


def _take_all(strips: deque[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    # Several threads take from the same deque until it is empty.
    while True:
        try:
            strip = strips.popleft()
        except IndexError:
            return
        yield strip


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch's operations `count` threads when called from this one. The setting is each thread's own."""
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
