"""The order of the models of a ladder."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from esr_server.errors import ConfigError
from esr_server.models.cost import TYPICAL_PIXELS
from esr_server.models.served import ServedModel


def ordered(models: Iterable[ServedModel]) -> tuple[ServedModel, ...]:
    """The rungs of a ladder: best first by the PSNR of their cards, without those that a better one is as fast as.

    Raises:
        ConfigError: they are not all of one scale.
    """
    unique = {served.name: served for served in models}
    scales = sorted({served.scale for served in unique.values()})
    if len(scales) > 1:
        names = ", ".join(f"×{scale}" for scale in scales)
        raise ConfigError(f"the models of a ladder must have one scale, not {names}: a stream's size does not change")
    sets = set.intersection(*(set(served.card.psnr) for served in unique.values()))
    rungs: list[ServedModel] = []
    for served in sorted(unique.values(), key=lambda each: _quality(each, sets), reverse=True):
        if not rungs or served.cost.of(TYPICAL_PIXELS) < rungs[-1].cost.of(TYPICAL_PIXELS):
            rungs.append(served)
    return tuple(rungs)


def _quality(served: ServedModel, sets: set[str]) -> float:
    """Mean PSNR over the sets that all rungs were judged by; by arithmetic where there are none."""
    return statistics.mean(served.card.psnr[name] for name in sets) if sets else served.model.spec.macs
