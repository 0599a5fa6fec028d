"""The models that this server holds: loaded once, measured, and shared by all streams."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from esr_server.errors import ConfigError
from esr_server.models.catalog import AUTO, Catalog, ModelSource, is_file_name
from esr_server.models.cost import MeasuredCost, measure
from esr_server.models.ladder import ordered
from esr_server.models.served import ModelEntry, ServedModel
from esr_upscale.engine import EngineSettings, LoadedModel, backend_name, serves_nodes
from esr_upscale.models import SCALES

log = logging.getLogger(__name__)


class LoadObserver(Protocol):
    """Who wants to know which models are loaded."""

    def model_loaded(self, model: LoadedModel, load_s: float) -> None:
        """`model` was loaded in `load_s` seconds, warm-up and measuring included."""
        ...

    def model_unloaded(self, model: LoadedModel) -> None: ...


class ModelPool:
    """Loads a model at its first use and keeps it. Safe to use from any thread; loading one keeps nobody waiting who
    asks for another that is there.
    """

    def __init__(
        self, settings: EngineSettings, default: str, observer: LoadObserver, catalog: Catalog | None = None
    ) -> None:
        self._settings = settings
        self._catalog = catalog or Catalog()
        self._default = default
        self._observer = observer
        self._loaded: dict[str, ServedModel] = {}
        self._backends: dict[ModelSource, str] = {}
        self._loading = threading.Lock()

    def get(self, name: str) -> ServedModel:
        """The model of this name, alias, canonical id or paper id; the server's default for an empty name.

        Raises:
            UnknownModelError: there is no such model; WeightsError, EngineError: it cannot run here.
        """
        source = self._catalog.find(name or self._default)
        if (served := self._loaded.get(source.name)) is not None:
            return served
        with self._loading:
            return self._get(source)

    def load(self, name: str) -> ModelEntry:
        """Load a model for an administrator: one that is known, or a weights file in the server's folder.

        A file is served under its stem from then on. It replaces own weights of that name, unless they are loaded.

        Raises:
            UnknownModelError, EngineError: as `get`.
            InvalidInputError, WeightsError: the file does not lie in the folder or cannot be used.
            ConfigError: other weights of that name are loaded.
        """
        if not is_file_name(name):
            return self.entry(self._catalog.find(self.get(name).name))
        source = self._catalog.read(name)
        with self._loading:
            if source.name not in self._loaded:
                self._catalog.add(source)
            elif self._catalog.find(source.name).weights_sha256 != source.weights_sha256:
                raise ConfigError(f"{source.name} is loaded with other weights than {name} has now: unload it first")
            self._get(source)
        return self.entry(source)

    def check(self, name: str) -> None:
        """Raise UnknownModelError where there is no such model. Loads nothing."""
        self._catalog.find(name or self._default)

    def choose(self, name: str, ladder: Sequence[str]) -> tuple[ServedModel, ...]:
        """The models that a stream may run, best first: those of its ladder, or of "auto", or the one of `name`.

        Raises:
            UnknownModelError, WeightsError, EngineError: as `get`.
            ConfigError: both a ladder and a model, or models of more than one scale.
        """
        if ladder and name:
            raise ConfigError(f"a stream takes a model or a ladder, not both: leave out {name!r} or the ladder")
        if ladder:
            return ordered([self.get(each) for each in ladder])
        if not (auto := AUTO.fullmatch(name)):
            return (self.get(name),)
        scale = int(auto[1]) if auto[1] else self.get("").scale
        rungs = [served for served in self.loaded if served.scale == scale]
        if not rungs:
            known = ", ".join(f"×{each}" for each in SCALES if any(served.scale == each for served in self.loaded))
            raise ConfigError(f"no model of ×{scale} is loaded here, only {known}")
        return ordered(rungs)

    def unload(self, name: str) -> ModelEntry:
        """Forget a model. Streams that hold it keep it to their end.

        Raises:
            UnknownModelError: there is no such model; ConfigError: it is not loaded, or it is the default.
        """
        source = self._catalog.find(name)
        if source == self._catalog.find(self._default):
            raise ConfigError(f"{source.name} is this server's default model and cannot be unloaded")
        with self._loading:
            if source.name not in self._loaded:
                raise ConfigError(f"{source.name} is not loaded")
            served_model = self._loaded[source.name]
            self._loaded = {each: served for each, served in self._loaded.items() if each != source.name}
        self._observer.model_unloaded(served_model.model)
        return self.entry(source)

    @property
    def loaded(self) -> tuple[ServedModel, ...]:
        return tuple(self._loaded.values())

    def measure_again(self, is_quiet: Callable[[], bool]) -> bool:
        """Measure what frames cost the loaded models, for as long as `is_quiet`.

        Returns whether it should be done once more: a measurement did not agree with the one before.
        """
        agree = True
        for served in self.loaded:
            cost = measure(served.upscaler)
            if not is_quiet():  # a stream that began meanwhile has disturbed it
                return False
            agree = served.costs.measured(cost) and agree
        return not agree

    def entries(self) -> list[ModelEntry]:
        """Every model that can be served, loaded or not. Asking loads none."""
        return [self.entry(source) for source in self._catalog.sources()]

    def entry(self, source: ModelSource) -> ModelEntry:
        """Return a model's line of ListModels."""
        served = self._loaded.get(source.name)
        nodes = tuple(source.nodes.sets) if source.nodes and serves_nodes(self._settings) else ()
        if source not in self._backends:
            self._backends[source] = backend_name(source.spec, source.weights, self._settings)
        return ModelEntry(source, self._backends[source], served.cost if served else None, nodes)

    def _get(self, source: ModelSource) -> ServedModel:
        """Return a model as `get` does, for a caller that holds the lock."""
        if source.name not in self._loaded:
            self._loaded = {**self._loaded, source.name: self._load(source)}
        return self._loaded[source.name]

    def _load(self, source: ModelSource) -> ServedModel:
        started = time.perf_counter()
        model = LoadedModel(source.spec, source.weights, self._settings, source.name, source.nodes)
        if model.fallback:
            log.warning("%s runs on %s: %s", source.name, model.backend, model.fallback)
        model.warm_up()
        served = ServedModel(model, source.card, MeasuredCost(measure(model.upscaler)))
        self._observer.model_loaded(model, time.perf_counter() - started)
        return served
