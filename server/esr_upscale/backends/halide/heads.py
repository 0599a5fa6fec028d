"""How networks end: the choice between channels, made of the responses to one output pixel's filters.

The values have half a code value added to them already, in the bias of their filters, and every choice here keeps it:
weights of a softmax sum to one, and the largest of some values moves up with all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import halide as hl

Responses = Sequence[hl.Expr]


def largest(values: Responses) -> hl.Expr:
    return reduce(hl.max, values)


def weighted(values: Responses, logits: Responses) -> hl.Expr:
    top = reduce(hl.max, logits)
    weights = [hl.fast_exp(logit - top) for logit in logits]
    return _sum([value * weight for value, weight in zip(values, weights, strict=True)]) / _sum(weights)


def between(base: hl.Expr, step: hl.Expr, logit: hl.Expr) -> hl.Expr:
    """`base` + `step` · sigmoid(`logit`): a softmax over two, of half the exponentials."""
    return base + step * sigmoid(logit)


def sigmoid(x: hl.Expr) -> hl.Expr:
    return hl.f32(1) / (hl.f32(1) + hl.fast_exp(-x))


def _sum(terms: Responses) -> hl.Expr:
    return reduce(lambda a, b: a + b, terms)
