"""A model that is ready to serve, and the line of ListModels for one that may be."""

from __future__ import annotations

from dataclasses import dataclass

from esr_server.models.catalog import ModelSource
from esr_server.models.cost import Cost, MeasuredCost
from esr_upscale.engine import LoadedModel
from esr_upscale.models import ModelCard, ModelSpec, Source
from esr_upscale.upscaler import Upscaler


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """A model that is ready, and what a frame costs it here."""

    model: LoadedModel
    card: ModelCard
    costs: MeasuredCost

    @property
    def cost(self) -> Cost:
        """Return the current cost of a frame."""
        return self.costs.current

    @property
    def name(self) -> str:
        """Canonical id, or the name of own weights."""
        return self.model.name

    @property
    def scale(self) -> int:
        return self.model.spec.scale

    @property
    def backend(self) -> str:
        return self.model.backend

    @property
    def upscaler(self) -> Upscaler:
        return self.model.upscaler


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A line of ListModels."""

    source: ModelSource
    backend: str
    cost: Cost | None
    """None where the model is not loaded."""
    nodes: tuple[Source, ...]
    """What its weights for sources of known quality are for, if they are served."""

    @property
    def name(self) -> str:
        """Canonical id, or the name of own weights."""
        return self.source.name

    @property
    def spec(self) -> ModelSpec:
        return self.source.spec

    @property
    def card(self) -> ModelCard:
        return self.source.card

    @property
    def loaded(self) -> bool:
        """Return whether a stream that asks for it begins at once."""
        return self.cost is not None
