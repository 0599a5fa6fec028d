"""The eight symmetries of the square, on patches and on the s×s phases of an upscaled pixel.

A picture turned or mirrored is as good a picture as before, so the best filters of one phase are those of another,
turned. One phase of each orbit is trained, on patches in all eight positions, and the others follow: ×2 has one orbit,
×3 and ×4 have three. Where a mirror does, the others are mirrored, not turned: fused kernels make use of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


def permutations(size: int) -> tuple[Indices, ...]:
    """Return eight index arrays (size²,): `x.ravel()[p]` is the square `x` (size, size) in another position.

    First as it is and its mirrors, then transposed, and the mirrors of that.
    """
    square = np.arange(size * size).reshape(size, size)
    mirrored = [m for s in (square, square.T) for m in (s, s[:, ::-1], s[::-1], s[::-1, ::-1])]
    return tuple(np.ascontiguousarray(m).ravel() for m in mirrored)


@dataclass(frozen=True)
class Symmetry:
    """How the symmetries act for patches of K×K and a scale."""

    patch: tuple[Indices, ...]
    """On patches, (K²,) each."""
    phase: tuple[Indices, ...]
    """On phases, (s²,) each, in the same order."""
    orbits: tuple[int, ...]
    """The phase of each orbit that is trained."""

    def expand(self, filters: NDArray[Any]) -> NDArray[Any]:
        """Return filters of all phases (s², …, K²) from those of the trained ones (orbits, …, K²)."""
        phases = len(self.phase[0])
        out = np.zeros((phases, *filters.shape[1:]), filters.dtype)
        for orbit, taps in zip(self.orbits, filters, strict=True):
            # Backwards, so that the identity has the last word, and mirrors have it before what is transposed.
            for patch, phase in reversed(list(zip(self.patch, self.phase, strict=True))):
                out[phase[orbit]][..., patch] = taps
        return out

    def average(self, filters: NDArray[Any]) -> NDArray[Any]:
        """Return filters of the trained phases (orbits, …, K²) from those of all (s², …, K²), by their mean."""
        every = list(zip(self.patch, self.phase, strict=True))
        return np.stack([np.mean([filters[p[orbit]][..., patch] for patch, p in every], 0) for orbit in self.orbits])


def symmetry(kernel: int, scale: int) -> Symmetry:
    """Return the symmetries for patches of `kernel`² pixels upscaled by `scale`."""
    phases = permutations(scale)
    orbits = sorted({min(int(p[i]) for p in phases) for i in range(scale * scale)})
    return Symmetry(permutations(kernel), phases, tuple(orbits))
