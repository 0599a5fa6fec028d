"""Weights for sources of known quality through the real server: what is asked for, what is estimated, what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

import esr_client
from esr_api.v1 import upscaler_pb2 as pb
from esr_upscale.backends import halide
from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.frame import pixel_format
from esr_upscale.models import ModelCard, Source, WeightNodes, resolve, save_weights
from esr_upscale.source_quality import calibration
from tests.support.calls import plane_values, raw_config, raw_frame, stub_of, upscale
from tests.support.frames import noise_planes
from tests.support.media import encode
from tests.support.pictures import photograph, random_weights, synthetic_luma
from tests.support.server import running, running_on_thread, target

SPEC = resolve("esr_tr_x2_k3_c2")
CARD = ModelCard(SPEC.canonical_id, "edge", "made for a test", "noise", (), "CC0-1.0", {}, "2026-11-27", {}, 1)


def _weights(gain: float) -> dict[str, NDArray[np.float32]]:
    return {name: tensor * np.float32(gain) for name, tensor in random_weights(SPEC).items()}


NODES = WeightNodes({Source(q): _weights(gain) for q, gain in ((0.0, 0.9), (20.0, 0.6), (30.0, 0.3))})


@pytest.fixture
def own_models(tmp_path: Path) -> dict[str, Path]:
    """A model with nodes, by its name."""
    return {"mine": save_weights(SPEC, _weights(1.0), CARD, tmp_path, NODES)}


@pytest.mark.parametrize(
    ("quality", "node"),
    [(None, None), (0.0, 0.0), (19.4, 20.0), (10.0, None), (51.0, 30.0)],
    ids=["unknown", "clean", "good", "between", "worst"],
)
async def test_raw_frames(own_models: dict[str, Path], quality: float | None, node: float | None) -> None:
    options: dict[str, Any] = {} if quality is None else {"source_quality": pb.SourceQuality(quantizer=quality)}
    async with running(models=("mine",), own_models=own_models) as server, stub_of(server) as stub:
        outcome = await upscale(stub, [raw_config(32, 20, model="mine", **options), raw_frame(0, 32, 20)])
        body = server.metrics.render("")[0].decode()
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    (frame,) = outcome.frames
    assert (frame.source_quantizer if frame.HasField("source_quantizer") else None) == node
    (luma, *_) = noise_planes(pixel_format("yuv420p"), 32, 20, seed=0)
    expected = torch_kernel.plan(SPEC, _weights(1.0) if node is None else NODES.at(Source(node)), 8)(luma)
    assert np.abs(plane_values(frame.planes[0], 40).astype(int) - expected).max() <= 1
    samples = [s for family in text_string_to_metric_families(body) for s in family.samples]
    sums = [s.value for s in samples if s.name == "esr_source_quantizer_sum" and s.labels["model"] == "mine"]
    assert sums == ([] if node is None else [node])


def test_what_made_a_source_small_is_recognised(tmp_path: Path) -> None:
    nodes = WeightNodes({**NODES.sets, Source(0.0, "area"): _weights(0.8)})
    path = save_weights(SPEC, _weights(1.0), CARD, tmp_path, nodes)
    portrait = photograph("astronaut")[20:468, 20:468].astype(np.uint16)
    small = portrait.reshape(224, 2, 224, 2).mean((1, 3)).round().astype(np.uint8)
    frame = esr_client.Frame((small,), 224, 224, "gray")
    with (
        running_on_thread(models=("mine",), own_models={"mine": path}) as server,
        esr_client.connect(target(server)) as client,
    ):
        (mine,) = [model for model in client.models() if model.model == "mine"]
        assert [str(node) for node in mine.nodes] == ["0", "0/area", "20", "30"]
        (output,) = client.upscale([frame], model="mine", source_quality=0)
        (poor,) = client.upscale([frame], model="mine", source_quality=30)
        body = server.metrics.render("")[0].decode()
    assert (output.source_quantizer, output.source_downscaler) == (0.0, "area")
    assert (poor.source_quantizer, poor.source_downscaler) == (30.0, "")
    expected = torch_kernel.plan(SPEC, nodes.at(Source(0.0, "area")), 8)(small)
    assert np.abs(output.planes[0].astype(int) - expected).max() <= 1
    counts = {
        (sample.labels["model"], sample.labels["downscaler"]): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        if sample.name == "esr_source_downscaler_frames_total"
    }
    assert counts == {("mine", "area"): 1, ("mine", "any"): 1}


async def test_packets_are_estimated(tmp_path: Path) -> None:
    everywhere = WeightNodes({Source(float(q)): _weights(0.5 + q / 100) for q in range(52)})
    path = save_weights(SPEC, _weights(1.0), CARD, tmp_path, everywhere)
    async with running(models=("mine",), own_models={"mine": path}) as server, stub_of(server) as stub:
        nodes = []
        for crf in ("14", "36"):
            media = encode("h264", size=(160, 96), gray=lambda n: np.roll(synthetic_luma(96, 160), 2 * n, 1), crf=crf)
            outcome = await upscale(stub, [media.config(model="mine"), *media.requests()])
            assert outcome.code is grpc.StatusCode.OK, outcome.details
            (node,) = {frame.source_quantizer for frame in outcome.frames}  # one key frame, one node
            nodes.append(node)
    assert calibration().least - 1 <= nodes[0] < nodes[1] <= calibration().most + 1


async def test_nodes_that_are_not_served_are_not_listed(
    own_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halide, "is_halide_installed", lambda: False)  # as without Halide
    async with running(models=("mine",), own_models=own_models) as server, stub_of(server) as stub:
        response = await stub.ListModels(pb.ListModelsRequest())
        outcome = await upscale(
            stub,
            [raw_config(32, 20, model="mine", source_quality=pb.SourceQuality(quantizer=0)), raw_frame(0, 32, 20)],
        )
    assert [list(model.nodes) for model in response.models if model.model == "mine"] == [[]]
    assert not any(frame.HasField("source_quantizer") for frame in outcome.frames)


async def test_a_model_without_nodes_says_nothing() -> None:
    media = encode("h264")
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [media.config(), *media.requests()])
    assert not any(frame.HasField("source_quantizer") for frame in outcome.frames)


@pytest.mark.parametrize("quality", [-1.0, 52.0, float("nan")])
async def test_what_is_no_quantiser(quality: float) -> None:
    config = raw_config(32, 20, source_quality=pb.SourceQuality(quantizer=quality))
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [config, raw_frame(0, 32, 20)])
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "from 0 for a source that was never coded to 51" in (outcome.details or "")


def test_the_sdk(own_models: dict[str, Path]) -> None:
    picture = noise_planes(pixel_format("gray"), 32, 20)[0]
    frame = esr_client.Frame((picture,), 32, 20, "gray")
    with (
        running_on_thread(models=("mine",), own_models=own_models) as server,
        esr_client.connect(target(server)) as client,
    ):
        (mine,) = [model for model in client.models() if model.model == "mine"]
        assert mine.nodes == tuple(esr_client.WeightsNode(quantizer) for quantizer in (0.0, 20.0, 30.0))
        (blind,) = client.upscale([frame], model="mine")
        (clean,) = client.upscale([frame], model="mine", source_quality=0)
        still = client.upscale_image(frame, model="mine", source_quality=0)
        with pytest.raises(ValueError, match="a CRF of x264, from 0"):
            client.upscale([frame], model="mine", source_quality=77)
    assert (blind.source_quantizer, clean.source_quantizer, still.source_quantizer) == (None, 0.0, 0.0)
    assert np.array_equal(still.planes[0], clean.planes[0])
    assert not np.array_equal(blind.planes[0], clean.planes[0])
