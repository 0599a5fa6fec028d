"""A network as an ONNX file, for other runtimes: batch, height and width are free.

The file computes what the torch module does, float32 in [0, 1] in and out, and says so in its metadata.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from esr_upscale.errors import EngineError, InvalidInputError
from esr_upscale.models import ModelSpec, Source
from esr_upscale.nets import build_module
from esr_upscale.plane_kernel import Weights
from esr_upscale.replacement import replace_file

OLDEST_OPSET = 18
"""The oldest operator set that torch's exporter writes, and so what most runtimes can read."""

INPUT, OUTPUT = "luma", "upscaled"
FREE = {0: "batch", 2: "height", 3: "width"}
"""Axes of any size, and their names in the file."""

SAMPLE = (2, 1, 16, 20)
"""The exporter traces the network on such a picture; no two sizes are alike, lest they be taken for one."""


def export_onnx(
    spec: ModelSpec, weights: Weights, licence: str, path: Path, opset: int, node: Source | None = None
) -> Path:
    """Write the network of `spec` with `weights` to the ONNX file `path` and return it.

    Input `luma` (N, 1, H, W) and output `upscaled` (N, 1, s·H, s·W) are float32 in [0, 1], of any N, H and W; the
    output is not clipped. `licence` is the SPDX id of the weights and `node` the sources that they are for, None for
    any; both are for the metadata. Raises EngineError when onnx or onnxscript is not installed, InvalidInputError for
    an opset that cannot be written and a path that cannot.
    """
    if opset < OLDEST_OPSET:
        raise InvalidInputError(f"opset {opset} is too old: torch writes {OLDEST_OPSET} and later")
    for name in ("onnx", "onnxscript"):
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise EngineError(f'{name} is not installed, which export needs: pip install "edge-sr[onnx]"') from error
    program = _program(build_module(spec, weights).eval(), opset)
    written_opset = program.model.opset_imports[""]
    if written_opset != opset:
        raise InvalidInputError(
            f"opset {opset} cannot be written here, {written_opset} can; the oldest is {OLDEST_OPSET}"
        )
    _describe(program, spec, licence, node)
    # The exporter notes where in the source, by the paths of this machine, each operation comes from.
    graph = program.model.graph
    results = [value for operation in graph for value in operation.outputs]
    for item in (graph, *graph, *results, *graph.inputs, *graph.initializers.values()):
        item.metadata_props.clear()
    with replace_file(path) as part:
        program.save(part, external_data=False)
    return path


def _program(module: nn.Module, opset: int) -> torch.onnx.ONNXProgram:
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (torch.zeros(SAMPLE),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=(FREE,),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    if program is None:  # so its signature has it, for the older exporter, which writes a file itself
        raise EngineError("torch's exporter gave nothing")
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    # The exporter logs what it does without (torchvision) and how it converts between opsets; the file is checked.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            # torch.export copies what it itself calls deprecated.
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            # Of Python 3.13.0 alone; how fast the exporter's guards run is of no interest here.
            warnings.filterwarnings("ignore", "Guards may run slower on Python 3.13.0", RuntimeWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _describe(program: torch.onnx.ONNXProgram, spec: ModelSpec, licence: str, node: Source | None) -> None:
    model, s = program.model, spec.scale
    outside = "the picture's edge, replicated" if spec.padding == "edge" else "zeros, at every layer"
    input_text = "float32 (N, 1, H, W), any N, H and W: luma in [0, 1], which is code values / (2^depth - 1)"
    output_text = f"float32 (N, 1, {s}*H, {s}*W): luma on the same scale, not clipped"
    model.graph.inputs[0].doc_string, model.graph.outputs[0].doc_string = input_text, output_text
    model.doc_string = (
        f"{spec.paper_id} upscales luma by {s}. {INPUT}: {input_text}. {OUTPUT}: {output_text}. Padding: {outside}."
    )
    model.metadata_props.update(
        model=spec.canonical_id,
        paper_id=spec.paper_id,
        scale=str(s),
        padding=spec.padding,
        input=f"{INPUT}: {input_text}",
        output=f"{OUTPUT}: {output_text}",
        licence=licence,
        source_quality="any" if node is None else f"{node.quantizer:g}",
        downscaler="any" if node is None or not node.downscaler else node.downscaler,
    )
