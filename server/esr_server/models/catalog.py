"""Which models there are: those of the package, and the server's own weights under the names they were given."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from esr_upscale.errors import InvalidInputError, UnknownModelError, WeightsError
from esr_upscale.models import (
    SUFFIX,
    ModelCard,
    ModelSpec,
    WeightNodes,
    file_sha256,
    list_models,
    load_card,
    load_nodes,
    load_weights,
    read_weights_file,
    resolve,
    spec_named,
    weights_path,
)
from esr_upscale.plane_kernel import Weights

AUTO = re.compile(r"auto(?:_x(\d))?", re.IGNORECASE)
"""Names that let the server choose one of the loaded models."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True)
class ModelSource:
    """A model by its name, and where its weights come from."""

    name: str
    """What clients ask for: the canonical id of a packaged model, or the name of own weights."""
    spec: ModelSpec
    path: Path | None = None
    """File of own weights; None for a packaged model."""
    own_weights: Weights = field(default_factory=dict, repr=False, compare=False)
    own_card: ModelCard | None = field(default=None, repr=False, compare=False)
    own_sha256: str = ""
    own_nodes: WeightNodes | None = field(default=None, repr=False, compare=False)

    @property
    def weights(self) -> Weights:
        """The tensors. Those of own weights were read and checked when the source was made."""
        return self.own_weights if self.path else load_weights(self.spec)

    @cached_property
    def nodes(self) -> WeightNodes | None:
        """The weights for sources of known quality, where there are some."""
        return self.own_nodes if self.path else load_nodes(self.spec)

    @cached_property
    def card(self) -> ModelCard:
        return self.own_card or load_card(self.spec)

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights file in hexadecimal; empty for a fixed filter, which has none."""
        if self.path:
            return self.own_sha256
        return file_sha256(weights_path(self.spec)) if self.spec.tensor_shapes else ""


def split_models(values: Iterable[str]) -> tuple[tuple[str, ...], dict[str, Path]]:
    """Read values of `--model`, each NAME or NAME=FILE. Return the names in order, and the files by name.

    Raises:
        InvalidInputError: a name or a file is empty, or a name has two files.
    """
    names: list[str] = []
    files: dict[str, Path] = {}
    for value in values:
        name, has_file, file = value.partition("=")
        if has_file and (not name or not file):
            raise InvalidInputError(f"--model is NAME or NAME=FILE{SUFFIX}, not {value!r}")
        if has_file and files.setdefault(name, Path(file)) != Path(file):
            raise InvalidInputError(f"--model gives {name!r} two files: {files[name]} and {file}")
        names.append(name)
    return tuple(names), files


class Catalog:
    """Every model by its name. Safe to use from any thread."""

    def __init__(self, files: Mapping[str, Path] | None = None, folder: Path | None = None) -> None:
        """Read and check own weights: `files` by name, and each of `folder`, under its stem unless `files` names it.

        Raises:
            InvalidInputError: a name cannot be used, or is that of another model.
            WeightsError: the folder is missing, or a file is missing or holds no weights of a known network.
        """
        self._packaged = {spec.canonical_id: ModelSource(spec.canonical_id, spec) for spec in list_models()}
        self._own: dict[str, ModelSource] = {}
        self._folder = folder.resolve() if folder else None
        self._adding = threading.Lock()
        for name, path in (files or {}).items():
            self.add(self._read(name, path, f"{name}={path}"))
        if self._folder is None:
            return
        if not self._folder.is_dir():
            raise WeightsError(f"--weights {folder} is not a folder; it should hold weights files, *{SUFFIX}")
        read = {source.path for source in self._own.values()}
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path.resolve() not in read:
                self.add(self.read(path.name))

    def find(self, name: str) -> ModelSource:
        """Return the model of that name, or of that alias, canonical id or paper id.

        Raises:
            UnknownModelError: there is none; the message has near names.
        """
        if name in self._own:
            return self._own[name]
        try:
            spec = resolve(name, [source.spec for source in self._packaged.values()])
        except UnknownModelError as error:
            aliases = {source.spec.alias for source in self._packaged.values()} - {None}
            raise UnknownModelError(error.name, {*self._packaged, *self._own, *filter(None, aliases)}) from None
        return self._packaged[spec.canonical_id]

    def read(self, file: str) -> ModelSource:
        """Read a weights file of the folder, named relative to it, without adding it.

        Raises:
            InvalidInputError: the server has no folder, the file lies outside it, or its name cannot be used.
            WeightsError: the file is missing or holds no weights of a known network.
        """
        if self._folder is None:
            raise InvalidInputError(
                f"{file!r} is a file, but this server was started without --weights: it loads models by name only"
            )
        # Links are followed first: where a file really lies decides. Nothing is said of files outside.
        try:
            path = (self._folder / file).resolve()
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.stat()
        except (OSError, RuntimeError, ValueError) as error:  # too long, links in a circle, a null byte
            raise InvalidInputError(f"this is not a file path: {file[:100]!r}") from error
        if not path.is_relative_to(self._folder):
            raise InvalidInputError(f"{file!r} is not in the folder of --weights, and is not loaded")
        name = next((source.name for source in self._own.values() if source.path == path), None)
        return self._read(name or path.stem, path, file)

    def add(self, source: ModelSource) -> None:
        """Add own weights, or put them in the place of those that had the name."""
        with self._adding:
            self._own = {**self._own, source.name: source}

    def sources(self) -> tuple[ModelSource, ...]:
        """Return every model, own ones first, each part sorted by name."""
        own = sorted(self._own.values(), key=lambda source: source.name)
        return *own, *self._packaged.values()

    def _read(self, name: str, path: Path, origin: str) -> ModelSource:
        """Read weights; `origin` is what messages call the file."""
        self._check_name(name, path.resolve(), origin)
        file = read_weights_file(path, origin)
        if spec_named(name) not in (None, file.spec):
            raise InvalidInputError(
                f"{origin}: these are weights of {file.spec.canonical_id}, and {name!r} is the id of another network; "
                "choose another name"
            )
        return ModelSource(name, file.spec, path.resolve(), file.tensors, file.card, file.sha256, file.nodes)

    def _check_name(self, name: str, path: Path, origin: str) -> None:
        hint = f"rename the file, or start with --model NAME={origin}" if "=" not in origin else "choose another name"
        if not _NAME.fullmatch(name) or name.endswith(SUFFIX):
            raise InvalidInputError(
                f"{origin}: a model's name is 1 to 64 letters, digits, '_', '.' and '-', without {SUFFIX}, "
                f"not {name!r}; {hint}"
            )
        specs = [source.spec for source in self._packaged.values()]
        names = {each for spec in specs for each in (spec.canonical_id, spec.alias, spec.paper_id.lower())}
        if AUTO.fullmatch(name) or name.lower() in names:
            raise InvalidInputError(f"{origin}: {name!r} is already the name of an edge-sr model; {hint}")
        for other in self._own.values():
            if other.name.lower() == name.lower() and other.path != path:
                raise InvalidInputError(f"{origin}: {name!r} is already the name of other own weights; {hint}")


def is_file_name(name: str) -> bool:
    """Return whether a name that an administrator loads is that of a file."""
    return name.endswith(SUFFIX) or "/" in name
