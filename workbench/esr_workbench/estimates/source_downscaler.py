"""Fitting the estimate of what made a source small: pictures of tiles, made small in every way, with what sets gain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from esr_upscale import nets
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec, Source, WeightNodes
from esr_upscale.models.nodes import CLEAN, DOWNSCALERS
from esr_upscale.source_downscaler import Recognition, features_of
from esr_workbench.degradation.degrade import CODECS, Degradation
from esr_workbench.estimates.source_quality import SCALE, damage_of_clip, draw_clip
from esr_workbench.evaluation.protocol import psnr
from esr_workbench.media.recoding import RECODERS, recode

BLURRED = "blurred"
SHARES: Mapping[str, float] = MappingProxyType(
    {
        "bicubic": 0.25,
        "area": 0.25,
        "lanczos3": 0.2,
        "spline36": 0.07,
        "bicubic_sharp": 0.07,
        "bilinear": 0.08,
        BLURRED: 0.08,
    }
)
"""What makes pictures small, and how often, about as in use."""
CODED = 3
"""Of so many ways to make a clip small, a coded one is looked at too."""
HELD = 4
"""One clip of so many is for judging the fit."""
RIDGE = 1e-4
"""Damping of the fit."""
LEAST = 200
"""Pictures that a function is fitted to at least."""
_SHAVE_PX = 8


@dataclass(frozen=True, slots=True)
class PictureSample:
    """A picture of which it is known what made it small."""

    clip: int
    """Number of the clip that it is of."""
    node: float
    """Quantiser of the node that serves it."""
    name: str
    """One of SHARES."""
    features: NDArray[np.float64]
    gains_db: tuple[float, ...]
    """What the sets for DOWNSCALERS gain over that for any."""


class SetJudge:
    """Measures what each set of a model's nodes makes of a picture."""

    def __init__(self, spec: ModelSpec, nodes: WeightNodes) -> None:
        self.nodes = nodes
        self._modules = {source: nets.build_module(spec, weights).eval() for source, weights in nodes.sets.items()}

    @torch.no_grad()
    def gains_db(self, node: float, small: NDArray[np.uint8], large: NDArray[np.uint8]) -> tuple[float, ...]:
        """Return what a node's sets for DOWNSCALERS gain over its set for any, on a picture; 0 where there is none."""
        x = torch.from_numpy(small[None, None].astype(np.float32) / 255)
        pictures = {
            source: (module(x)[0, 0].numpy() * 255).clip(0, 255).round().astype(np.uint8)
            for source, module in self._modules.items()
            if source.quantizer == node
        }
        figures = {source: psnr(picture, large, _SHAVE_PX) for source, picture in pictures.items()}
        base = figures[Source(node)]
        return tuple(figures.get(Source(node, name), base) - base for name in DOWNSCALERS)


def sample_pictures(
    tiles: Sequence[NDArray[np.uint8]], judge: SetJudge, count: int, seed: int, report: Callable[[int, int], None]
) -> list[PictureSample]:
    """Make `count` clips of moving tiles small in every way, code some, and see what sets are for them.

    Tiles are luma, as for `sample_key_frames`. `report` is called with the clips done and in all.
    """
    samples: list[PictureSample] = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        clip = draw_clip(tiles, rng)
        for place, name in enumerate(SHARES):
            if name == BLURRED:
                degradation = Degradation(kernel="bicubic", blur_px=float(rng.uniform(0.4, 0.9)))
            else:
                degradation = Degradation(kernel=name)
            samples += _sample(number, CLEAN, name, degradation.apply(clip[:1], SCALE, rng), clip, judge)
            if (number + place) % CODED == 0:
                coded = _code(degradation.apply(clip, SCALE, rng), rng)
                damage = damage_of_clip(clip, coded, degradation, rng)
                samples += _sample(number, damage, name, coded, clip, judge)
        report(number + 1, count)
    return samples


