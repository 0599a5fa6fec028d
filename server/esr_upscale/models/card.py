"""The card of a model: where its weights come from and how good they are. JSON next to the weights file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from esr_upscale.errors import InvalidInputError, WeightsError

UNKNOWN_LICENCE = "LicenseRef-unknown"
"""The licence on a card if no one has named one: it makes no claim. SPDX has this form for ids of one's own."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a set of weights."""

    model: str
    """Canonical id."""
    padding: str
    """`edge` or `zeros`."""
    recipe: str
    """How the weights were made, in a sentence or two."""
    data: str
    """What they were made from."""
    credits: tuple[str, ...]
    """Works whose licence asks for their author to be named."""
    licence: str
    """SPDX id of the weights' own licence."""
    psnr: Mapping[str, float] = field(hash=False)
    """Set → mean PSNR of luma in dB, by the protocol of `esr eval`."""
    date: str
    """Day they were made, ISO 8601."""
    versions: Mapping[str, str] = field(hash=False)
    """Library → version."""
    seed: int | None = None
    """Seed of the run; None where nothing is random."""

    def to_json(self) -> str:
        """Return the card as indented JSON, ending in a newline."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def check_licence(licence: str) -> None:
    """Raise InvalidInputError unless `licence` has the form of an SPDX id or expression."""
    if not re.fullmatch(r"[A-Za-z0-9.+() -]*[A-Za-z0-9+)]", licence):
        raise InvalidInputError(
            f"{licence!r} is no licence for a card: it takes an SPDX id such as CC-BY-4.0, or LicenseRef- and a name"
        )


def unknown_card(model: str, padding: str) -> ModelCard:
    """Return the card of weights that came without one."""
    return ModelCard(model, padding, "not known", "not known", (), "LicenseRef-unknown", {}, "", {})


def parse_card(text: str, origin: str) -> ModelCard:
    """Read a card. Raises WeightsError, naming `origin`, when it is not one."""
    try:
        raw: dict[str, Any] = json.loads(text)
        values = {f.name: raw[f.name] for f in fields(ModelCard)}
        return ModelCard(**values | {"credits": tuple(values["credits"])})
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{origin} is not a model card: {error!r}") from error
