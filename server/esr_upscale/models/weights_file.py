"""Reading and writing weights: safetensors files named after their model, each with its card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from esr_upscale.errors import WeightsError
from esr_upscale.models.card import ModelCard, parse_card, unknown_card
from esr_upscale.models.nodes import Tensors, WeightNodes, join_nodes, split_nodes
from esr_upscale.models.spec import ModelSpec
from esr_upscale.replacement import replace_file, write_text

PACKAGED = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"


def weights_path(spec: ModelSpec, *directories: Path) -> Path:
    """The weights file of `spec`, from `directories` first and then the package. Raises WeightsError for none."""
    return _find(spec, SUFFIX, directories)


def load_weights(spec: ModelSpec, *directories: Path) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of `spec` by their published names, float32, each of exactly the expected shape.

    A fixed filter has none. Looks in `directories` first, then in the packaged weights. Raises WeightsError, which
    names the file and the tensor, when there is no file or it does not fit.
    """
    if not spec.tensor_shapes:
        return {}
    return _load(spec, directories)[0]


def load_nodes(spec: ModelSpec, *directories: Path) -> WeightNodes | None:
    """Return the weights for sources of known quality, as `load_weights` finds and checks them; None where none are."""
    return _load(spec, directories)[1] if spec.tensor_shapes else None


def _load(spec: ModelSpec, directories: tuple[Path, ...]) -> tuple[dict[str, NDArray[np.float32]], WeightNodes | None]:
    path = weights_path(spec, *directories)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} cannot be read as safetensors: {error}") from error
    return _check_sets(spec, tensors, path.name)


def _check_sets(
    spec: ModelSpec, tensors: Tensors, origin: str
) -> tuple[dict[str, NDArray[np.float32]], WeightNodes | None]:
    """Take a file's tensors apart and check each set. Raises WeightsError."""
    try:
        blind, nodes = split_nodes(tensors)
    except ValueError as error:
        raise WeightsError(f"{origin}: {error}") from error
    check_weights(spec, blind, origin)
    for source, tensors_of_node in nodes.items():
        check_weights(spec, tensors_of_node, f"node {source} of {origin}")
    return blind, WeightNodes(nodes) if nodes else None


def check_weights(spec: ModelSpec, tensors: Mapping[str, NDArray[np.float32]], origin: str) -> None:
    """Raise WeightsError unless `tensors` has the names, shapes and dtype of `spec`. `origin` is for the message."""
    expected = spec.tensor_shapes
    for name in sorted(expected.keys() - tensors.keys()):
        raise WeightsError(f"{origin} lacks tensor {name!r}, which {spec.canonical_id} needs")
    for name in sorted(tensors.keys() - expected.keys()):
        raise WeightsError(f"{origin} has tensor {name!r}, which {spec.canonical_id} does not have")
    for name, shape in expected.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise WeightsError(
                f"{origin}: tensor {name!r} is {tensor.dtype} {tensor.shape}; {spec.canonical_id} needs float32 {shape}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class WeightsFile:
    """A weights file that says itself what it is of, read and checked."""

    spec: ModelSpec
    tensors: Mapping[str, NDArray[np.float32]]
    card: ModelCard
    sha256: str
    """Of the whole file, in hexadecimal."""
    nodes: WeightNodes | None
    """Weights for sources of known quality, where the file has some."""


def read_weights_file(path: Path, origin: str) -> WeightsFile:
    """Read weights from a file of any name, with the card next to it if there is one.

    The network is the one that the file's metadata, its card or its name says, in this order. `origin` is what messages
    call the file. Raises WeightsError when it is missing, no safetensors file, of no known network, or damaged.
    """
    try:
        if not path.is_file():
            raise WeightsError(f"{origin}: there is no such file")
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- it is no mapping
        sha256 = file_sha256(path)
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{origin} cannot be read as safetensors: {error}") from error
    card_path = path.with_suffix(".json")
    card = parse_card(card_path.read_text(encoding="utf-8"), f"the card of {origin}") if card_path.is_file() else None
    spec = _spec_of(metadata.get("model") or (card.model if card else path.stem), origin)
    if card and card.model != spec.canonical_id:
        raise WeightsError(f"{origin} has weights of {spec.canonical_id}, but the card next to it is of {card.model}")
    blind, nodes = _check_sets(spec, tensors, origin)
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise WeightsError(f"{origin}: tensor {name!r} has values that are infinite or not a number")
    return WeightsFile(spec, blind, card or unknown_card(spec.canonical_id, spec.padding), sha256, nodes)


def _spec_of(model: str, origin: str) -> ModelSpec:
    from esr_upscale.models import FAMILIES, spec_named  # they are collected from this package when it is imported

    spec = spec_named(model)
    if spec is None or not spec.tensor_shapes:
        families = ", ".join(name for name, family in FAMILIES.items() if family.hyper)
        raise WeightsError(
            f"{origin} must name its network in its metadata, its card or its file name, such as "
            f"esr_tr_x2_k5_c2; it says {model!r}. Known families are {families}"
        )
    return spec


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(
    spec: ModelSpec, tensors: Tensors, card: ModelCard, directory: Path, nodes: WeightNodes | None = None
) -> Path:
    """Write weights and card into `directory` (made if missing) and return the weights' path."""
    all_tensors = join_nodes(tensors, nodes)
    _check_sets(spec, all_tensors, "the new weights")
    path = directory / (spec.canonical_id + SUFFIX)
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in all_tensors.items()}
    # Not save_file, which makes a file that only its owner may read: installed by root, no service could.
    with replace_file(path) as part:
        part.write_bytes(save(contiguous, metadata={"model": spec.canonical_id, "padding": spec.padding}))
    write_text(path.with_suffix(".json"), card.to_json())
    return path


def load_card(spec: ModelSpec, *directories: Path) -> ModelCard:
    """The card of `spec`, found as `load_weights` finds the weights. Raises WeightsError when missing or damaged."""
    path = _find(spec, ".json", directories)
    return parse_card(path.read_text(encoding="utf-8"), path.name)


def _find(spec: ModelSpec, suffix: str, directories: tuple[Path, ...]) -> Path:
    name = spec.canonical_id + suffix
    for directory in (*directories, PACKAGED):
        if (directory / name).is_file():
            return directory / name
    places = ", ".join(str(d) for d in directories) + (" or " if directories else "")
    raise WeightsError(f"there is no {name} in {places}the packaged weights; `esr train {spec.canonical_id}` makes it")
