"""What a model is: families, hyper-parameters, names, weights. Uses numpy and safetensors, never torch.

A family is one file here: it ends in `FAMILIES`, a tuple, which this package collects.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

from esr_upscale.errors import UnknownModelError, WeightsError
from esr_upscale.models.card import ModelCard
from esr_upscale.models.nodes import Source, WeightNodes
from esr_upscale.models.spec import SCALES, Family, ModelSpec, Padding, parse
from esr_upscale.models.weights_file import (
    PACKAGED,
    SUFFIX,
    WeightsFile,
    check_weights,
    file_sha256,
    load_card,
    load_nodes,
    load_weights,
    read_weights_file,
    save_weights,
    weights_path,
)

__all__ = [
    "DEFAULT_MODEL",
    "FAMILIES",
    "SCALES",
    "SUFFIX",
    "Family",
    "ModelCard",
    "ModelSpec",
    "Padding",
    "Source",
    "WeightNodes",
    "WeightsFile",
    "check_weights",
    "file_sha256",
    "list_models",
    "load_card",
    "load_nodes",
    "load_weights",
    "read_weights_file",
    "resolve",
    "save_weights",
    "spec_named",
    "weights_path",
]


def _collect() -> MappingProxyType[str, Family]:
    families: dict[str, Family] = {}
    for module in pkgutil.iter_modules(__path__):
        for family in getattr(importlib.import_module(f"{__name__}.{module.name}"), "FAMILIES", ()):
            if family.name in families:
                raise RuntimeError(f"two model files define the family {family.name!r}")
            families[family.name] = family
    return MappingProxyType(dict(sorted(families.items())))


FAMILIES = _collect()
"""Name → family, every one that a module of this package defines."""

DEFAULT_MODEL = "esr_stack_x2_c4_l5"
"""What is served and compiled where no model is named: the best picture at about 600 MACs."""


def resolve(name: str, allowed: Iterable[ModelSpec] | None = None) -> ModelSpec:
    """Return the model of that alias, canonical id or paper id, in any case.

    With `allowed` (say `list_models()`) it must be one of these; without, any configuration of a known family will do,
    with or without weights. Raises UnknownModelError, with the near names.
    """
    allowed = None if allowed is None else tuple(allowed)
    spec = spec_named(name)
    if spec is None or (allowed is not None and spec not in allowed):
        candidates = list_models() if allowed is None else allowed
        raise UnknownModelError(name, {n for spec in candidates for n in (spec.canonical_id, spec.alias) if n})
    return spec


def spec_named(name: str) -> ModelSpec | None:
    """Return the configuration of a known family with that alias, canonical id or paper id; None for other names."""
    return next((spec for family in FAMILIES.values() if (spec := parse(family, name))), None)


def list_models(*directories: Path) -> tuple[ModelSpec, ...]:
    """Return every model that can be served, sorted by canonical id.

    These are the fixed filters, and each model with a weights file in the package or in one of `directories`. Raises
    WeightsError when a directory is missing or has a weights file that is not named after a model.
    """
    fixed = (ModelSpec(f, scale) for f in FAMILIES.values() if not f.hyper for scale in SCALES)
    trained = (spec for directory in (PACKAGED, *directories) for spec in _in_directory(directory))
    return tuple(sorted({*fixed, *trained}, key=lambda spec: spec.canonical_id))


def _in_directory(directory: Path) -> Iterable[ModelSpec]:
    if not directory.is_dir():
        raise WeightsError(f"{directory} is not a directory; it should hold weights files, <canonical id>{SUFFIX}")
    for path in directory.glob(f"*{SUFFIX}"):
        specs = [spec for f in FAMILIES.values() if (spec := parse(f, path.stem))]
        if not specs or specs[0].canonical_id != path.stem:
            raise WeightsError(f"{path.name} is not named after a model, as in esr_tr_x2_k5_c2{SUFFIX}")
        yield specs[0]
