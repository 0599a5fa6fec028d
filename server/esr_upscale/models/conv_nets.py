"""eSR-CNN, ESPCN, FSRCNN and eSR-Stack: a few convolutions one after the other.

eSR-CNN: P. Navarrete Michelini, Y. Lu, X. Jiang, "edge-SR: Super-Resolution For The Masses", WACV 2022, arXiv
2108.10335. ESPCN: W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
Convolutional Neural Network", CVPR 2016, arXiv 1609.05158. FSRCNN: C. Dong, C. C. Loy, X. Tang, "Accelerating the
Super-Resolution Convolutional Neural Network", ECCV 2016, arXiv 1608.00367. Sizes and tensor names are those that the
edge-SR authors published. eSR-Stack is ours: a stack of small convolutions that says what bicubic misses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from esr_upscale.models.spec import Family, HyperParameter, ModelSpec, Shapes


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution of a network: kernel×kernel, `inputs` → `outputs` channels."""

    inputs: int
    outputs: int
    kernel: int
    bias: bool = True

    def tensors(self) -> Shapes:
        """Return the shapes of `weight` and, if there is one, `bias`."""
        weight: Shapes = {"weight": (self.outputs, self.inputs, self.kernel, self.kernel)}
        return {**weight, "bias": (self.outputs,)} if self.bias else weight

    def reach(self, scale: int) -> int:
        """Return how many input pixels the layer looks to each side."""
        del scale
        return self.kernel // 2


@dataclass(frozen=True, slots=True)
class TransposedConvolution(Convolution):
    """The last layer of FSRCNN: every input pixel is spread over kernel×kernel output pixels, `scale` apart."""

    def tensors(self) -> Shapes:
        """The shapes of `weight`, whose channels a transposed convolution has the other way round, and `bias`."""
        return {"weight": (self.inputs, self.outputs, self.kernel, self.kernel), "bias": (self.outputs,)}

    def reach(self, scale: int) -> int:
        before = self.offset(scale)
        return max((self.kernel - 1 - before) // scale, (scale - 1 + before) // scale)

    def offset(self, scale: int) -> int:
        """Input i goes to `kernel` outputs from s·i − offset on, as near to centred on its own s as can be."""
        return (self.kernel - scale + 1) // 2


@dataclass(frozen=True, slots=True)
class Activation:
    """What follows a convolution. `prelu` has one slope, shared by all channels; the others have no tensors."""

    kind: str
    """`tanh`, `prelu` or `relu`."""

    def tensors(self) -> Shapes:
        """Return the shape of the slope, `weight`, where there is one."""
        return {"weight": (1,)} if self.kind == "prelu" else {}


Layers: TypeAlias = tuple[Convolution | Activation, ...]
"""A network in order. Position N of the tuple is N in the tensors' names."""

TANH, PRELU, RELU = Activation("tanh"), Activation("prelu"), Activation("relu")


def esr_cnn(spec: ModelSpec) -> Layers:
    """Return the layers of eSR-CNN, up to the pixel shuffle."""
    c, d, s = (spec[letter] for letter in "CDS")
    last = Convolution(s, 2 * c * spec.scale**2, 3, bias=False)  # value, key
    return Convolution(1, d, 5), TANH, Convolution(d, s, 3), TANH, last


def espcn(spec: ModelSpec) -> Layers:
    """Return the layers of ESPCN, up to the pixel shuffle. With D=0 the first one is left out."""
    d, s = spec["D"], spec["S"]
    first: Layers = (Convolution(1, d, 5), TANH) if d else ()
    return *first, Convolution(d or 1, s, 3), TANH, Convolution(s, spec.scale**2, 3)


def fsrcnn(spec: ModelSpec) -> Layers:
    """Return the layers of FSRCNN: features, shrinking, M mappings, expanding, and the transposed convolution."""
    d, s, m = (spec[letter] for letter in "DSM")
    features: Layers = (Convolution(1, d, 5), PRELU, Convolution(d, s, 1), PRELU)
    mapping: Layers = (Convolution(s, s, 3), PRELU) * m
    return *features, *mapping, Convolution(s, d, 1), PRELU, TransposedConvolution(d, 1, 9)


def esr_stack(spec: ModelSpec) -> Layers:
    """Return the layers of eSR-Stack, up to the pixel shuffle: L of 3×3, with C channels between them.

    What they make is added to bicubic, which looks two pixels far, as two layers do.
    """
    c, depth = spec["C"], spec["L"]
    between: Layers = (RELU, Convolution(c, c, 3)) * (depth - 2)
    return Convolution(1, c, 3), *between, RELU, Convolution(c, spec.scale**2, 3)


def _shapes(layers: Callable[[ModelSpec], Layers], prefix: str, spec: ModelSpec) -> Shapes:
    return {
        f"{prefix}.{position}.{name}": shape
        for position, layer in enumerate(layers(spec))
        for name, shape in layer.tensors().items()
    }


def _convolutions(layers: Layers) -> list[Convolution]:
    return [layer for layer in layers if isinstance(layer, Convolution)]


def _macs(layers: Callable[[ModelSpec], Layers], spec: ModelSpec) -> int:
    # Biases and activations are not counted, as in the paper.
    return sum(c.inputs * c.outputs * c.kernel**2 for c in _convolutions(layers(spec)))


def _radius(layers: Callable[[ModelSpec], Layers], spec: ModelSpec) -> int:
    return sum(c.reach(spec.scale) for c in _convolutions(layers(spec)))


def _family(layers: Callable[[ModelSpec], Layers], paper_name: str, prefix: str, *hyper: HyperParameter) -> Family:
    shapes = partial(_shapes, layers, prefix)
    return Family(layers.__name__, paper_name, hyper, shapes, partial(_macs, layers), partial(_radius, layers))


C = HyperParameter("C", default=2, allowed=range(1, 33))
L = HyperParameter("L", default=5, allowed=range(2, 17))
M = HyperParameter("M", default=1, allowed=range(9))


def _d(default: int, least: int = 1) -> HyperParameter:
    return HyperParameter("D", default, range(least, 129))


def _s(default: int) -> HyperParameter:
    return HyperParameter("S", default, range(1, 65))


FAMILIES = (
    _family(esr_cnn, "eSR-CNN", "filter", C, _d(7), _s(3)),
    _family(espcn, "ESPCN", "net", _d(10, least=0), _s(15)),
    _family(fsrcnn, "FSRCNN", "net", _d(19), _s(6), M),
    _family(esr_stack, "eSR-Stack", "net", replace(C, default=8), L),
)
