"""The tree of errors and its one table."""

from __future__ import annotations

import inspect
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

import esr_client
from esr_client import _errors
from tests.client.pictures import array
from tests.client.scripted import Script, serving_aio

STATUSES = [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK]


def test_codes_are_the_statuses_that_are_errors() -> None:
    assert set(esr_client.ErrorCode.__members__) == {status.name for status in STATUSES}


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_its_error(status: grpc.StatusCode) -> None:
    error = _errors.from_status(status, "what the server said")
    assert isinstance(error, esr_client.ServerError)
    assert type(error) is not esr_client.ServerError
    assert error.code == status.name
    assert str(error) == "what the server said"


def test_a_status_that_is_no_error_is_unknown() -> None:
    assert _errors.from_status(grpc.StatusCode.OK, None).code is esr_client.ErrorCode.UNKNOWN
    assert _errors.from_status(None, None).code is esr_client.ErrorCode.UNKNOWN


def test_what_may_be_tried_again() -> None:
    retryable = {status.name for status in STATUSES if _errors.from_status(status, "x").retryable}
    assert retryable == {"UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED"}


def test_a_message_over_grpcs_limit_is_not_tried_again() -> None:
    error = _errors.from_status(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (9 vs. 4)"
    )
    assert isinstance(error, esr_client.ResourceExhaustedError)
    assert not error.retryable


@pytest.mark.parametrize("seconds", [0.0, 0.25, 90.0])
def test_a_full_server_says_when_to_come_back(client: esr_client.Client, script: Script, seconds: float) -> None:
    script.retry_after_s = seconds
    with pytest.raises(esr_client.ResourceExhaustedError, match="full") as error_info:
        list(client.upscale([array(0)], model="m"))
    assert (error_info.value.retry_after_s, error_info.value.retryable) == (seconds, True)


@pytest.mark.parametrize("count", [1, 99])
async def test_asyncio_full_server_says_when_to_retry(script: Script, socket_dir: Path, count: int) -> None:
    script.retry_after_s = 0.25
    async with serving_aio(script, socket_dir) as target, esr_client.connect_async(target) as client:
        with pytest.raises(esr_client.ResourceExhaustedError, match="full") as error_info:
            [a async for a in client.upscale([array(0)] * count, model="m")]
    assert error_info.value.retry_after_s == 0.25


def test_a_server_that_does_not_say_when(client: esr_client.Client, script: Script) -> None:
    script.end_after, script.status = 0, grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(esr_client.ResourceExhaustedError) as error_info:
        list(client.upscale([array(0)], model="m"))
    assert error_info.value.retry_after_s is None


@pytest.mark.parametrize(
    "value", [b"", b"\xff damaged", Status(code=8).SerializeToString(), Status(details=[Any()]).SerializeToString()]
)
def test_details_without_a_time(value: bytes) -> None:
    metadata = (("grpc-status-details-bin", value),)
    error = _errors.from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", metadata)
    assert isinstance(error, esr_client.ResourceExhaustedError)
    assert (str(error), error.retry_after_s) == ("full", None)


def test_a_time_that_is_not_set_is_none() -> None:
    status = Status()
    status.details.add().Pack(RetryInfo())
    metadata = (("other", "text"), ("grpc-status-details-bin", status.SerializeToString()))
    error = _errors.from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", metadata)
    assert isinstance(error, esr_client.ResourceExhaustedError)
    assert error.retry_after_s is None


def test_the_tree_is_drawn_in_the_docstring() -> None:
    tree = _errors.__doc__ or ""
    for name, value in vars(_errors).items():
        if inspect.isclass(value) and issubclass(value, _errors.EsrError):
            assert name in tree
            assert name in esr_client.__all__
