"""The models that this server holds: loaded once, kept, shared by all streams."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from esr_upscale.engine import EngineSettings, LoadedModel, engine_name
from esr_upscale.models import ModelCard, ModelSpec, list_models, load_card, load_weights, resolve

log = logging.getLogger(__name__)


class LoadObserver(Protocol):
    """Who wants to know of a loaded model."""

    def model_loaded(self, model: LoadedModel, load_s: float) -> None:
        """`model` was loaded in `load_s` seconds, warm-up included."""
        ...


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A line of ListModels."""

    spec: ModelSpec
    card: ModelCard
    engine: str
    loaded: bool


class ModelPool:
    """Loads a model at its first use and keeps it. Safe to use from any thread."""

    def __init__(self, settings: EngineSettings, default: str, observer: LoadObserver) -> None:
        self._settings = settings
        self._default = default
        self._observer = observer
        self._loaded: dict[ModelSpec, LoadedModel] = {}
        self._engines: dict[ModelSpec, str] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> LoadedModel:
        """The model of this alias, canonical id or paper id; the server's default for an empty name.

        Raises:
            UnknownModelError: there is no such model; WeightsError, EngineError: it cannot run here.
        """
        spec = resolve(name or self._default, list_models())
        with self._lock:
            if spec not in self._loaded:
                self._loaded[spec] = self._load(spec)
            return self._loaded[spec]

    def entries(self) -> list[ModelEntry]:
        """Every model that can be served, loaded or not. Asking loads none."""
        return [ModelEntry(spec, load_card(spec), self._engine(spec), spec in self._loaded) for spec in list_models()]

    def _engine(self, spec: ModelSpec) -> str:
        """What would run a model here, found out once."""
        if spec not in self._engines:
            self._engines[spec] = engine_name(spec, load_weights(spec), self._settings)
        return self._engines[spec]

    def _load(self, spec: ModelSpec) -> LoadedModel:
        started = time.perf_counter()
        model = LoadedModel(spec, load_weights(spec), self._settings)
        if model.fallback:
            log.warning("%s runs on %s: %s", spec.canonical_id, model.engine, model.fallback)
        model.warm_up()
        self._observer.model_loaded(model, time.perf_counter() - started)
        return model
