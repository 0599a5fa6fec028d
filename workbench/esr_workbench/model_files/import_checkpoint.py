"""Published checkpoints of the edge-SR project: from a torch state dict to our weights and their card.

A checkpoint is a pickle, and a pickle can run code. Only torch's reader for tensors and plain containers is used, and
what comes out of it is checked against the model before a number of it is looked at.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esr_upscale.errors import InvalidInputError, UnknownModelError, WeightsError
from esr_upscale.models import ModelCard, ModelSpec, Padding, resolve, save_weights
from esr_workbench.model_files.cards import today, versions

MOST_FAULTS = 6
"""How many differences an error lists: a checkpoint of something else altogether may have hundreds."""


def import_checkpoint(file: Path, spec: ModelSpec, licence: str, out: Path) -> Path:
    """Write the weights in the torch checkpoint `file` into `out`, as those of `spec`, with a card next to them.

    Values become float32. `licence` is the SPDX id for the card. Returns the path of the weights. Raises
    InvalidInputError for a family without weights; WeightsError when the file cannot be read as a state dict without
    running code, or its tensors are not those of `spec`. Weights of that name in `out` are replaced.
    """
    if not spec.tensor_shapes:
        raise InvalidInputError(f"{spec.canonical_id} is a fixed filter and has no weights to import")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise WeightsError(f"{file} cannot be read: {error.strerror}") from error
    tensors = _float32(_check_fit(_state_dict(content, file.name), spec, file.name), file.name)
    card = _card(spec, file.name, hashlib.sha256(content).hexdigest(), licence)
    return save_weights(spec, tensors, card, out)


def checkpoint_spec(file: Path, name: str | None, padding: Padding) -> ModelSpec:
    """Return the model that `file` holds: called `name`, or else as the file is, with `padding` in either case.

    Raises UnknownModelError for a `name` that is none, InvalidInputError for a file's, and for a name that ends in
    `_zeros` with another padding.
    """
    try:
        spec = resolve(name or file.stem)
    except UnknownModelError as error:
        if name:
            raise
        raise InvalidInputError(
            f"{file.name} is not named after a model, as eSR-TR_s2_K5_C2.model is; say which one it is: --name ID"
        ) from error
    if spec.padding == "zeros" and padding != "zeros":
        raise InvalidInputError(f"{name or file.stem} is a name for padding zeros; leave out --padding {padding}")
    return replace(spec, padding=padding) if spec.tensor_shapes else spec


def _state_dict(content: bytes, origin: str) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            # Remarks on the age of the format, of no use to who has only this file.
            warnings.simplefilter("ignore", UserWarning)
            state_dict = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes torch and its unpickler fail in any way there is
        # Only the wording of torch's error tells an object that was refused from bytes that are none.
        match = re.search(r"GLOBAL (\S+)", str(error))
        reason = "cannot be read as a torch checkpoint"
        if match:
            reason = f"holds a pickled object that is no tensor, {match[1]}, which could run code and is never loaded"
        raise WeightsError(
            f"{origin} {reason}; a state dict is needed, as torch.save(module.state_dict(), file) writes it"
        ) from error
    if not isinstance(state_dict, Mapping):
        raise WeightsError(
            f"{origin} holds a {type(state_dict).__name__}; a state dict is needed, tensors by their names"
        )
    for name, value in state_dict.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f"{origin}: {name!r} is a {type(value).__name__}; a state dict has tensors only")
    return dict(state_dict)


def _check_fit(tensors: dict[str, Tensor], spec: ModelSpec, origin: str) -> dict[str, Tensor]:
    # All that is wrong in one message: from one line of it alone it is hard to see which model the file is of.
    expected = spec.tensor_shapes
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    faults = [f"it lacks {name!r} {shape}" for name, shape in expected.items() if name not in shapes]
    unknown = {name: shape for name, shape in shapes.items() if name not in expected}
    faults += [f"it has {name!r} {shape}, which that model has not" for name, shape in unknown.items()]
    for name, shape in expected.items():
        if name in shapes and shapes[name] != shape:
            faults.append(f"{name!r} is {shapes[name]}, it must be {shape}")
    if len(faults) > MOST_FAULTS:
        faults[MOST_FAULTS:] = [f"and {len(faults) - MOST_FAULTS} differences more"]
    if faults:
        raise WeightsError(f"{origin} is not a checkpoint of {spec.paper_id}: {'; '.join(faults)}")
    return tensors


def _float32(tensors: dict[str, Tensor], origin: str) -> dict[str, NDArray[np.float32]]:
    converted = {}
    for name, tensor in tensors.items():
        # A checkpoint may also hold sparse tensors, and "meta" ones that have a shape and no values.
        if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.device.type != "cpu":
            kind = f"{tensor.dtype}, {tensor.layout}, {tensor.device.type}"
            raise WeightsError(f"{origin}: {name!r} is a tensor of {kind}; dense floating-point values are needed")
        values: NDArray[np.float32] = tensor.detach().to(torch.float32).numpy()
        if not np.isfinite(values).all():
            raise WeightsError(f"{origin}: {name!r} has values that are infinite or not a number in float32")
        converted[name] = values
    return converted


def _card(spec: ModelSpec, name: str, digest: str, licence: str) -> ModelCard:
    return ModelCard(
        model=spec.canonical_id,
        padding=spec.padding,
        recipe=f"Imported on the date below from {name} (sha256 {digest}). How it was trained is its authors' affair "
        "and not known here.",
        data="not known here",
        credits=(),
        licence=licence,
        psnr={},
        date=today(),
        versions=versions(),
    )
