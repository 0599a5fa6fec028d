"""eSR-CNN, ESPCN, FSRCNN and eSR-Stack: every layer a few lines ahead of the next, and none of them a whole picture.

Papers: arXiv 2108.10335, 1609.05158, 1608.00367. A layer is computed row by row for a tile of the picture, and its rows
are kept only as long as the next layer looks at them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import halide as hl
import numpy as np
from numpy.typing import NDArray

from esr_upscale.backends.halide.convolution import (
    RUN,
    Convolution,
    Filters,
    convolve,
    most_rows,
    phase_group,
    phases_of,
    run_of,
    schedule_phases,
    schedule_tiles,
    split_evenly,
)
from esr_upscale.backends.halide.heads import Responses, between, sigmoid, weighted
from esr_upscale.backends.halide.pipeline import (
    C,
    Job,
    Loops,
    P,
    Pipeline,
    Tuning,
    Vectors,
    X,
    Y,
    finish,
    gather,
    read,
    schedule_output,
)
from esr_upscale.backends.halide.registry import HalideFamily
from esr_upscale.filters import RADIUS, windows
from esr_upscale.models import ModelSpec
from esr_upscale.models import conv_nets as models
from esr_upscale.plane_kernel import Weights

Read = Callable[[hl.Expr, hl.Expr, hl.Expr], hl.Expr]
"""A layer's output at (x, y, channel)."""
TUNING = Tuning(strip_rows=64, tile_segments=15)
BLOCKS = range(3, 7)
"""How many channels of a layer a register tile may have."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution and the activation behind it."""

    out: hl.Func
    convolution: Convolution
    block: int
    channels: int
    """With those that fill the last block."""
    rows: int
    """How many of its rows the next layer looks at for one of its own."""


@dataclass(frozen=True, slots=True)
class Head:
    """How a family ends, after its last convolution."""

    prefix: str
    """Of its tensors' names."""
    layers: Callable[[ModelSpec], models.Layers]
    rows: Callable[[ModelSpec], int]
    """Filters of each output pixel."""
    values: Callable[[ModelSpec], int]
    """How many of them, from the first, are code values already when they leave the convolution."""
    choose: Callable[[ModelSpec, int, Responses], hl.Expr]
    """From spec, 2ⁿ−1 and the rows' responses: the pixel, half added."""
    on_bicubic: bool = False
    """The last response is bicubic's."""


def _self_attention(spec: ModelSpec, maximum: int, z: Responses) -> hl.Expr:
    del maximum
    channels = spec["C"]
    if channels == 2:
        v0, v1, k0, k1 = z
        return between(v1, v0 - v1, k0 * k0 - k1 * k1)
    return weighted(z[:channels], [key * key for key in z[channels:]])


def _scaled_sigmoid(spec: ModelSpec, maximum: int, z: Responses) -> hl.Expr:
    del spec
    return sigmoid(z[0]) * hl.f32(maximum) + hl.f32(0.5)


HEADS = {
    "esr_cnn": Head("filter", models.esr_cnn, lambda s: 2 * s["C"], lambda s: s["C"], _self_attention),
    "espcn": Head("net", models.espcn, lambda _: 1, lambda _: 0, _scaled_sigmoid),
    "fsrcnn": Head("net", models.fsrcnn, lambda _: 1, lambda _: 1, lambda _, __, z: z[0]),
    "esr_stack": Head("net", models.esr_stack, lambda _: 1, lambda _: 1, lambda _, __, z: z[0] + z[1], True),
}


TANH_REACH = 8.3
"""Where tanh is 1 to float32's precision."""
TANH_ABOVE = (0.999999957, 0.134191261, 0.00354126801, 2.13821532e-05, 1.44786318e-08)
TANH_BELOW = (1.0, 0.467524418, 0.0260496181, 0.000336119637, 8.2246192e-07)
"""x·P(x²)/Q(x²), fitted to tanh on |x| ≤ 8.3 by least squares, reweighted until the largest error was 8e-9."""


def tanh(x: hl.Expr) -> hl.Expr:
    """tanh to 4e-7: what the code values of 10 bits need, and more than `fast_exp` would give."""
    x = hl.clamp(x, hl.f32(-TANH_REACH), hl.f32(TANH_REACH))
    return x * _polynomial(TANH_ABOVE, x * x) / _polynomial(TANH_BELOW, x * x)


def _polynomial(coefficients: Sequence[float], x: hl.Expr) -> hl.Expr:
    # Horner's rule, lowest power first in the list.
    return reduce(lambda total, c: total * x + hl.f32(c), reversed(coefficients[:-1]), hl.f32(coefficients[-1]))


def prelu(slope: float, x: hl.Expr) -> hl.Expr:
    """`x`, and `slope` of it below zero."""
    return hl.max(x, hl.f32(0)) + hl.f32(slope) * hl.min(x, hl.f32(0))


def relu(x: hl.Expr) -> hl.Expr:
    return hl.max(x, hl.f32(0))


