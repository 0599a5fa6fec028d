"""Writing cards: what was done, from what, by which libraries."""

from __future__ import annotations

import csv
import dataclasses
import datetime
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelCard, ModelSpec, load_card
from esr_upscale.models.card import UNKNOWN_LICENCE
from esr_upscale.models.spec import CLEAN
from esr_upscale.replacement import write_text

CREDITS_FILE = "CREDITS.csv"
ASK_FOR_CREDIT = ("CC-BY", "MIT", "BSD-", "Apache-")
"""How the licences begin whose works a card names."""
LIBRARIES = ("edge-sr", "numpy", "safetensors", "torch")
NODES = "; its nodes from there "
"""Between the recipe of the blind weights and that of the nodes."""
FIXED = "Keys' cubic, a = −0.5: a formula, not trained"
FIXED_LICENCE = "Apache-2.0"
"""That of edge-sr, which the formula's taps are computed by."""


def new_card(
    spec: ModelSpec,
    recipe: str,
    tiles: Path,
    count: int,
    seed: int,
    emphasis: Mapping[str, float] | None = None,
    licence: str = "",
) -> ModelCard:
    """Return the card of weights trained just now on `count` tiles of the directory `tiles`. It has no figures yet.

    `licence` is an SPDX id; without one the card makes no claim.
    """
    credits_file = tiles / CREDITS_FILE
    emphases = "".join(f", {start}… drawn {factor:g} times as often" for start, factor in (emphasis or {}).items())
    return ModelCard(
        model=spec.canonical_id,
        padding=spec.padding,
        recipe=recipe,
        data=f"{count} luma tiles{emphases}; the works that require credit are listed",
        credits=read_credits(credits_file) if credits_file.is_file() else (),
        licence=licence or UNKNOWN_LICENCE,
        psnr={},
        date=today(),
        versions=versions(),
        seed=seed,
    )


def continued_card(card: ModelCard, start: ModelCard, joint: str = "") -> ModelCard:
    """Return the card of weights that went on from those of `start`: what it owes to others goes on too.

    So does the licence, unless `card` names one. `joint` is for nodes, in a file with the weights of `start`: what
    stands between both recipes. New nodes replace those of `start`.
    """
    is_grown = start.model.removesuffix(f"_{CLEAN}") != card.model.removesuffix(f"_{CLEAN}")
    start_recipe = start.recipe if joint not in ("", NODES) else start.recipe.partition(NODES)[0]
    joint = joint or (f"; grown from that {start.model} and " if is_grown else "; from there ")
    return dataclasses.replace(
        card,
        recipe=f"{start_recipe}{joint}{card.recipe}",
        data=card.data if card.data == start.data else f"{start.data}; from there {card.data}",
        credits=tuple(dict.fromkeys((*start.credits, *card.credits))),
        licence=start.licence if card.licence == UNKNOWN_LICENCE else card.licence,
    )


def measured_card(spec: ModelSpec, psnr: Mapping[str, float], directory: Path) -> ModelCard:
    """Return the card of `spec` in `directory` with these figures in it; for a fixed filter without one, a new card.

    Raises WeightsError where there is no card of a model that has weights.
    """
    if spec.tensor_shapes or (directory / f"{spec.canonical_id}.json").is_file():
        card = load_card(spec, directory)
        return dataclasses.replace(card, psnr={**card.psnr, **psnr})
    return ModelCard(
        spec.canonical_id, spec.padding, FIXED, "none", (), FIXED_LICENCE, dict(psnr), today(), versions(), seed=None
    )


def write_card(card: ModelCard, directory: Path) -> Path:
    """Write `card` into `directory`, named after its model, and return the path."""
    path = directory / f"{card.model}.json"
    write_text(path, card.to_json())
    return path


def read_credits(path: Path) -> tuple[str, ...]:
    """Return the works in a CREDITS.csv whose licences ask for credit: a line for each source, origin and licence.

    The columns are source, file, origin, licence. Raises InvalidInputError when one is missing.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                key = (row["source"], row["origin"], row["licence"])
                name = row["file"]
            except KeyError as error:
                raise InvalidInputError(f"{path.name} lacks the column {error}") from error
            if key[2].startswith(ASK_FOR_CREDIT):
                groups.setdefault(key, []).append(name)
    works = []
    for (source, origin, licence), files in sorted(groups.items()):
        place = f" ({origin})" if origin else ""
        works.append(f"{source}{place}, {licence}: {', '.join(sorted(files))}")
    return tuple(works)


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def versions() -> dict[str, str]:
    """Return the versions of what weights depend on."""
    installed = {}
    for name in LIBRARIES:
        with suppress(ModuleNotFoundError):  # run from a checkout that is not installed
            installed[name] = version(name)
    return installed
