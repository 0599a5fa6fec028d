"""Models as text: JSON, and everything that is known of one."""

from __future__ import annotations

import dataclasses
import json

from rich.table import Table
from rich.text import Text

from esr_client._errors import NotFoundError
from esr_client._results import ModelInfo


def named_model(models: tuple[ModelInfo, ...], name: str) -> ModelInfo:
    """Return the model of that name, alias or paper's id.

    Raises:
        NotFoundError: there is none.
    """
    for model in models:
        if name == model.model or name.lower() in (model.model.lower(), model.alias, model.paper_id.lower()):
            return model
    raise NotFoundError(f"the server has no model {name!r}; `esr-client models` lists its models")


def models_json(models: ModelInfo | tuple[ModelInfo, ...]) -> str:
    """Return one model as a JSON object, or several as an array, with the field names of `ModelInfo`."""
    objects = [dataclasses.asdict(model) for model in (models if isinstance(models, tuple) else (models,))]
    return json.dumps(objects if isinstance(models, tuple) else objects[0], indent=2, ensure_ascii=False)


def model_details(model: ModelInfo) -> Table:
    """Return a table of two columns: what a model is, what it costs, and the card of its weights."""
    times = {"ms per frame": model.seconds_per_frame * 1e3, "ns per pixel": model.seconds_per_pixel * 1e9}
    rows = {
        "model": model.model,
        "alias": model.alias,
        "network": model.network,
        "paper's id": model.paper_id,
        "scale": f"x{model.scale}",
        "parameters": f"{model.parameters:,}",
        "MACs per pixel": f"{model.macs_per_pixel:,}",
        "backend": model.backend,
        "loaded": "yes" if model.loaded else "no",
        **{name: f"{value:.2f}" for name, value in times.items() if model.loaded},
        **{f"dB on {name}": f"{value:.2f}" for name, value in sorted(model.psnr_db.items())},
        "weights for": ", ".join(map(str, model.nodes)),
        "SHA-256": model.weights_sha256,
        "recipe": model.card.recipe,
        "data": model.card.data,
        "licence": model.card.licence,
        "date": model.card.date,
    }
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value, overflow="fold"))
    return table
