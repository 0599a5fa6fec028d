"""A ladder instead of a stutter: which model runs when, who is refused, and models that come and go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from esr_api.v1 import upscaler_pb2 as pb
from esr_api.v1.upscaler_pb2_grpc import UpscalerServiceStub
from esr_server.app import Server
from esr_server.errors import ConfigError
from esr_server.models.cost import Cost
from esr_server.models.ladder import ordered
from esr_upscale.engine import EngineSettings
from tests.support.calls import OPTIONS, Stub, raw_config, raw_frame, rest, stub_of, upscale
from tests.support.server import running

BEST, CHEAP = "esr_max_x2_k3_c1", "bicubic_x2"
FPS = pb.Rational(num=25, den=1)
TOKEN = "a token that only the test knows"


def set_cost(server: Server, name: str, milliseconds: float) -> None:
    """Say what a frame costs a model, instead of what was measured: a test must not hang on its machine."""
    for _ in range(2):  # a dearer cost holds when it is confirmed
        server.models.get(name).costs.measured(Cost(milliseconds * 1e-3, 0.0))


@asynccontextmanager
async def two_models(**changes: Any) -> AsyncIterator[tuple[Server, Stub]]:
    """A server with two models: of 10 ms, and of 1 ms."""
    one_frame_at_once = EngineSettings(threads=os.cpu_count() or 1)
    async with running(models=(CHEAP, BEST), engine=one_frame_at_once, **changes) as server, stub_of(server) as stub:
        set_cost(server, BEST, 10)
        set_cost(server, CHEAP, 1)
        yield server, stub


def ladder(**more: Any) -> pb.UpscaleRequest:
    return raw_config(model="", ladder=[CHEAP, BEST], target_fps=FPS, **more)


def fixed(model: str, fps: int) -> pb.UpscaleRequest:
    return raw_config(model=model, target_fps=pb.Rational(num=fps, den=1))


async def test_a_stream_that_never_fits_is_not_tried_again() -> None:
    async with two_models() as (server, stub):
        outcome = await upscale(stub, [fixed(BEST, 100)])
        rejections = server.metrics.registry.get_sample_value(
            "esr_stream_rejections_total", {"reason": "too_demanding"}
        )
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "cannot keep 100 fps with esr_max_x2_k3_c1 at 192 pixels" in outcome.details
    assert "ask for at most 90 fps" in outcome.details
    assert rejections == 1


async def _frame(call: Any, number: int) -> pb.Frame:
    await call.write(raw_frame(number))
    response = await call.read()
    assert response.WhichOneof("payload") == "frame", response
    return response.frame  # type: ignore[no-any-return]


async def test_the_best_rung_that_fits_runs() -> None:
    async with two_models() as (_, stub):
        outcome = await upscale(stub, [ladder(), *map(raw_frame, range(3))])
    assert outcome.negotiated is not None
    assert (list(outcome.negotiated.ladder), outcome.negotiated.model) == ([BEST, CHEAP], BEST)
    assert {frame.model for frame in outcome.frames} == {BEST}


async def test_auto_is_the_ladder_of_what_is_loaded() -> None:
    async with two_models() as (_, stub):
        outcome = await upscale(stub, [raw_config(model="auto", target_fps=FPS), raw_frame(0)])
        other = await upscale(stub, [raw_config(model="auto_x3", target_fps=FPS), raw_frame(0)])
    assert outcome.negotiated is not None
    assert list(outcome.negotiated.ladder) == [BEST, CHEAP]
    assert other.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "no model of ×3 is loaded here, only ×2" in other.details


async def test_a_stream_goes_down_when_another_comes() -> None:
    async with two_models() as (server, stub):
        first = stub.Upscale()
        await first.write(ladder())
        await first.read()
        assert (await _frame(first, 0)).model == BEST
        second = stub.Upscale()
        await second.write(fixed(BEST, 80))
        await second.read()
        assert (await _frame(first, 1)).model == CHEAP
        await first.done_writing()
        statistics = (await rest(first)).statistics
        second.cancel()
        value = server.metrics.registry.get_sample_value("esr_model_switches_total", {"from": BEST, "to": CHEAP})
    assert statistics is not None
    assert (statistics.model_switches, statistics.frames_out, value) == (1, 2, 1)


async def test_a_refusal_has_the_time_to_try_again() -> None:
    async with two_models() as (server, stub):
        running_stream = stub.Upscale()
        await running_stream.write(fixed(BEST, 85))
        await running_stream.read()
        with grpc.insecure_channel(stub.address, options=OPTIONS) as channel:
            error = await _refusal(channel, fixed(BEST, 25))
        offered = await upscale(stub, [ladder(), raw_frame(0)])
        running_stream.cancel()
        value = server.metrics.registry.get_sample_value
        rejections = value("esr_stream_rejections_total", {"reason": "overloaded"})
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "asks for 25% of the machine, of which 5% is free" in error.details()
    info = RetryInfo()
    metadata = dict(error.trailing_metadata())
    (detail,) = Status.FromString(metadata["grpc-status-details-bin"]).details
    assert detail.Unpack(info)
    assert info.retry_delay.seconds >= 1
    assert offered.negotiated is not None
    assert offered.negotiated.model == CHEAP
    assert rejections == 1


async def _refusal(channel: grpc.Channel, config: pb.UpscaleRequest) -> Any:
    def ask() -> Any:
        with pytest.raises(grpc.RpcError) as error_info:
            list(UpscalerServiceStub(channel).Upscale(iter([config])))
        return error_info.value

    return await asyncio.to_thread(ask)


async def test_a_switch_holds_from_the_next_frame_on() -> None:
    async with two_models() as (_, stub):
        switch = pb.UpscaleRequest(switch_model=pb.SwitchModel(model=BEST))
        outcome = await upscale(stub, [raw_config(), raw_frame(0), raw_frame(1), switch, raw_frame(2)])
    assert [frame.model for frame in outcome.frames] == [CHEAP, CHEAP, BEST]
    assert outcome.statistics is not None
    assert outcome.statistics.model_switches == 1


@pytest.mark.parametrize(
    ("model", "code", "says"),
    [
        ("bicubic_x3", grpc.StatusCode.INVALID_ARGUMENT, "bicubic_x3 has scale ×3, but this stream has ×2"),
        ("esr_tr_x5", grpc.StatusCode.NOT_FOUND, "esr_tr_x5"),
    ],
)
async def test_a_wrong_switch_fails_behind_its_frames(model: str, code: grpc.StatusCode, says: str) -> None:
    async with running() as server, stub_of(server) as stub:
        switch = pb.UpscaleRequest(switch_model=pb.SwitchModel(model=model))
        outcome = await upscale(stub, [raw_config(), raw_frame(0), switch, raw_frame(1)])
    assert (outcome.code, len(outcome.frames)) == (code, 1)
    assert says in outcome.details


async def test_a_switch_to_more_than_is_free_is_refused() -> None:
    async with two_models() as (_, stub):
        switch = pb.UpscaleRequest(switch_model=pb.SwitchModel(model=BEST))
        other = stub.Upscale()
        await other.write(fixed(CHEAP, 200))
        await other.read()
        outcome = await upscale(stub, [fixed(CHEAP, 80), raw_frame(0), switch, raw_frame(1)])
        never = await upscale(stub, [fixed(CHEAP, 100), raw_frame(0), switch, raw_frame(1)])
        other.cancel()
    assert outcome.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "takes 80% of the machine" in outcome.details
    assert never.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "cannot keep 100 fps" in never.details


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (raw_config(model="", ladder=[CHEAP, BEST]), "needs target_fps"),
        (raw_config(model="auto"), "needs target_fps"),
        (raw_config(model=CHEAP, ladder=[BEST], target_fps=FPS), "a model or a ladder, not both"),
        (raw_config(model="", ladder=[CHEAP, "bicubic_x3"], target_fps=FPS), "have one scale, not ×2, ×3"),
        (raw_config(target_fps=pb.Rational(num=0, den=1)), "positive ratio, such as 30000/1001, not 0/1"),
        (raw_config(target_fps=pb.Rational(num=25, den=0)), "positive ratio"),
    ],
    ids=["ladder, no rate", "auto, no rate", "both", "two scales", "rate of 0", "rate over 0"],
)
async def test_what_cannot_be_asked_for(config: pb.UpscaleRequest, says: str) -> None:
    async with two_models() as (_, stub):
        outcome = await upscale(stub, [config])
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert says in outcome.details


async def test_a_rate_without_a_size() -> None:
    encoded = pb.EncodedInput(codec="h264", time_base=pb.Rational(num=1, den=25))
    config = pb.UpscaleConfig(model=CHEAP, encoded_input=encoded, target_fps=FPS)
    async with running() as server, stub_of(server) as stub:
        outcome = await upscale(stub, [pb.UpscaleRequest(config=config)])
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "needs the picture size" in outcome.details


async def test_a_dearer_rung_that_is_no_better_is_left_out() -> None:
    async with two_models() as (server, _):
        set_cost(server, CHEAP, 20)
        models = [server.models.get(name) for name in (CHEAP, BEST)]
        assert [model.name for model in ordered(models)] == [BEST]
        with pytest.raises(ConfigError, match="one scale"):
            ordered([*models, server.models.get("bicubic_x3")])


async def test_load_and_acceptance_are_shown() -> None:
    async with two_models() as (server, stub):
        call = stub.Upscale()
        await call.write(fixed(BEST, 60))
        await call.read()
        value = server.metrics.registry.get_sample_value
        acceptance = [value("esr_can_accept", {"model": model, "size": "960x540"}) for model in (BEST, CHEAP)]
        load = value("esr_load")
        ratio = value("esr_realtime_ratio")
        call.cancel()
    assert load == pytest.approx(0.6)
    assert acceptance == [1.0, 1.0]
    assert ratio == 0


# ---- models that come and go ----------------------------------------------------------------------------------------


def _as(token: str | None) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token}"),) if token else ()}


async def test_loading_and_unloading_while_a_stream_runs() -> None:
    async with two_models(admin_token=TOKEN) as (server, stub):
        call = stub.Upscale()
        await call.write(ladder())
        await call.read()
        assert (await _frame(call, 0)).model == BEST
        unloading = await stub.UnloadModel(pb.UnloadModelRequest(model=BEST), **_as(TOKEN))
        assert (await _frame(call, 1)).model == CHEAP
        info = {"model": BEST, "alias": "", "family": "esr_max", "scale": "2", "backend": "fused"}
        assert server.metrics.registry.get_sample_value("esr_model_info", info) is None
        back = await stub.LoadModel(pb.LoadModelRequest(model=BEST), **_as(TOKEN))
        assert server.metrics.registry.get_sample_value("esr_model_info", info) == 1
        await call.done_writing()
        assert (await rest(call)).statistics is not None
    assert (unloading.model.loaded, back.model.loaded) == (False, True)
    assert back.model.seconds_per_pixel > 0


@pytest.mark.parametrize(
    ("server_token", "token", "model", "code"),
    [
        (None, TOKEN, BEST, grpc.StatusCode.PERMISSION_DENIED),
        (TOKEN, None, BEST, grpc.StatusCode.UNAUTHENTICATED),
        (TOKEN, TOKEN[:-1], BEST, grpc.StatusCode.UNAUTHENTICATED),
        (TOKEN, TOKEN, CHEAP, grpc.StatusCode.INVALID_ARGUMENT),
        (TOKEN, TOKEN, "bicubic_x4", grpc.StatusCode.INVALID_ARGUMENT),
        (TOKEN, TOKEN, "esr_tr_x5", grpc.StatusCode.NOT_FOUND),
    ],
    ids=["no administrators", "no token", "another token", "the default", "not loaded", "unknown"],
)
async def test_who_may_not_unload_what(
    server_token: str | None, token: str | None, model: str, code: grpc.StatusCode
) -> None:
    async with running(admin_token=server_token) as server, stub_of(server) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as error_info:
            await stub.UnloadModel(pb.UnloadModelRequest(model=model), **_as(token))
        if code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.LoadModel(pb.LoadModelRequest(model=model), **_as(token))
        assert [served.name for served in server.models.loaded] == [CHEAP]
    assert error_info.value.code() is code
    assert TOKEN not in (error_info.value.details() or "")