def _layer_filters(layer: models.Convolution, weights: Weights, name: str, block: int, gain: float) -> Filters:
    blocks = -(-layer.outputs // block)
    tensor = np.zeros((blocks * block, layer.inputs, layer.kernel, layer.kernel), np.float32)
    tensor[: layer.outputs] = weights[f"{name}.weight"] * gain
    bias = np.zeros(blocks * block, np.float32)
    bias[: layer.outputs] = weights[f"{name}.bias"]
    return Filters(
        tensor.reshape(blocks, block, *tensor.shape[1:]),
        bias.reshape(blocks, block),
        layer.kernel // 2,
        layer.kernel // 2,
    )


def _layers(spec: ModelSpec, weights: Weights, luma: hl.ImageParam, source: Read, job: Job) -> list[Layer]:
    ending = HEADS[spec.family]
    layers: list[Layer] = []
    model_layers = ending.layers(spec)
    for position in range(0, len(model_layers) - 1, 2):
        layer, activation = model_layers[position : position + 2]
        assert isinstance(layer, models.Convolution)
        assert isinstance(activation, models.Activation)
        # The block that fills the last one best; of equals the largest.
        outputs = layer.outputs
        block = min(BLOCKS, key=lambda size, outputs=outputs: (-(-outputs // size) * size, -size))  # type: ignore[misc]
        # The first layer is given code values where it wants them in [0, 1].
        gain = 1 / job.format.maximum if position == 0 else 1.0
        filters = _layer_filters(layer, weights, f"{ending.prefix}.{position}", block, gain)
        convolution = convolve(source, filters, block, job)
        (tile,) = convolution.tiles
        if activation.kind == "prelu":
            slope = float(weights[f"{ending.prefix}.{position + 1}.weight"].item())
            activate: Callable[[hl.Expr], hl.Expr] = partial(prelu, slope)
        else:
            activate = {"tanh": tanh, "relu": relu}[activation.kind]
        out = hl.Func(f"layer{position}")
        value = activate(tile.conv[X, Y, C % block, C // block])
        # Zero padding is the paper's: every layer sees zeros around its own input.
        if spec.padding != "edge":
            inside = (X >= 0) & (luma.width() > X) & (Y >= 0) & (luma.height() > Y)
            value = hl.select(inside, value, hl.f32(0))
        out[X, Y, C] = value
        rows = _rows_for(model_layers[position + 2], spec.scale)
        layers.append(Layer(out, convolution, block, filters.bias.size, rows))
        source = partial(_at, out)
    return layers


def _rows_for(layer: models.Convolution | models.Activation, scale: int) -> int:
    assert isinstance(layer, models.Convolution)
    return 2 * layer.reach(scale) + 1


def _at(func: hl.Func, x: hl.Expr, y: hl.Expr, channel: hl.Expr) -> hl.Expr:
    return func[x, y, channel]


@dataclass(frozen=True, slots=True)
class Phases:
    """Some of the s² phases, whose filters look at the same pixels."""

    places: tuple[int, ...]
    filters: Filters


def _last_filters(spec: ModelSpec, weights: Weights, maximum: int) -> list[Phases]:
    ending = HEADS[spec.family]
    layers = ending.layers(spec)
    last, name = layers[-1], f"{ending.prefix}.{len(layers) - 1}"
    assert isinstance(last, models.Convolution)
    tensor = weights[f"{name}.weight"].astype(np.float64)
    bias = weights[f"{name}.bias"].astype(np.float64) if last.bias else np.zeros(last.outputs)
    rows, phases = ending.rows(spec), spec.scale**2
    values = slice(ending.values(spec))
    if isinstance(last, models.TransposedConvolution):
        return _polyphase(tensor * maximum, float(bias[0] * maximum + 0.5), spec.scale, last.offset(spec.scale))
    planes = tensor.reshape(rows, phases, *tensor.shape[1:]).swapaxes(0, 1).copy()
    biases = bias.reshape(rows, phases).T.copy()
    planes[:, values] *= maximum
    biases[:, values] = biases[:, values] * maximum + 0.5
    edge = last.kernel // 2
    return [Phases(tuple(range(phases)), Filters(planes.astype(np.float32), biases.astype(np.float32), edge, edge))]


Reach = tuple[int, int]
"""The first and the last input pixel that a phase looks at along an axis, from its own."""


def _polyphase(tensor: NDArray[np.float64], bias: float, scale: int, offset: int) -> list[Phases]:
    """Return a transposed convolution (inputs, 1, K, K) as the filters of its phases.

    Input i gives output s·i − offset + k the weight k, so output s·q + d has from input q + j the weight
    d + offset − s·j. How many j there are differs between phases by one, where s does not divide K.
    """
    kernel = tensor.shape[-1]
    reaches = [(-((kernel - 1 - offset - d) // scale), (d + offset) // scale) for d in range(scale)]
    whole = (min(first for first, _ in reaches), max(last for _, last in reaches))
    # Filters of one size share pixels and code. They are taken apart where most phases have the smaller size.
    apart = sum(reach != whole for reach in reaches) > scale / 2
    groups: dict[tuple[Reach, Reach], list[int]] = {}
    for place in range(scale**2):
        size = (reaches[place // scale], reaches[place % scale]) if apart else (whole, whole)
        groups.setdefault(size, []).append(place)
    return [
        Phases(tuple(group), _phase_filters(tensor, bias, scale, offset, group, *size))
        for size, group in groups.items()
    ]


def _phase_filters(
    tensor: NDArray[np.float64],
    bias: float,
    scale: int,
    offset: int,
    places: list[int],
    down: Reach,
    across: Reach,
) -> Filters:
    padded = np.pad(tensor[:, 0], [(0, 0), (scale, scale), (scale, scale)])  # weights beyond the kernel are 0
    rows, columns = (np.arange(first, last + 1) * -scale + offset + scale for first, last in (down, across))
    planes = [padded[:, (place // scale + rows)[:, None], place % scale + columns] for place in places]
    weights = np.stack(planes)[:, None].astype(np.float32)
    return Filters(weights, np.full((len(places), 1), bias, np.float32), -down[0], -across[0])


def _keep_lines(func: hl.Func, loops: Loops, rows: int) -> None:
    lines = 1 << (rows - 1).bit_length()
    func.store_at(loops.out, loops.tile).compute_at(loops.out, loops.row).fold_storage(Y, lines)


def _schedule_layer(layer: Layer, loops: Loops, vectors: Vectors) -> None:
    block, channel, run, pixel = hl.Var("block"), hl.Var("channel"), hl.Var("run"), hl.Var("pixel")
    out = layer.out
    _keep_lines(out, loops, layer.rows)
    out.bound_extent(C, layer.channels).reorder_storage(X, C, Y)
    out.split(C, block, channel, layer.block).split(X, run, pixel, RUN * vectors.lanes).vectorize(pixel)
    out.reorder(pixel, channel, run, block, Y).unroll(channel)
    schedule_tiles(out, run, layer.convolution, vectors)


def _bicubic(scale: int, source: Read, job: Job) -> Convolution:
    # One filter for each phase, of code values.
    taps = np.array(windows(scale))
    weights = np.einsum("yi,xj->yxij", taps, taps).reshape(scale**2, 1, 1, *[2 * RADIUS + 1] * 2)
    filters = Filters(weights.astype(np.float32), np.zeros((scale**2, 1), np.float32), RADIUS, RADIUS)
    return convolve(source, filters, 1, job)


def _build(spec: ModelSpec, weights: Weights, job: Job) -> Pipeline:
    ending = HEADS[spec.family]
    luma = hl.ImageParam(job.format.sample, 2, "luma")
    source = read(luma, spec.padding)
    pixels: Read = lambda x, y, _: source[x, y]  # noqa: E731
    layers = _layers(spec, weights, luma, pixels, job)
    last, choose = partial(_at, layers[-1].out), partial(ending.choose, spec, job.format.maximum)
    kinds = _last_filters(spec, weights, job.format.maximum)
    rows = ending.rows(spec)
    ends = [convolve(last, kind.filters, split_evenly(rows, most_rows(job.vectors)), job) for kind in kinds]
    bicubic = _bicubic(spec.scale, pixels, job) if ending.on_bicubic else None
    bicubic_responses = bicubic.responses(P) if bicubic else []
    phases = [phases_of([*end.responses(P), *bicubic_responses], choose, job.format) for end in ends]
    out = gather([(func, kind.places) for kind, func in zip(kinds, phases, strict=True)], spec.scale, job.name)

    loops = schedule_output(out, spec.scale, TUNING)
    for kind, func, end in zip(kinds, phases, ends, strict=True):
        group = phase_group(rows, len(kind.places), job.vectors)
        run = min(run_of(group * rows), TUNING.segment_px // job.vectors.lanes)
        both = [end] if bicubic is None else [end, bicubic]
        schedule_phases(func, loops, both, group, len(kind.places), job.vectors, run)
    for layer in layers:
        _schedule_layer(layer, loops, job.vectors)
    # Bicubic looks at the source too, as many rows behind the first layer as the layers between them look.
    first_rows = _rows_for(ending.layers(spec)[0], spec.scale)
    _keep_lines(source, loops, 2 * spec.radius + 1 if bicubic else first_rows)
    source.vectorize(X, job.vectors.lanes)
    parts = [*(layer.convolution for layer in layers), *ends, *([bicubic] if bicubic else [])]
    constants = [number for part in parts for number in part.constants]
    return finish(luma, loops, spec.scale, TUNING, job, *constants)


# The slopes of FSRCNN's activations are numbers in the code.
FAMILIES = tuple(HalideFamily(family, _build, in_code=family == "fsrcnn") for family in HEADS)
