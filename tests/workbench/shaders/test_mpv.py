"""Shaders for mpv: run by libplacebo on Vulkan they give the networks' pixels, up to the picture's border."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.errors import InvalidInputError
from esr_upscale.models import (
    FAMILIES,
    SCALES,
    ModelSpec,
    Source,
    file_sha256,
    list_models,
    load_nodes,
    load_weights,
    resolve,
    weights_path,
)
from esr_workbench.cli import app
from esr_workbench.shaders import Shader, export_mpv, run_shader, write_shader
from tests.support.libplacebo import needs_libplacebo
from tests.support.pictures import random_weights, synthetic_luma

NAMES = [f"{family}_x{scale}" for family in FAMILIES for scale in SCALES]
# One channel, no first layer, features of one texture and more that are not full, and several mappings.
ODD = ["esr_max_x2_k3_c1", "esr_tm_x3_k3_c1", "esr_cnn_x2_c1_d5_s6", "espcn_x2_d0_s3", "fsrcnn_x2_d3_s2_m3"]
SIZE = (35, 46)


def _weights(spec: ModelSpec) -> Mapping[str, NDArray[np.float32]]:
    if spec in list_models():
        return load_weights(spec)
    # Some of what random weights make lies outside of what a code value can be; most of it must not.
    return {name: tensor * np.float32(0.3) for name, tensor in random_weights(spec).items()}


@needs_libplacebo
@pytest.mark.parametrize("name", NAMES + ODD)
def test_shader_agrees_with_network(name: str) -> None:
    """Half-float textures and libplacebo's rounding leave one code value at most."""
    spec = resolve(name)
    weights = _weights(spec)
    frames = np.stack([synthetic_luma(*SIZE, seed) for seed in range(2)])
    actual = run_shader(Shader(name, write_shader(spec, weights, "CC0-1.0", None)), frames, spec.scale)
    expected = np.stack([torch_kernel.reference(spec, weights, 8)(frame) for frame in frames])
    difference = np.abs(actual.astype(int) - expected)
    assert expected.std() > 3
    assert (difference <= 1).mean() >= 0.999
    assert difference.max() <= 2


@needs_libplacebo
def test_zero_padding_differs_at_border() -> None:
    spec = resolve("espcn_x2_d2_s3_zeros")
    weights, frame = _weights(spec), synthetic_luma(*SIZE)
    text = write_shader(spec, weights, "CC0-1.0", None)
    assert "pads with zeros, the shader with the picture's edge: they differ 4 pixels deep" in text
    actual = run_shader(Shader("zeros", text), frame[None], 2)[0]
    difference = np.abs(actual.astype(int) - torch_kernel.reference(spec, weights, 8)(frame))
    assert difference[8:-8, 8:-8].max() <= 1
    assert difference.max() > 1


def test_header_names_weights_and_licence(tmp_path: Path) -> None:
    spec = resolve("esr_tr_x3")
    path = export_mpv(spec, load_weights(spec), "CC-BY-4.0", "0" * 64, tmp_path / "new" / "a.glsl")
    header = path.read_text(encoding="utf-8").partition("//!")[0]
    assert f"{spec.canonical_id}.safetensors, SHA-256 {'0' * 64}" in header
    assert "SPDX-License-Identifier: CC-BY-4.0" in header
    assert f"mpv --glsl-shaders={spec.canonical_id}.glsl video.mkv" in header
    assert "more than 2.3 times its size" in header
    assert "zeros" not in header


@pytest.mark.parametrize("name", NAMES)
def test_passes_are_what_mpv_takes(name: str) -> None:
    """mpv binds 16 textures to a pass; a texture is saved before it is bound; the last pass replaces luma."""
    text = write_shader(resolve(name), _weights(resolve(name)), "CC0-1.0", None)
    saved = {"LUMA"}
    passes = text.split("//!HOOK LUMA\n")[1:]
    for step in passes:
        bound = re.findall(r"^//!BIND (\w+)$", step, re.MULTILINE)
        assert 1 <= len(bound) <= 16
        assert saved.issuperset(bound)
        saved.update(re.findall(r"^//!SAVE (\w+)$", step, re.MULTILINE))
        assert step.count("//!WHEN OUTPUT.w LUMA.w / ") == step.count("vec4 hook() {") == 1
    assert "//!SAVE" not in passes[-1]
    assert f"//!WIDTH LUMA.w {name[-1]} *\n//!HEIGHT LUMA.h {name[-1]} *\n" in passes[-1]
    assert max(map(len, text.splitlines())) < 400


def test_too_many_channels_are_refused() -> None:
    spec = resolve("espcn_x2_d65_s3")
    with pytest.raises(InvalidInputError, match="has a layer of 65 channels; mpv gives a pass 64 at most"):
        write_shader(spec, random_weights(spec), "CC0-1.0", None)


@pytest.mark.parametrize("model", ["esr_max_x2_k3_c1", "bicubic_x4"])
def test_export_command_writes_shader(model: str, tmp_path: Path) -> None:
    path = tmp_path / "shader.glsl"
    result = CliRunner().invoke(app, ["export", model, "--format", "mpv", "-o", str(path)])
    assert (result.exit_code, result.stdout) == (0, f"{path}\n"), result.output
    text, spec = path.read_text(encoding="utf-8"), resolve(model)
    weights = f"SHA-256 {file_sha256(weights_path(spec))}" if spec.tensor_shapes else "A fixed filter, without weights"
    assert weights in text
    assert "SPDX-License-Identifier: Apache-2.0" in text


def test_export_command_takes_the_weights_of_a_node(tmp_path: Path) -> None:
    path, spec = tmp_path / "shader.glsl", resolve("esr_stack_x2")
    command = ["export", "esr_stack_x2", "--format", "mpv", "-o", str(path), "--source-quality", "1.5"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    nodes = load_nodes(spec)
    assert nodes is not None
    text = path.read_text(encoding="utf-8")
    assert "at CRF 0; 0 is for those never coded" in text
    sha256 = file_sha256(weights_path(spec))
    clean = Source(0.0)
    assert text == write_shader(spec, nodes.at(clean), "Apache-2.0", sha256, clean)
    assert text != write_shader(spec, load_weights(spec), "Apache-2.0", sha256, clean)
    result = CliRunner().invoke(app, [*command, "--downscaler", "area", "--overwrite"])
    assert result.exit_code == 0, result.output
    text = path.read_text(encoding="utf-8")
    area = Source(0.0, "area")
    assert "For sources that were made small by area" in text
    assert text == write_shader(spec, nodes.at(area), "Apache-2.0", sha256, area)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "a.glsl"], "say which format a.glsl is to have"),
        (["--format", "mpv"], "say which file: --format mpv -o FILE.glsl, or --onnx FILE.onnx"),
        (["--format", "mpv", "--onnx", "a.onnx"], "--onnx FILE is short for --format onnx -o FILE"),
        (["--format", "mpv", "-o", "a.glsl", "--opset", "18"], "--opset is for --format onnx"),
        (
            ["--format", "mpv", "-o", "a.glsl", "--source-quality", "16"],
            "esr_max_x2_k3_c1 has no weights for sources of known quality",
        ),
        (
            ["--format", "mpv", "-o", "a.glsl", "--downscaler", "area"],
            "--downscaler is for weights for sources of known quality; give --source-quality too",
        ),
    ],
)
def test_export_command_explains_mistakes(options: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["export", "esr_max_x2_k3_c1", *options])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
