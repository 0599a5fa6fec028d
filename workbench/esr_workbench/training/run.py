"""From a directory of tiles to weights with a card."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from esr_upscale.backends.torch.kernel import torch_threads
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import (
    ModelCard,
    ModelSpec,
    Source,
    WeightNodes,
    load_card,
    load_nodes,
    load_weights,
    save_weights,
)
from esr_upscale.models.card import check_licence
from esr_upscale.models.nodes import DOWNSCALERS, parse_source
from esr_upscale.models.weights_file import PACKAGED
from esr_upscale.nets.edge_sr import HEADS
from esr_upscale.plane_kernel import Weights
from esr_workbench.datasets.clips import ClipSource, Node, make_clips
from esr_workbench.datasets.crops import CropSource, TileSource
from esr_workbench.datasets.pairs import PairSettings
from esr_workbench.datasets.tiles import Tile, load_tiles
from esr_workbench.model_files.cards import NODES, continued_card, new_card
from esr_workbench.training.checkpoint import DIRECTORY, Checkpoint, Journal
from esr_workbench.training.growth import grow_weights, nearest_start
from esr_workbench.training.loop import Progress, Trainer, TrainingStoppedError, never, run, steps_in
from esr_workbench.training.multi_layer import CropTrainer
from esr_workbench.training.one_layer import PatchTrainer

MAY_CHANGE = {"seconds", "steps", "threads", "licence"}
"""Settings that an interrupted run goes on without."""

SHIPPED = "shipped"
BICUBIC, VIDEO = "bicubic", "video"
FRACTIONS = {"seconds", "rate"}
"""Settings that need not be whole numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How to train."""

    seconds: float = 100.0
    """How long, about; sets the number of steps by timing a few."""
    steps: int | None = None
    """How many steps; `seconds` is then ignored. The same steps, seed and threads make the same weights."""
    seed: int = 1
    """Seed of everything random."""
    restarts: int = 6
    """Networks of one layer trained side by side, of which the best on held-out pictures is kept."""
    batch: int = 16
    """Crops in a step, for networks of several layers."""
    crop: int = 48
    """LR pixels on a side of a crop."""
    rate: float = 0.0
    """Peak learning rate, for networks of several layers. 0: the family's own."""
    threads: int = 1
    """Threads to compute on."""
    emphasis: Mapping[str, float] = field(default_factory=dict)
    """Beginnings of tiles' names, and how many times as often as others such tiles are drawn."""
    start: str = ""
    """A directory with weights that a network of several layers goes on from, or `SHIPPED` for those of edge-sr."""
    degradation: str = BICUBIC
    """What LR is made by: `BICUBIC`, the protocol's, or `VIDEO`, downscalers and codecs of video in use."""
    mosaics: int = 320
    """Clips of six tiles each to degrade."""
    ways: int = 3
    """In how many ways each of them is degraded."""
    nodes: tuple[str, ...] = ()
    """Sources that weights are trained for, from `start`, with `VIDEO`: `17`, or `17/area`; see `WeightNodes`."""
    licence: str = ""
    """SPDX id of the weights' licence, for the card. Empty: that of the weights to start from, or no claim."""

    @staticmethod
    def of(values: Mapping[str, Any]) -> TrainingSettings:
        """Read settings from a table of a TOML file. Raises InvalidInputError for unknown and impossible ones."""
        for name, value in values.items():
            _check(name, value)
        return TrainingSettings(**values)


def _check(name: str, value: object) -> None:
    names = [f.name for f in fields(TrainingSettings)]
    if name not in names:
        raise InvalidInputError(f"unknown setting {name!r}; choose one of {', '.join(names)}")
    if name in CHECKS:
        CHECKS[name](value)
        return
    kinds = (int, float) if name in FRACTIONS else (int,)
    if not isinstance(value, kinds) or isinstance(value, bool) or (value <= 0 and name != "seed"):
        raise InvalidInputError(f"{name} = {value!r} is not possible: it must be a number above 0")


def _check_emphasis(value: object) -> None:
    factors = list(value.values()) if isinstance(value, dict) else [None]
    if not all(isinstance(factor, int | float) and not isinstance(factor, bool) and factor > 0 for factor in factors):
        raise InvalidInputError(f"emphasis = {value!r} is not possible: it is a table of numbers above 0")


