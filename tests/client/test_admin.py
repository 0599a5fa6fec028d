"""The administrator's calls, and who gets to see the token."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import esr_client
from esr_client import cli
from esr_client.cli import _administration
from tests.client.pictures import array
from tests.client.scripted import TOKEN, Script, serving_aio

TOLD = {
    "LoadModel": [f"Bearer {TOKEN}"],
    "UnloadModel": [f"Bearer {TOKEN}"],
    "ListModels": [""],
    "UpscaleImage": [""],
    "Upscale": [""],
}


def test_models_are_loaded_and_let_go_of(target: str) -> None:
    with esr_client.connect(target, admin_token=TOKEN) as client:
        loaded = client.load_model("esr_max_x2")
        assert (loaded.model, loaded.loaded, loaded.seconds_per_frame) == ("esr_max_x2", True, 0.5)
        assert not client.unload_model("esr_max_x2").loaded
        with pytest.raises(esr_client.NotFoundError, match="nonesuch"):
            client.load_model("nonesuch")


def test_the_token_goes_along_with_these_calls_only(target: str, script: Script) -> None:
    with esr_client.connect(target, admin_token=TOKEN) as client:
        client.load_model("m")
        client.unload_model("m")
        client.models()
        client.upscale_image(array(0), model="m")
        list(client.upscale([array(0)], model="m"))
    assert script.authorizations == TOLD


async def test_asyncio_token_goes_with_admin_calls_only(script: Script, socket_dir: Path) -> None:
    async with (
        serving_aio(script, socket_dir) as target,
        esr_client.connect_async(target, admin_token=TOKEN) as client,
    ):
        assert (await client.load_model("m")).loaded
        assert not (await client.unload_model("m")).loaded
        await client.models()
        await client.upscale_image(array(0), model="m")
        assert [a async for a in client.upscale([array(0)], model="m")]
    assert script.authorizations == TOLD


@pytest.mark.parametrize(("token", "code"), [(None, "UNAUTHENTICATED"), ("a guess", "PERMISSION_DENIED")])
async def test_others_are_not_let_in(script: Script, socket_dir: Path, token: str | None, code: str) -> None:
    async with serving_aio(script, socket_dir) as target, esr_client.connect_async(target, admin_token=token) as client:
        with pytest.raises(esr_client.AccessError, match="administrator") as error_info:
            await client.load_model("m")
        assert (error_info.value.code, error_info.value.retryable) == (code, False)


@pytest.mark.parametrize(("token", "code"), [(None, "UNAUTHENTICATED"), ("a guess", "PERMISSION_DENIED")])
def test_others_are_not_let_in_by_the_sync_client(target: str, token: str | None, code: str) -> None:
    with (
        esr_client.connect(target, admin_token=token) as client,
        pytest.raises(esr_client.AccessError, match="administrator") as error_info,
    ):
        client.unload_model("m")
    assert error_info.value.code == code


@pytest.mark.parametrize("token", ["", "two\nlines", "t\N{LATIN SMALL LETTER O WITH DIAERESIS}ken", "null\0"])
def test_a_token_that_cannot_be_sent_is_not_repeated(token: str) -> None:
    for connect in (esr_client.connect, esr_client.connect_async):
        with pytest.raises(ValueError, match="printable ASCII") as error_info:
            connect("127.0.0.1:1", admin_token=token)
        assert not token or token not in str(error_info.value)


def test_a_client_does_not_show_its_token() -> None:
    with esr_client.connect("127.0.0.1:1", admin_token=TOKEN) as client:
        assert TOKEN not in repr(client)
        with pytest.raises(esr_client.UnavailableError) as error_info:
            client.load_model("m")
        assert TOKEN not in f"{error_info.value!r} {error_info.value.__cause__!r}"


# ---- from the command line ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "outcome"), [("load", "m: loaded on scripted"), ("unload", "m: not loaded")])
def test_load_and_unload(target: str, monkeypatch: pytest.MonkeyPatch, command: str, outcome: str) -> None:
    monkeypatch.setenv("ESR_ADMIN_TOKEN", f"{TOKEN}\n")
    result = CliRunner().invoke(cli.app, [command, "m", "--server", target])
    assert (result.exit_code, result.output.strip()) == (0, outcome)


@pytest.mark.parametrize(
    ("token", "model", "message"),
    [
        (TOKEN, "nonesuch", "no model is named 'nonesuch'"),
        ("a guess", "m", "for an administrator"),
        ("", "m", "ESR_ADMIN_TOKEN is not set"),
        ("two\nlines", "m", "printable ASCII"),
    ],
)
def test_refusals_are_one_line(
    target: str, script: Script, monkeypatch: pytest.MonkeyPatch, token: str, model: str, message: str
) -> None:
    monkeypatch.setenv("ESR_ADMIN_TOKEN", token)
    result = CliRunner().invoke(cli.app, ["load", model, "--server", target])
    output = " ".join(result.output.split())
    assert (result.exit_code, output.startswith("esr-client: "), message in output) == (1, True, True), output
    assert not token or token not in output


def test_the_token_is_no_option() -> None:
    for command in ("load", "unload"):
        result = CliRunner().invoke(cli.app, [command, "m", "--admin-token", TOKEN])
        assert result.exit_code == 2


# ---- what a model costs ---------------------------------------------------------------------------------------------


def _info(**values: float) -> esr_client.ModelInfo:
    fields = {"alias": "", "paper_id": "", "family": "f", "parameters": 1, "macs_per_pixel": 2, "backend": "e"}
    return esr_client.ModelInfo(model="m", scale=2, loaded=bool(values), **fields, **values)  # type: ignore[arg-type]


def test_the_time_of_a_frame() -> None:
    assert _info().seconds_for(960, 540) is None
    assert _info(seconds_per_frame=0.001, seconds_per_pixel=1e-8).seconds_for(1000, 100) == pytest.approx(0.002)


def test_the_table_has_times_where_they_were_measured() -> None:
    def cells(*rows: esr_client.ModelInfo) -> list[str]:
        table = _administration._table(rows)
        return [str(cell) for cell in table.columns[-1].cells] if "ms for" in str(table.columns[-1].header) else []

    assert cells(_info()) == []
    assert cells(_info(), _info(seconds_per_frame=0.001, seconds_per_pixel=1e-8)) == ["", "6.18"]