def _code(small: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    names = list(CODECS)
    chances = np.array(list(CODECS.values()))
    codec = names[int(rng.choice(len(names), p=chances / chances.sum()))]
    recoder = RECODERS[codec]
    middle = (recoder.best + recoder.worst) // 2  # of worse sources nobody can tell
    return recode(small, codec, int(rng.integers(recoder.best, middle + 1)), int(rng.integers(len(recoder.presets))))


def _sample(
    number: int, quantizer: float, name: str, small: NDArray[np.uint8], clip: NDArray[np.uint8], judge: SetJudge
) -> list[PictureSample]:
    node = judge.nodes.node(Source(quantizer))
    if node is None or not judge.nodes.tells_apart(node):
        return []
    gains = judge.gains_db(node.quantizer, small[0], clip[0])
    return [PictureSample(number, node.quantizer, name, features_of(small[0], 8), gains)]


def fit(samples: Sequence[PictureSample]) -> tuple[dict[float, Recognition], dict[str, Any]]:
    """Return the functions by the quantiser of their node, and what they are worth on other clips of the same tiles.

    Raises:
        InvalidInputError: there are too few pictures for a node.
    """
    functions, figures = {}, {}
    for node in sorted({sample.node for sample in samples}):
        of_node = [sample for sample in samples if sample.node == node]
        test_samples = [sample for sample in of_node if sample.clip % HELD == 0]
        training_samples = [sample for sample in of_node if sample.clip % HELD]
        names = {sample.name for sample in test_samples}
        if len(training_samples) < LEAST or not names.issuperset(SHARES):
            raise InvalidInputError(
                f"of sources near {node:g} there are {len(training_samples)} pictures; make more clips"
            )
        functions[node] = _fit(training_samples)
        figures[f"{node:g}"] = _worth(functions[node], test_samples)
    return functions, figures


def _fit(samples: Sequence[PictureSample]) -> Recognition:
    names = tuple(SHARES)
    features = np.array([sample.features for sample in samples])
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    which = torch.tensor([names.index(sample.name) for sample in samples])
    counts = torch.bincount(which, minlength=len(names)).clamp(min=1)
    weight = (torch.tensor(list(SHARES.values())) / counts)[which].double()
    x = torch.from_numpy((features - mean) / deviation)
    layer = nn.Linear(x.shape[1], len(names)).double()
    nn.init.zeros_(layer.weight)
    search = torch.optim.LBFGS(layer.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        unlikely = functional.cross_entropy(layer(x), which, reduction="none")
        value = (weight * unlikely).sum() / weight.sum() + RIDGE * layer.weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    gains = np.array([sample.gains_db for sample in samples])
    by_name = np.array([gains[which.numpy() == number].mean(0) for number in range(len(names))])
    weights, offsets = (parameter.detach().numpy() for parameter in layer.parameters())
    return Recognition(names, mean, deviation, weights, offsets, by_name)


def _worth(function: Recognition, test_samples: Sequence[PictureSample]) -> dict[str, Any]:
    """Return the mean gain in dB on each way, of the sets that are chosen and of the best ones."""
    rows: dict[str, dict[str, float]] = {}
    for name in SHARES:
        of_name = [sample for sample in test_samples if sample.name == name]
        gains = np.array([(0.0, *sample.gains_db) for sample in of_name])
        best = [function.best(function.scores(sample.features)) for sample in of_name]
        selected_gains = gains[np.arange(len(gains)), [("", *DOWNSCALERS).index(name) for name in best]]
        rows[name] = {
            "pictures": len(of_name),
            "gain_db": round(float(selected_gains.mean()), 3),
            "best_gain_db": round(float(gains.max(1).mean()), 3),
        }
    return rows


def describe(functions: Mapping[float, Recognition], figures: dict[str, Any], origin: dict[str, Any]) -> dict[str, Any]:
    """Return what is written to a file: the functions, what they are worth, and how they were made."""
    fields = ("mean", "deviation", "weights", "offsets", "gains_db")
    values = {
        f"{node:g}": {"names": function.names, **{name: getattr(function, name).round(5).tolist() for name in fields}}
        for node, function in functions.items()
    }
    return {"made": origin, "held_out": figures, "functions": values}
