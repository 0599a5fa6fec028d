"""Own weights through the real server: made by `esr import`, served under a name, loaded from a folder, in ladders."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

import esr_client
from esr_api.v1 import upscaler_pb2 as pb
from esr_client import cli as client_cli
from esr_server.app import Server
from esr_server.config import ServerSettings
from esr_upscale.backends import halide
from esr_upscale.backends.torch import kernel as torch_kernel
from esr_upscale.engine import EngineSettings
from esr_upscale.errors import EngineError, InvalidInputError, WeightsError
from esr_upscale.frame import pixel_format
from esr_upscale.models import load_weights, read_weights_file, resolve, weights_path
from esr_workbench.cli import app
from tests.client.clips import Clip, make
from tests.support.calls import Stub, plane_values, raw_config, raw_frame, stub_of, upscale
from tests.support.frames import noise_planes
from tests.support.pictures import random_weights
from tests.support.server import QUICK, running, running_on_thread, target

SPEC = resolve("esr_tr_x2_k3_c2")
FILE = "esr_tr_x2_k3_c2.safetensors"
TOKEN = "a token that only the test knows"
ADMIN = {"metadata": (("authorization", f"Bearer {TOKEN}"),)}


def make_weights(folder: Path, seed: float = 1.0) -> Path:
    """Make weights by `esr import`, with their card."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: torch.from_numpy(tensor * np.float32(seed)) for name, tensor in random_weights(SPEC).items()}
    torch.save(state, folder / "eSR-TR_s2_K3_C2.model")
    command = ["import", str(folder / "eSR-TR_s2_K3_C2.model"), "--padding", "edge", "--licence", "CC0-1.0"]
    result = CliRunner().invoke(app, [*command, "--out", str(folder)])
    assert result.exit_code == 0, result.output
    return folder / FILE


async def _run(stub: Stub, model: str, **more: Any) -> pb.Frame:
    outcome = await upscale(stub, [raw_config(32, 20, model=model, **more), raw_frame(0, 32, 20)])
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    (frame,) = outcome.frames
    return frame


def _assert_is_model(frame: pb.Frame, weights: Path) -> None:
    """The luma is what the reference makes of the same frame with the weights of that file."""
    weights_file = read_weights_file(weights, "the file")
    (luma, *_) = noise_planes(pixel_format("yuv420p"), 32, 20, seed=0)
    expected = torch_kernel.plan(weights_file.spec, weights_file.tensors, 8)(luma)
    assert np.abs(plane_values(frame.planes[0], 40).astype(int) - expected).max() <= 1


async def test_own_weights_are_served_under_their_name(tmp_path: Path) -> None:
    path = make_weights(tmp_path)
    async with running(models=("mine",), own_models={"mine": path}) as server, stub_of(server) as stub:
        for model in ("mine", ""):  # the first --model is the default
            frame = await _run(stub, model)
            assert frame.model == "mine"
            _assert_is_model(frame, path)
        models = (await stub.ListModels(pb.ListModelsRequest())).models
        body = server.metrics.render("")[0].decode()
    (mine,) = [each for each in models if each.model == "mine"]
    assert models[0] == mine
    assert (mine.network, mine.alias, mine.family, mine.scale, mine.loaded) == (
        "esr_tr_x2_k3_c2", "", "esr_tr", 2, True,
    )  # fmt: skip
    assert mine.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    card = json.loads(path.with_suffix(".json").read_text())
    assert (mine.card.licence, mine.card.recipe, mine.card.date) == ("CC0-1.0", card["recipe"], card["date"])
    samples = [s for family in text_string_to_metric_families(body) for s in family.samples]
    (info,) = [s for s in samples if s.name == "esr_model_info"]
    assert (info.labels["model"], info.labels["alias"], info.labels["family"]) == ("mine", "", "esr_tr")
    labels = {"model": "mine", "outcome": "sent"}
    assert [s.value for s in samples if s.name == "esr_frames_total" and s.labels == labels] == [2.0]


async def test_models_of_the_package_say_their_hash_and_card(tmp_path: Path) -> None:
    async with running() as server, stub_of(server) as stub:
        models = {each.model: each for each in (await stub.ListModels(pb.ListModelsRequest())).models}
    packaged, fixed = models["esr_tr_x2_k5_c2"], models["bicubic_x2"]
    assert (packaged.network, packaged.alias, packaged.card.licence) == ("esr_tr_x2_k5_c2", "esr_tr_x2", "Apache-2.0")
    assert len(packaged.weights_sha256) == 64
    assert (fixed.network, fixed.weights_sha256) == ("bicubic_x2", "")


