"""What a model is: a family, a scale and hyper-parameters. The numbers follow from the family's own formulas."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

Padding: TypeAlias = Literal["edge", "zeros"]
"""What lies outside the picture: its edge, replicated once at the input, or zeros at every layer."""

Shapes: TypeAlias = dict[str, tuple[int, ...]]
"""Tensor names as published → shapes."""

SCALES = (2, 3, 4)
CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class HyperParameter:
    """One letter of a model's name, e.g. K5: what it may be and what the default configuration has."""

    letter: str
    """Upper case, as in the paper's ids."""
    default: int
    allowed: range
    """Every value that makes a network."""


@dataclass(frozen=True, slots=True)
class Family:
    """A network design. `FAMILIES` of a module in this package lists them; nothing else has to know."""

    name: str
    """As in canonical ids: `esr_tr`."""
    paper_name: str
    """As in the paper's ids: `eSR-TR`."""
    hyper: tuple[HyperParameter, ...]
    """In the order of the ids. Empty for a design without choices."""
    shapes: Callable[[ModelSpec], Shapes] = field(compare=False)
    """The tensors of a weights file. Empty for a fixed filter, which is served without one."""
    macs: Callable[[ModelSpec], int] = field(compare=False)
    """Multiplications per input pixel, counted as the paper counts them."""
    radius: Callable[[ModelSpec], int] = field(compare=False)
    """How far, in input pixels, an output pixel looks from the input pixel it lies in."""


@dataclass(frozen=True)
class ModelSpec:
    """One network, fully described but for its weights. Hashable; equal specs are the same network, with weights for
    the same sources.
    """

    family_spec: Family
    scale: int
    values: tuple[int, ...] = ()
    """The family's hyper-parameters, in its order."""
    padding: Padding = "edge"
    clean: bool = False
    """The name is of weights for sources that were never coded, made smaller by bicubic; others are for any source."""

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"{self.family_spec.paper_name}: scale is {self.scale}, it must be one of {SCALES}")
        for hyper, value in zip(self.family_spec.hyper, self.values, strict=True):
            if value not in hyper.allowed:
                raise ValueError(f"{self.family_spec.paper_name}: {hyper.letter}={value} is not in {hyper.allowed}")

    @property
    def family(self) -> str:
        """Return the family's name, as in `esr_tr`."""
        return self.family_spec.name

    def __getitem__(self, letter: str) -> int:
        """Return the hyper-parameter of that letter, e.g. `spec["K"]`."""
        return dict(zip((h.letter for h in self.family_spec.hyper), self.values, strict=True))[letter]

    @cached_property
    def paper_id(self) -> str:
        """Return the id that the paper gives this configuration: `eSR-TR_s2_K5_C2`."""
        return "_".join([self.family_spec.paper_name, f"s{self.scale}", *self._letters()])

    @cached_property
    def canonical_id(self) -> str:
        """Our id, which is also the name of the weights file: `esr_tr_x2_k5_c2`."""
        letters = [letter.lower() for letter in self._letters()]
        zeros = ["zeros"] if self.padding == "zeros" else []
        clean = [CLEAN] if self.clean else []
        return "_".join([self.family, f"x{self.scale}", *letters, *zeros, *clean])

    @property
    def alias(self) -> str | None:
        """Return the short name, `esr_tr_x2`, when this is the family's default configuration."""
        short = f"{self.family}_x{self.scale}" + (f"_{CLEAN}" if self.clean else "")
        default = tuple(h.default for h in self.family_spec.hyper)
        is_default = self.values == default and self.padding == "edge"
        return short if is_default and short != self.canonical_id else None

    @property
    def tensor_shapes(self) -> Shapes:
        """Return the tensors that a weights file of this model holds: names → shapes, all float32."""
        return self.family_spec.shapes(self)

    @property
    def parameters(self) -> int:
        """Return how many trained numbers the network has."""
        return sum(math.prod(shape) for shape in self.tensor_shapes.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates per input (LR) pixel."""
        return self.family_spec.macs(self)

    @property
    def radius(self) -> int:
        """Return how many input pixels the network looks past the one it upscales, on every side."""
        return self.family_spec.radius(self)

    def _letters(self) -> list[str]:
        return [f"{h.letter}{v}" for h, v in zip(self.family_spec.hyper, self.values, strict=True)]


def parse(family: Family, name: str) -> ModelSpec | None:
    """Read `name` (any case) as an alias, a canonical id or a paper id of `family`; None when it is none of them."""
    letters = "".join(rf"_{h.letter.lower()}([0-9]{{1,3}})" for h in family.hyper)
    ours, paper = re.escape(family.name), re.escape(family.paper_name.lower())
    pattern = rf"(?:{ours}_x|{paper}_s)([0-9])" + (f"(?:{letters})?(_zeros)?(_{CLEAN})?" if letters else "()()")
    match = re.fullmatch(pattern, name.lower())
    if match is None:
        return None
    scale, *hyper, zeros, clean = match.groups()
    values = [h.default if v is None else int(v) for h, v in zip(family.hyper, hyper, strict=True)]
    try:
        return ModelSpec(family, int(scale), tuple(values), "zeros" if zeros else "edge", bool(clean))
    except ValueError:
        return None
