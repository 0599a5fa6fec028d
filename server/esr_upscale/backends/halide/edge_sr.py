"""eSR-MAX, eSR-TM and eSR-TR: one convolution and the choice between its channels, in registers.

P. Navarrete Michelini, Y. Lu, X. Jiang, "edge-SR: Super-Resolution For The Masses", WACV 2022, arXiv 2108.10335.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import halide as hl
import numpy as np
from numpy.typing import NDArray

from esr_upscale.backends.halide.convolution import (
    Filters,
    convolve,
    most_rows,
    phase_group,
    phases_of,
    run_of,
    schedule_phases,
    split_evenly,
)
from esr_upscale.backends.halide.heads import Responses, between, largest, weighted
from esr_upscale.backends.halide.pipeline import (
    C,
    Job,
    P,
    Pipeline,
    Tuning,
    X,
    Y,
    finish,
    gather,
    interleave,
    read,
    schedule_output,
)
from esr_upscale.backends.halide.registry import HalideFamily
from esr_upscale.backends.halide.symmetry import are_mirrored, convolve_mirrored, fold
from esr_upscale.models import ModelSpec
from esr_upscale.models.edge_sr import TENSOR
from esr_upscale.plane_kernel import Weights

Array = NDArray[np.float64]
TUNING = Tuning()


@dataclass(frozen=True, slots=True)
class Head:
    """How a family chooses, as rows of filters and what is made of their responses."""

    groups: int
    """value; value and key; value, query and key."""
    fold: Callable[[Array], Array]
    """Filters (groups, C, phases, K²) → rows (rows, phases, K²), linear."""
    values: Callable[[int], int]
    """How many of the first rows, for C channels, are values to which half is added."""
    choose: Callable[[int, Responses], hl.Expr]
    """From C and the responses of the rows."""


def _flat(filters: Array) -> Array:
    return filters.reshape(-1, *filters.shape[2:])


# A softmax over two is a sigmoid of the difference, and differences fold into the filters.


def _fold_template_matching(filters: Array) -> Array:
    if filters.shape[1] != 2:
        return _flat(filters)
    (v0, v1), (k0, k1) = filters
    return np.stack([v1, v0 - v1, k0 - k1])


def _fold_transformer(filters: Array) -> Array:
    if filters.shape[1] != 2:
        return _flat(filters)
    (v0, v1), (q0, q1), (k0, k1) = filters
    return np.stack([v1, v0 - v1, q0, k0, q1, k1])


def _transformer(channels: int, z: Responses) -> hl.Expr:
    if channels == 2:
        base, step, q0, k0, q1, k1 = z
        return between(base, step, q0 * k0 - q1 * k1)
    values, queries, keys = (z[i * channels : (i + 1) * channels] for i in range(3))
    return weighted(values, [query * key for query, key in zip(queries, keys, strict=True)])


def _values_of_softmax(channels: int) -> int:
    return 1 if channels == 2 else channels


HEADS = {
    "esr_max": Head(1, _flat, lambda channels: channels, lambda _, z: largest(z)),
    "esr_tm": Head(
        2, _fold_template_matching, _values_of_softmax, lambda c, z: between(*z) if c == 2 else weighted(z[:c], z[c:])
    ),
    "esr_tr": Head(3, _fold_transformer, _values_of_softmax, _transformer),
}


def filters_of(spec: ModelSpec, weights: Weights, maximum: int) -> Filters:
    """Return the filters of a network as its head wants them, for code values of 0 … `maximum`."""
    head, channels, kernel = HEADS[spec.family], spec["C"], spec["K"]
    filters = weights[TENSOR].astype(np.float64).reshape(head.groups, channels, spec.scale**2, kernel**2)
    # Code values in and out: value is linear in them as it is; query and key want them in [0, 1].
    scaled = np.concatenate([filters[:1], filters[1:] / maximum])
    rows = head.fold(scaled) if channels > 1 else scaled[0]  # of one channel there is nothing to choose
    bias = np.zeros(rows.shape[:2])
    bias[: 1 if channels == 1 else head.values(channels)] = 0.5
    planes = rows.swapaxes(0, 1).reshape(spec.scale**2, len(rows), 1, kernel, kernel)
    return Filters(planes.astype(np.float32), bias.T.astype(np.float32), kernel // 2, kernel // 2)


def _build(spec: ModelSpec, weights: Weights, job: Job) -> Pipeline:
    filters = filters_of(spec, weights, job.format.maximum)
    return (_build_mirrored if are_mirrored(filters) else _build_plain)(spec, filters, job)


def _choice(spec: ModelSpec) -> Callable[[Responses], hl.Expr]:
    return partial(HEADS[spec.family].choose, spec["C"]) if spec["C"] > 1 else lambda z: z[0]


def _build_plain(spec: ModelSpec, filters: Filters, job: Job) -> Pipeline:
    luma = hl.ImageParam(job.format.sample, 2, "luma")
    source = read(luma, spec.padding)
    phases, rows = filters.bias.shape
    convolution = convolve(lambda x, y, _: source[x, y], filters, split_evenly(rows, most_rows(job.vectors)), job)
    phases_func = phases_of(convolution.responses(P), _choice(spec), job.format)
    out = interleave(phases_func, spec.scale, job.name)

    loops = schedule_output(out, spec.scale, TUNING)
    schedule_phases(phases_func, loops, [convolution], phase_group(rows, phases, job.vectors), phases, job.vectors)
    source.compute_at(loops.out, loops.strip).vectorize(X, job.vectors.lanes)
    return finish(luma, loops, spec.scale, TUNING, job, *convolution.constants)


def _build_mirrored(spec: ModelSpec, filters: Filters, job: Job) -> Pipeline:
    luma = hl.ImageParam(job.format.sample, 2, "luma")
    source = read(luma, spec.padding)
    lines, rows, lanes = fold(source, spec["K"]), filters.bias.shape[1], job.vectors.lanes
    # A third of the registers is for the pixels of pairs and their sums.
    block = split_evenly(rows, most_rows(job.vectors) * 2 // 3)
    convolution = convolve_mirrored(lines, filters, block, job)
    phases_func = phases_of(convolution.responses(), _choice(spec), job.format)
    out = gather([(phases_func, convolution.phases)], spec.scale, job.name)

    loops = schedule_output(out, spec.scale, TUNING)
    run = min(run_of(block), TUNING.segment_px // lanes)
    schedule_phases(
        phases_func,
        loops,
        convolution.parts,
        len(convolution.folding.mirrors),
        len(convolution.phases),
        job.vectors,
        run,
    )
    lines.compute_at(loops.out, loops.row).reorder_storage(X, C, Y)
    lines.reorder(C, X, Y).unroll(C).vectorize(X, lanes)
    source.compute_at(loops.out, loops.strip).vectorize(X, lanes)
    constants = [number for part in convolution.parts for number in part.constants]
    return finish(luma, loops, spec.scale, TUNING, job, *constants)


FAMILIES = tuple(HalideFamily(family, _build) for family in HEADS)
