"""The tree of errors and its one table."""

from __future__ import annotations

import inspect

import grpc
import pytest

import esr_client
from esr_client import _errors

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


def test_the_tree_is_drawn_in_the_docstring() -> None:
    drawn = _errors.__doc__ or ""
    for name, value in vars(_errors).items():
        if inspect.isclass(value) and issubclass(value, _errors.EsrError):
            assert name in drawn
            assert name in esr_client.__all__