async def test_ladders_have_own_models_too(tmp_path: Path) -> None:
    path = make_weights(tmp_path)
    fps = pb.Rational(num=1, den=1)
    async with running(own_models={"mine": path}) as server, stub_of(server) as stub:
        outcome = await upscale(
            stub,
            [raw_config(32, 20, model="", ladder=["bicubic_x2", "mine"], target_fps=fps), raw_frame(0, 32, 20)],
        )
    assert outcome.negotiated is not None, outcome.details
    # Without figures of its own card it is ordered by arithmetic, and so before bicubic; it cannot be as fast as that.
    assert list(outcome.negotiated.ladder) == ["mine", "bicubic_x2"]
    assert [frame.model for frame in outcome.frames] == ["mine"]


async def test_a_folder_is_served_under_stems(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    first = make_weights(tmp_path / "made").rename(tmp_path / "made" / "first.safetensors")
    folder.mkdir()
    shutil.copy(first, folder / "first.safetensors")
    async with running(weights=folder, admin_token=TOKEN) as server, stub_of(server) as stub:
        _assert_is_model(await _run(stub, "first"), first)
        # Files that came later, and in folders below.
        (folder / "more").mkdir()
        second = make_weights(tmp_path / "other", seed=0.9)
        shutil.copy(second, folder / "more" / "second.safetensors")
        loaded = await stub.LoadModel(pb.LoadModelRequest(model="more/second.safetensors"), **ADMIN)
        assert (loaded.model.model, loaded.model.loaded) == ("second", True)
        assert loaded.model.card.licence == "LicenseRef-unknown"
        _assert_is_model(await _run(stub, "second"), second)
        again = await stub.LoadModel(pb.LoadModelRequest(model="more/second.safetensors"), **ADMIN)
        assert again.model.weights_sha256 == loaded.model.weights_sha256
        # Other weights in the same place: not while the old ones are loaded.
        shutil.copy(first, folder / "more" / "second.safetensors")
        with pytest.raises(grpc.aio.AioRpcError, match="unload it first"):
            await stub.LoadModel(pb.LoadModelRequest(model="more/second.safetensors"), **ADMIN)
        await stub.UnloadModel(pb.UnloadModelRequest(model="second"), **ADMIN)
        await stub.LoadModel(pb.LoadModelRequest(model="more/second.safetensors"), **ADMIN)
        _assert_is_model(await _run(stub, "second"), first)


async def test_nothing_outside_the_folder_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    outside = make_weights(tmp_path / "outside")
    (folder / "link.safetensors").symlink_to(outside)
    (folder / "broken.safetensors").write_bytes(b"no tensors")
    cases = {
        "../outside/" + FILE: "is not in the folder of --weights",
        "../outside/nothing.safetensors": "is not in the folder of --weights",
        str(outside): "is not in the folder of --weights",
        "link.safetensors": "is not in the folder of --weights",
        "nothing.safetensors": "there is no such file",
        "broken.safetensors": "cannot be read as safetensors",
        "a\0b.safetensors": "this is not a file path",
        "x" * 5000 + ".safetensors": "this is not a file path",
    }
    # The bad ones come after the start: a folder with them is refused then.
    paths = {name: folder / name for name in ("link.safetensors", "broken.safetensors")}
    for path in paths.values():
        path.rename(tmp_path / path.name)
    async with running(weights=folder, admin_token=TOKEN) as server, stub_of(server) as stub:
        for path in paths.values():
            (tmp_path / path.name).rename(path)
        for model, message in cases.items():
            with pytest.raises(grpc.aio.AioRpcError) as error_info:
                await stub.LoadModel(pb.LoadModelRequest(model=model), **ADMIN)
            assert error_info.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
            assert message in (error_info.value.details() or "")
            assert str(tmp_path) not in (error_info.value.details() or "").replace(model, "")
        with pytest.raises(grpc.aio.AioRpcError, match="not the one that this server was started with"):
            await stub.LoadModel(pb.LoadModelRequest(model="nothing.safetensors"))
        # A stream asks for names only.
        for model in ("link.safetensors", "x" * 20000, "\N{PILE OF POO}" * 5000):
            outcome = await upscale(stub, [raw_config(model=model), raw_frame(0)])
            assert (outcome.code, "no model is named" in outcome.details) == (grpc.StatusCode.NOT_FOUND, True)


async def test_without_a_folder_no_file_is_loaded(tmp_path: Path) -> None:
    path = make_weights(tmp_path)
    async with running(admin_token=TOKEN) as server, stub_of(server) as stub:
        with pytest.raises(grpc.aio.AioRpcError, match="started without --weights"):
            await stub.LoadModel(pb.LoadModelRequest(model=str(path)), **ADMIN)


@pytest.mark.parametrize("content", ["link", "broken"])
def test_a_folder_with_a_bad_file_is_refused_at_start(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    if content == "link":
        (folder / "x.safetensors").symlink_to(make_weights(tmp_path / "outside"))
    else:
        (folder / "x.safetensors").write_bytes(b"no tensors")
    with pytest.raises((InvalidInputError, WeightsError), match=r"x\.safetensors"):
        Server(_settings(weights=folder))


def _settings(**changes: Any) -> ServerSettings:
    return dataclasses.replace(QUICK, **changes)


def test_bad_arguments_end_it_before_models_load(tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no tensors")
    result = subprocess.run(
        [sys.executable, "-m", "esr_server", "--model", f"mine={broken}", "--listen", "127.0.0.1:0", "--no-http"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert "mine=" in result.stderr
    assert "cannot be read as safetensors" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(shutil.which("x86_64-linux-gnu-gcc") is None, reason="there is no compiler to link with")
async def test_own_weights_run_on_compiled_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, library = make_weights(tmp_path), tmp_path / "kernels"
    command = ["compile", "--model", f"mine={path}", "--depth", "8", "--depth", "10", "--target", "x86-64-linux"]
    result = CliRunner().invoke(app, [*command, "-o", str(library)])
    assert result.exit_code == 0, result.output
    monkeypatch.setattr(halide, "is_halide_installed", lambda: False)
    settings = EngineSettings(kernels=library, backend="fused")
    changes: dict[str, Any] = {"models": ("mine",), "engine": settings}
    async with running(own_models={"mine": path}, **changes) as server, stub_of(server) as stub:
        assert server.models.get("mine").backend == "fused"
        _assert_is_model(await _run(stub, "mine"), path)
    other = make_weights(tmp_path / "other", seed=0.9)
    with pytest.raises(EngineError, match=r"other weights; .*--model NAME=FILE with the very file"):
        async with running(own_models={"mine": other}, **changes):
            pass


def test_the_client_shows_own_models(tmp_path: Path) -> None:
    path = make_weights(tmp_path)
    with running_on_thread(models=("mine",), own_models={"mine": path}) as server:
        with esr_client.connect(target(server)) as client:
            (mine,) = [model for model in client.models() if model.model == "mine"]
        where = ["--server", target(server)]
        table, details, as_json = (
            CliRunner().invoke(client_cli.app, ["models", *more, *where]).stdout for more in ([], ["mine"], ["--json"])
        )
        unknown = CliRunner().invoke(client_cli.app, ["models", "nonesuch", *where])
    assert (mine.network, mine.card.licence) == ("esr_tr_x2_k3_c2", "CC0-1.0")
    assert "mine" in table
    assert max(map(len, table.splitlines())) <= 100
    for part in ("mine", "esr_tr_x2_k3_c2", "CC0-1.0", "eSR-TR_s2_K3_C2"):
        assert part in details
    assert mine.weights_sha256 in "".join(details.split())
    models = {model["model"]: model for model in json.loads(as_json)}
    assert models["mine"]["weights_sha256"] == mine.weights_sha256
    assert models["esr_tr_x2_k5_c2"]["card"]["licence"] == "Apache-2.0"
    assert unknown.exit_code == 1


def test_packaged_weights_under_another_name(tmp_path: Path) -> None:
    """A file without a card says in its metadata what it is."""
    copy = tmp_path / "renamed.safetensors"
    shutil.copy(weights_path(resolve("esr_max_x2")), copy)
    weights_file = read_weights_file(copy, "renamed")
    assert weights_file.spec == resolve("esr_max_x2")
    assert weights_file.tensors.keys() == load_weights(resolve("esr_max_x2")).keys()


def _client_upscale(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(client_cli.app, ["upscale", *map(str, arguments)], env={"ESR_SERVER": ""})
    return result.exit_code, " ".join(result.output.split())


def test_a_private_server_takes_own_weights(tmp_path: Path) -> None:
    file = make_weights(tmp_path / "weights")
    source, out = make(tmp_path / "in.mp4", Clip(pts=(0, 1, 2))), tmp_path / "out.mp4"
    code, output = _client_upscale(source, out, "--model", f"film={file}")
    assert (code, "3 frames" in output, ", film on fused" in output) == (0, True, True), output


@pytest.mark.parametrize(
    ("model", "more", "right"),
    [
        ("film=none.safetensors", (), "there is no weights file none.safetensors"),
        ("film=", (), "--model is NAME or NAME=FILE.safetensors"),
        ("film.safetensors", (), "--model film=film.safetensors"),
        ("film=f.safetensors", ("--server", "localhost"), "esr-serve --model film=f.safetensors"),
    ],
)
def test_own_weights_of_a_file_are_refused_clearly(
    model: str, more: tuple[str, ...], right: str, tmp_path: Path
) -> None:
    source = make(tmp_path / "in.mp4", Clip(pts=(0,)))
    code, output = _client_upscale(source, tmp_path / "out.mp4", "--model", model, *more)
    assert (code, right in output) == (1, True), output
