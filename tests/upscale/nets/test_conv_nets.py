"""eSR-CNN, ESPCN, FSRCNN and eSR-Stack against networks written out here, layer by layer, for both paddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.models import ModelSpec, resolve
from esr_upscale.nets import build_module
from esr_upscale.nets.bicubic import ZeroInsertBicubic
from tests.support.pictures import random_weights, synthetic_luma

NAMES = [
    "esr_cnn_x2", "esr_cnn_x3_c4_d1_s3", "esr_cnn_x4", "espcn_x2", "espcn_x3_d0_s3", "espcn_x4",
    "esr_stack_x2", "esr_stack_x3_c3_l2", "esr_stack_x4_c5_l4",
    "fsrcnn_x2", "fsrcnn_x3", "fsrcnn_x4", "fsrcnn_x2_d6_s1_m4", "fsrcnn_x3_d6_s3_m0",
]  # fmt: skip
SIZES = [(1, 1), (1, 8), (3, 1), (2, 2), (13, 17)]

Tensors: TypeAlias = Mapping[str, Tensor]


def _convolve(x: Tensor, tensors: Tensors, name: str, pad: bool) -> Tensor:
    weight = tensors[f"{name}.weight"]
    return F.conv2d(x, weight, tensors.get(f"{name}.bias"), padding=weight.shape[-1] // 2 if pad else 0)


def _shuffle(x: Tensor, scale: int) -> Tensor:
    """Channel c·s² + dy·s + dx goes to pixel (s·y + dy, s·x + dx) of channel c."""
    s = scale
    result = x.new_zeros(len(x), x.shape[1] // s**2, s * x.shape[2], s * x.shape[3])
    for channel in range(x.shape[1]):
        c, dy, dx = channel // s**2, channel % s**2 // s, channel % s
        result[:, c, dy::s, dx::s] = x[:, channel]
    return result


def _esr_cnn(x: Tensor, t: Tensors, spec: ModelSpec, pad: bool) -> Tensor:
    x = _convolve(x, t, "filter.0", pad).tanh()
    x = _convolve(x, t, "filter.2", pad).tanh()
    z = _shuffle(_convolve(x, t, "filter.4", pad), spec.scale)
    value, key = z[:, : spec["C"]], z[:, spec["C"] :]
    e = torch.exp(key**2)
    return (value * e).sum(1, keepdim=True) / e.sum(1, keepdim=True)


def _espcn(x: Tensor, t: Tensors, spec: ModelSpec, pad: bool) -> Tensor:
    names = ["net.0", "net.2", "net.4"] if spec["D"] else ["net.0", "net.2"]
    for name in names[:-1]:
        x = _convolve(x, t, name, pad).tanh()
    return 1 / (1 + torch.exp(-_shuffle(_convolve(x, t, names[-1], pad), spec.scale)))


def _fsrcnn(x: Tensor, t: Tensors, spec: ModelSpec, pad: bool) -> Tensor:
    last = 2 * (spec["M"] + 3)
    for i in range(0, last, 2):
        x = _convolve(x, t, f"net.{i}", pad)
        x = torch.where(x < 0, t[f"net.{i + 1}.weight"] * x, x)
    return _spread(x, t[f"net.{last}.weight"], spec.scale) + t[f"net.{last}.bias"]


def _esr_stack(x: Tensor, t: Tensors, spec: ModelSpec, pad: bool) -> Tensor:
    last = 2 * (spec["L"] - 1)
    y = x
    for i in range(0, last, 2):
        y = _convolve(y, t, f"net.{i}", pad).clamp_min(0)
    inner = slice(2 * spec.scale, -2 * spec.scale)
    bicubic: Tensor = ZeroInsertBicubic(spec.scale)(F.pad(x, (2,) * 4))[..., inner, inner]
    return bicubic + _shuffle(_convolve(y, t, f"net.{last}", pad), spec.scale)


def _spread(x: Tensor, weight: Tensor, scale: int) -> Tensor:
    """Every pixel (y, x) adds its 9×9 block, which starts 4 (×2) or 3 (×3, ×4) before (s·y, s·x).

    What falls outside of s·H × s·W is lost.
    """
    height, width, before = scale * x.shape[2], scale * x.shape[3], {2: 4, 3: 3, 4: 3}[scale]
    canvas = x.new_zeros(len(x), 1, height + 8, width + 8)
    for k, j in np.ndindex(9, 9):
        taps = torch.einsum("ndyx,do->noyx", x, weight[:, :, k, j])
        canvas[:, :, k : k + height : scale, j : j + width : scale] += taps
    return canvas[:, :, before : before + height, before : before + width]


PLAIN: dict[str, Callable[[Tensor, Tensors, ModelSpec, bool], Tensor]] = {
    "esr_cnn": _esr_cnn,
    "espcn": _espcn,
    "fsrcnn": _fsrcnn,
    "esr_stack": _esr_stack,
}


def _picture(shape: tuple[int, int]) -> Tensor:
    return torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(3))


def _tensors(spec: ModelSpec) -> dict[str, Tensor]:
    return {name: torch.from_numpy(tensor) for name, tensor in random_weights(spec).items()}


@torch.inference_mode()
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SIZES)
def test_zeros_pads_every_layer(name: str, shape: tuple[int, int]) -> None:
    spec = resolve(f"{name}_zeros")
    module, x = build_module(spec, random_weights(spec)), _picture(shape)
    expected = PLAIN[spec.family](x, _tensors(spec), spec, True)
    assert expected.shape == (2, 1, spec.scale * shape[0], spec.scale * shape[1])
    torch.testing.assert_close(module(x), expected, rtol=0, atol=2e-5)


@torch.inference_mode()
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SIZES)
def test_edge_pads_the_picture_once(name: str, shape: tuple[int, int]) -> None:
    spec = resolve(name)
    module, x = build_module(spec, random_weights(spec)), _picture(shape)
    # Layer by layer on a picture padded by far more than the radius, so that nothing of the border's treatment is left.
    margin = spec.radius + 3
    padded = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="edge"))
    large = PLAIN[spec.family](padded, _tensors(spec), spec, True)
    height, width, start = spec.scale * shape[0], spec.scale * shape[1], spec.scale * margin
    expected = large[:, :, start : start + height, start : start + width]
    torch.testing.assert_close(module(x), expected, rtol=0, atol=2e-5)


@torch.inference_mode()
@pytest.mark.parametrize("name", NAMES)
def test_the_radius_is_what_the_network_sees(name: str) -> None:
    spec = resolve(name)
    module = build_module(spec, random_weights(spec)).double()
    x = torch.rand(1, 1, 25, 25, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    changed = x.clone()
    changed[:, :, 12, 12] += 0.7
    rows, columns = torch.nonzero((module(x) != module(changed))[0, 0], as_tuple=True)
    for places in (rows, columns):
        distances = (places // spec.scale - 12).abs()
        assert int(distances.max()) == spec.radius


@pytest.mark.parametrize("name", ["esr_cnn_x2", "espcn_x3", "fsrcnn_x4"])
@pytest.mark.parametrize("depth", [8, 10])
def test_planes_keep_their_type(name: str, depth: int) -> None:
    spec = resolve(name)
    plane = synthetic_luma(7, 11) if depth == 8 else synthetic_luma(7, 11).astype(np.uint16) * 4
    actual = torch_kernel.plan(spec, random_weights(spec), depth)(plane)
    assert (actual.shape, actual.dtype) == ((7 * spec.scale, 11 * spec.scale), plane.dtype)
