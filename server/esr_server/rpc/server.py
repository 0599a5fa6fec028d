"""The gRPC server: its addresses, its limits, health, reflection, and a shutdown that loses nothing."""

from __future__ import annotations

import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health_aio
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from esr_api.v1.upscaler_pb2_grpc import add_UpscalerServiceServicer_to_server
from esr_server.config import ServerSettings
from esr_server.rpc.listening import bind
from esr_server.rpc.service import NAME, UpscalerService
from esr_server.rpc.upscale import Services

_LAST_WORDS_S = 1.0  # for statuses that are on their way when no stream runs any more


class GrpcServer:
    """Serves `NAME`, `grpc.health.v1` and reflection on every address of the settings."""

    def __init__(self, services: Services) -> None:
        """Bind all addresses.

        Raises:
            OSError: an address cannot be bound.
        """
        self._services = services
        self._server = grpc.aio.server(options=_options(services.settings))
        self._health = health_aio.HealthServicer()
        add_UpscalerServiceServicer_to_server(UpscalerService(services), self._server)
        add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((NAME, HEALTH, reflection.SERVICE_NAME), self._server)
        self.ports = bind(self._server, services.settings.listen)

    async def start(self) -> None:
        """Answer calls from now on, and say NOT_SERVING."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()

    async def say_serving(self) -> None:
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float) -> bool:
        """Say NOT_SERVING, refuse new streams, let the running ones finish.

        Returns whether all finished within `grace_s` seconds; those that did not end with UNAVAILABLE.
        """
        await self._health.enter_graceful_shutdown()
        finished = await self._services.scheduler.drain(grace_s)
        await self._server.stop(_LAST_WORDS_S)
        return finished

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for service in ("", NAME):
            await self._health.set(service, status)


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    keepalive_ms = int(1000 * settings.keepalive_s)
    return [
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms),
        ("grpc.http2.ping_timeout_ms", keepalive_ms),  # else a minute, whatever the timeout is
        # Clients ask for a sign of life too, as often as once a second. gRPC's default would end their connection.
        ("grpc.http2.min_ping_interval_without_data_ms", 500),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", settings.limits.max_receive_bytes),
        ("grpc.max_send_message_length", settings.limits.max_send_bytes),
        ("grpc.so_reuseport", 0),  # a second server on the same port is an error, not half of the streams
    ]
