"""A network as an mpv user shader: passes that make features, then phases, then the pixels of the large picture.

Every pass of a layer writes one texture of four channels. Around the picture it has as many pixels as the layers after
it look at, so that the picture's edge is replicated at the input and not again inside. Phases are written four to a
texture as well, and the last pass takes from them the phase of each output pixel. Output sample s·i + p is phase p of
input sample i, so the picture keeps its place, as with mpv's own scalers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import ModelSpec, Source
from esr_upscale.models.nodes import DOWNSCALERS
from esr_upscale.plane_kernel import Weights
from esr_upscale.replacement import write_text
from esr_workbench.shaders.glsl import CHANNELS, as_vec4, convolutions, number, positions, type_of, vector
from esr_workbench.shaders.network import SUM, Layer, Network, shader_families

MOST_TEXTURES = 16
"""As many as mpv binds to a pass."""
LEAST_EXCESS = 0.7
"""At ×2 the shader runs from 1.3 on, as those of mpv's users do; the player makes the picture smaller then."""
LUMA = "LUMA"


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: what it reads, what it writes, and its statements."""

    description: str
    reads: tuple[str, ...]
    statements: tuple[str, ...]
    saves: str | None = None
    """The texture; None replaces luma."""
    scale: int = 1
    """Of its size, over that of luma."""
    margin: int = 0
    """Pixels that it writes around the picture, on each side."""


def export_mpv(
    spec: ModelSpec, weights: Weights, licence: str, sha256: str | None, path: Path, node: Source | None = None
) -> Path:
    """Write the network of `spec` with `weights` to the shader file `path` and return it.

    `licence` is the SPDX id of the weights, `sha256` that of their file, None for a fixed filter, and `node` the
    sources that they are for, None for any; all are for the header.

    Raises:
        InvalidInputError: the network is too wide for mpv, no shader can be written for its family, or the path cannot
            be written.
    """
    write_text(path, write_shader(spec, weights, licence, sha256, node))
    return path


def write_shader(
    spec: ModelSpec, weights: Weights, licence: str, sha256: str | None, node: Source | None = None
) -> str:
    """Return the text of the shader; arguments and errors as `export_mpv`."""
    if spec.family not in shader_families():
        raise InvalidInputError(
            f"{spec.canonical_id} cannot be written as a shader; {', '.join(shader_families())} can"
        )
    network = shader_families()[spec.family].build(spec, weights)
    widest = max((len(layer.bias) for layer in network.layers), default=0)
    if widest > CHANNELS * MOST_TEXTURES:
        raise InvalidInputError(
            f"{spec.canonical_id} has a layer of {widest} channels; mpv gives a pass {CHANNELS * MOST_TEXTURES} at most"
        )
    parts = ["\n".join(_header(spec, licence, sha256, node))]
    parts += ["\n".join(_render(step, spec)) for step in _passes(spec, network)]
    return "\n\n".join(parts) + "\n"


def _header(spec: ModelSpec, licence: str, sha256: str | None, node: Source | None) -> Iterator[str]:
    least = number(spec.scale - LEAST_EXCESS)
    yield f"// {spec.paper_id}: luma upscaled by {spec.scale}. A user shader for mpv and libplacebo."
    yield "//"
    yield f"// Use: mpv --glsl-shaders={spec.canonical_id}.glsl video.mkv"
    yield f"// It runs where the video is shown at more than {least} times its size; mpv's own scaler does the rest."
    yield f"// SPDX-License-Identifier: {licence}"
    if sha256 is None:
        yield "// A fixed filter, without weights."
    else:
        yield f"// Weights: {spec.canonical_id}.safetensors, SHA-256 {sha256}"
    if node is not None:
        crf = f"{node.quantizer:g}"
        yield f"// For sources that are damaged about as x264 does it at CRF {crf}; 0 is for those never coded."
    if node is not None and node.downscaler:
        yield f"// For sources that were made small by {' or '.join(DOWNSCALERS[node.downscaler])}."
    quality = "" if node is None else f" --source-quality {node.quantizer:g}"
    quality += f" --downscaler {node.downscaler}" if node is not None and node.downscaler else ""
    yield f"// Made by edge-sr {version('edge-sr')}: esr export {spec.canonical_id} --format mpv{quality}"
    if spec.padding == "zeros":
        differ = f"they differ {spec.radius} pixels deep"
        yield f"// The network pads with zeros, the shader with the picture's edge: {differ}."


def _passes(spec: ModelSpec, network: Network) -> Iterator[Pass]:
    textures: tuple[str, ...] = (LUMA,)
    # The margins of luma, which has none, and of each layer.
    margins = [max(bank.radius for bank in network.banks if not bank.is_on_luma)] if network.layers else []
    for layer in network.layers[:0:-1]:
        margins.insert(0, margins[0] + layer.radius)
    margins.insert(0, 0)
    for depth, layer in enumerate(network.layers, 1):
        outputs = tuple(f"LAYER{depth}_{i}" for i in range(-(-len(layer.bias) // CHANNELS)))
        input_margin, output_margin = margins[depth - 1 : depth + 1]
        yield from (
            _layer_pass(layer, i, textures, name, input_margin, output_margin) for i, name in enumerate(outputs)
        )
        textures = outputs
    phases = tuple(f"PHASES{i}" for i in range(-(-(spec.scale**2) // CHANNELS)))
    yield from (_phase_pass(network, i, textures, name, margins[-1]) for i, name in enumerate(phases))
    yield _shuffle_pass(spec.scale, phases)


def _layer_pass(
    layer: Layer, index: int, textures: tuple[str, ...], name: str, input_margin: int, output_margin: int
) -> Pass:
    channels = slice(CHANNELS * index, CHANNELS * (index + 1))
    bias, weight = layer.bias[channels], layer.weight[channels]
    kind = type_of(len(bias))
    statements = (
        positions("here", textures[0], input_margin - output_margin),
        "vec4 t;",
        f"{kind} {SUM} = {vector(bias)};",
        *convolutions({SUM: weight}, textures, "here"),
        f"{SUM} = {layer.activation};",
        f"return {as_vec4(len(bias), SUM)};",
    )
    return Pass(_numbered(name, "channel", channels.start, len(bias)), textures, statements, name, margin=output_margin)


def _phase_pass(network: Network, index: int, textures: tuple[str, ...], name: str, margin: int) -> Pass:
    phases = slice(CHANNELS * index, CHANNELS * (index + 1))
    size = len(network.banks[0].bias[phases])
    kind = type_of(size)
    on_luma = {bank.name: bank.weight[phases] for bank in network.banks if bank.is_on_luma}
    on_features = {bank.name: bank.weight[phases] for bank in network.banks if not bank.is_on_luma}
    statements = ["vec4 t;", *(f"{kind} {bank.name} = {vector(bank.bias[phases])};" for bank in network.banks)]
    reads: list[str] = []
    for filters, group, position, reach in ((on_luma, (LUMA,), "in_luma", 0), (on_features, textures, "here", margin)):
        if filters:
            statements += [positions(position, group[0], reach), *convolutions(filters, group, position)]
            reads += group
    statements += [step.format(type=kind) for step in network.steps]
    statements += [f"{kind} pixels = {network.result};", f"return {as_vec4(size, 'pixels')};"]
    return Pass(_numbered(name, "phase", phases.start, size), tuple(reads), tuple(statements), name)


def _shuffle_pass(scale: int, phases: tuple[str, ...]) -> Pass:
    first, count = phases[0], len(phases)
    statements = (
        f"vec2 place = {first}_pos * {first}_size;",
        f"vec2 centre = (floor(place) + 0.5) * {first}_pt;",
        f"ivec2 phase = ivec2(fract(place) * {scale}.0);",
        f"int i = phase.y * {scale} + phase.x;",
        f"vec4 phases[{count}] = vec4[{count}]({', '.join(f'{name}_tex(centre)' for name in phases)});",
        f"return vec4(phases[i / {CHANNELS}][i % {CHANNELS}], 0.0, 0.0, 1.0);",
    )
    return Pass("pixel shuffle", phases, statements, scale=scale)


def _numbered(name: str, noun: str, first: int, count: int) -> str:
    numbers = f"{noun} {first}" if count == 1 else f"{noun}s {first} to {first + count - 1}"
    return f"{name.rpartition('_')[0].lower() or 'ending'}, {numbers}"


def _render(step: Pass, spec: ModelSpec) -> Iterator[str]:
    least = number(np.float32(spec.scale - LEAST_EXCESS).item())
    yield f"//!HOOK {LUMA}"
    yield f"//!DESC {spec.paper_id}: {step.description}"
    yield f"//!WHEN OUTPUT.w LUMA.w / {least} > OUTPUT.h LUMA.h / {least} > *"
    yield from (f"//!BIND {name}" for name in step.reads)
    if step.scale > 1:
        yield f"//!WIDTH LUMA.w {step.scale} *"
        yield f"//!HEIGHT LUMA.h {step.scale} *"
    elif step.margin:
        yield f"//!WIDTH LUMA.w {2 * step.margin} +"
        yield f"//!HEIGHT LUMA.h {2 * step.margin} +"
    if step.saves:
        yield f"//!SAVE {step.saves}"
        yield f"//!COMPONENTS {CHANNELS}"
    yield "vec4 hook() {"
    yield from (f"    {statement}" for statement in step.statements)
    yield "}"