def _check_start(value: object) -> None:
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f'start = {value!r} is not possible: it is a directory with weights, or "{SHIPPED}"')


def _check_licence(value: object) -> None:
    check_licence(value if isinstance(value, str) else "")


def _check_nodes(value: object) -> None:
    entries = list(value) if isinstance(value, tuple | list) else []
    try:
        sources = [parse_source(text) for text in entries if isinstance(text, str)]
    except ValueError:
        sources = []
    is_uniform = len({bool(source.downscaler) for source in sources}) == 1  # those with one go on from those without
    if len(sources) != len(entries) or not is_uniform or len(set(sources)) != len(sources):
        raise InvalidInputError(
            f'nodes = {value!r} is not possible: it is a list of different quantisers, 0 to 51, as in "0", "17", or of '
            f'quantisers with downscalers, as in "0/area"; downscalers are {", ".join(DOWNSCALERS)}'
        )


def _check_degradation(value: object) -> None:
    if value not in (BICUBIC, VIDEO):
        raise InvalidInputError(f'degradation = {value!r} is not possible: it is "{BICUBIC}" or "{VIDEO}"')


CHECKS: Mapping[str, Callable[[object], None]] = MappingProxyType(
    {
        "degradation": _check_degradation,
        "emphasis": _check_emphasis,
        "licence": _check_licence,
        "nodes": _check_nodes,
        "start": _check_start,
    }
)


def train(
    spec: ModelSpec,
    tiles: Path,
    out: Path,
    settings: TrainingSettings,
    report: Callable[[Progress], None],
    stop: Callable[[], bool] = never,
) -> Journal:
    """Train `spec` on the luma tiles in the directory `tiles`; write weights and card into `out`.

    Goes on from the checkpoint of a run that was stopped. Raises InvalidInputError for a fixed filter, for tiles that
    cannot be used, for weights to start from that are not there, and for a checkpoint of other settings;
    TrainingStoppedError when `stop` says so.
    """
    if not spec.tensor_shapes:
        raise InvalidInputError(f"{spec.family} cannot be trained: it is a fixed filter")
    if settings.nodes and (not settings.start or settings.degradation != VIDEO):
        raise InvalidInputError('nodes are trained from existing weights: set start = "…", degradation = "video"')
    start = _start_of(spec, settings)[0] if settings.start else None  # before anything that takes long
    if settings.nodes and start != spec:
        raise InvalidInputError(f"{settings.start} has no weights of {spec.canonical_id}, which nodes are trained from")
    luma_tiles = load_tiles(tiles, spec.scale, 2 * spec.radius + 1, settings.emphasis)
    clips = _cache_of(spec, luma_tiles, settings, out, report, stop)
    card = new_card(spec, "", tiles, len(luma_tiles), settings.seed, settings.emphasis, settings.licence)
    train_set = partial(_train_set, spec, luma_tiles, settings, clips, card, report=report, stop=stop)
    if not settings.nodes:
        return train_set(out)
    nodes = [parse_source(text) for text in settings.nodes]
    old_nodes = load_nodes(*_start_of(spec, settings)) if nodes[0].downscaler else None  # new nodes replace all
    sets = dict(old_nodes.sets) if old_nodes else {}
    quantizers = WeightNodes(sets | {source: {} for source in nodes}).quantizers
    places = {
        source: out / DIRECTORY / f"{spec.canonical_id}_at_{source.quantizer:g}{source.downscaler}" for source in nodes
    }
    journals = [train_set(place, node=Node(source, quantizers)) for source, place in places.items()]
    sets |= {source: load_weights(spec, place) for source, place in places.items()}
    blind, card = load_weights(*_start_of(spec, settings)), load_card(spec, list(places.values())[-1])
    save_weights(spec, blind, card, out, WeightNodes(sets))
    for place in places.values():
        shutil.rmtree(place)  # or the next run would take its nodes for its own
    return journals[-1]


