"""grpc.health.v1 and server reflection, as probes and grpcurl use them."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from esr_server.rpc.service import NAME
from tests.support.server import running, target

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("service", ["", NAME])
async def test_each_service_says_that_it_serves(service: str) -> None:
    async with running() as server, grpc.aio.insecure_channel(target(server)) as channel:
        answer = await HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == SERVING


async def test_an_unknown_service_is_not_found() -> None:
    async with running() as server, grpc.aio.insecure_channel(target(server)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error_info:
            await HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert error_info.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_tells_the_services_and_their_file() -> None:
    listing = reflection_pb2.ServerReflectionRequest(list_services="")
    describing = reflection_pb2.ServerReflectionRequest(file_containing_symbol=NAME)
    async with running() as server, grpc.aio.insecure_channel(target(server)) as channel:
        untyped: Any = channel  # the types know the sync channel only
        stub: Any = ServerReflectionStub(untyped)
        services, files = [answer async for answer in stub.ServerReflectionInfo(iter((listing, describing)))]
    names = {service.name for service in services.list_services_response.service}
    assert {NAME, "grpc.health.v1.Health"} <= names
    assert any(b"UpscaleImage" in file for file in files.file_descriptor_response.file_descriptor_proto)
