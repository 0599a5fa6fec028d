"""Reading and writing weights: safetensors files named after their model, each with its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from esr_upscale.errors import WeightsError
from esr_upscale.models.card import ModelCard, parse_card
from esr_upscale.models.spec import ModelSpec
from esr_upscale.replacement import replace_file, write_text

PACKAGED = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"


def weights_path(spec: ModelSpec, *directories: Path) -> Path:
    """The weights file of `spec`, from `directories` first and then the package. Raises WeightsError for none."""
    return _find(spec, SUFFIX, directories)


def load_weights(spec: ModelSpec, *directories: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of `spec` by their published names, float32, each of exactly the expected shape.

    A fixed filter has none. Looks in `directories` first, then among the packaged weights. Raises WeightsError, which
    names the file and the tensor, when there is no file or it does not fit.
    """
    if not spec.tensor_shapes:
        return {}
    path = weights_path(spec, *directories)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} cannot be read as safetensors: {error}") from error
    check_weights(spec, tensors, path.name)
    return tensors


def check_weights(spec: ModelSpec, tensors: Mapping[str, NDArray[np.float32]], origin: str) -> None:
    """Raise WeightsError unless `tensors` has the names, shapes and dtype of `spec`. `origin` is for the message."""
    expected = spec.tensor_shapes
    for name in sorted(expected.keys() - tensors.keys()):
        raise WeightsError(f"{origin} lacks tensor {name!r}, which {spec.canonical_id} needs")
    for name in sorted(tensors.keys() - expected.keys()):
        raise WeightsError(f"{origin} has tensor {name!r}, which {spec.canonical_id} does not have")
    for name, shape in expected.items():
        found = tensors[name]
        if found.shape != shape or found.dtype != np.float32:
            raise WeightsError(
                f"{origin}: tensor {name!r} is {found.dtype} {found.shape}; {spec.canonical_id} needs float32 {shape}"
            )


def save_weights(spec: ModelSpec, tensors: Mapping[str, NDArray[np.float32]], card: ModelCard, directory: Path) -> Path:
    """Write weights and card into `directory` (made if missing) and return the weights' path."""
    check_weights(spec, tensors, "the new weights")
    path = directory / (spec.canonical_id + SUFFIX)
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
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