def _train_set(
    spec: ModelSpec,
    luma_tiles: list[Tile],
    settings: TrainingSettings,
    clips: Path | None,
    card: ModelCard,
    out: Path,
    node: Node | None = None,
    *,
    report: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> Journal:
    """Train one set of weights and write it into `out`, with the `card` and how it was made."""
    checkpoint = Checkpoint(spec, out)
    values = asdict(settings) | {"nodes": list(settings.nodes)}  # as a checkpoint gives it back
    fixed_values = {name: value for name, value in values.items() if name not in MAY_CHANGE}
    identity = {"model": spec.canonical_id, "tiles": len(luma_tiles), **fixed_values}
    earlier = checkpoint.last_journal() if node is not None else None
    if earlier and earlier.settings == identity and settings.steps in (None, earlier.steps):
        return earlier  # of a run that was stopped at a later node
    start = partial(_trainer, spec, luma_tiles, settings, clips, node)
    with torch_threads(settings.threads):
        trainer = start()
        journal = _take_up(checkpoint, trainer, identity)
        if journal is None:
            journal = Journal(identity, settings.steps or steps_in(settings.seconds, start()))
        run(trainer, journal, report, checkpoint, stop)
        weights = trainer.weights()
    trained_card = dataclasses.replace(card, recipe=trainer.recipe(journal.steps))
    if settings.start:
        # What stands between the recipe of the weights to start from and that of the new ones.
        joint = NODES if node is not None else ""
        if node is not None and node.source.downscaler:
            joint = f"; its sets for {', '.join(settings.nodes)} from there "
        trained_card = continued_card(trained_card, load_card(*_start_of(spec, settings)), joint)
    save_weights(spec, weights, trained_card, out)
    checkpoint.finish(journal)
    return journal


def _cache_of(
    spec: ModelSpec,
    tiles: list[Tile],
    settings: TrainingSettings,
    out: Path,
    report: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> Path | None:
    """Return the folder of degraded clips, made now or before; None where training takes none."""
    if settings.degradation != VIDEO:
        return None

    def show(count: int, total: int) -> None:
        report(Progress(count, total, doing="degrading clips"))
        if stop():
            raise TrainingStoppedError(f"stopped after clip {count} of {total}; start it again to go on")

    pairs = PairSettings(scale=spec.scale, mosaics=settings.mosaics, ways=settings.ways, seed=settings.seed)
    return make_clips(tiles, out / DIRECTORY, pairs, show)


def _trainer(
    spec: ModelSpec, tiles: list[Tile], settings: TrainingSettings, clips: Path | None, node: Node | None
) -> Trainer:
    if clips is not None:
        source: CropSource = ClipSource(clips, node)
    elif spec.family in HEADS:
        if settings.start:
            raise InvalidInputError(f"{spec.family} has one layer and is always trained anew; leave `start` out")
        return PatchTrainer(spec, tiles, settings.seed, settings.restarts)
    else:
        source = TileSource(tiles)
    start = _start_weights(spec, settings, node) if settings.start else None
    return CropTrainer(
        spec, source, settings.seed, batch=settings.batch, crop=settings.crop, rate=settings.rate, start=start
    )


def _start_weights(spec: ModelSpec, settings: TrainingSettings, node: Node | None) -> Weights:
    start_spec, place = _start_of(spec, settings)
    weights: Weights = load_weights(start_spec, place)
    nodes = load_nodes(start_spec, place)
    if node is not None and node.source.downscaler and nodes is not None:
        any_downscaler = Source(node.source.quantizer)
        weights = nodes.at(any_downscaler) if any_downscaler in nodes.sets else weights
    return grow_weights(weights, start_spec, spec)


def _start_of(spec: ModelSpec, settings: TrainingSettings) -> tuple[ModelSpec, Path]:
    place = PACKAGED if settings.start == SHIPPED else Path(settings.start)
    return nearest_start(spec, place), place


def _take_up(checkpoint: Checkpoint, trainer: Trainer, identity: dict[str, Any]) -> Journal | None:
    if not checkpoint.exists():
        return None
    journal, state = checkpoint.read()
    if journal.settings != identity:
        changed = [f"{k} = {v}" for k, v in journal.settings.items() if v != identity.get(k)]
        raise InvalidInputError(
            f"{checkpoint.path} is of a run with {', '.join(changed)}; go on with that, or delete it"
        )
    trainer.restore(state)
    return journal
