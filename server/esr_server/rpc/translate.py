"""Requests become a session's arrivals, results become responses: what each side remembers of the messages before."""

from __future__ import annotations

import time

from esr_api.v1 import upscaler_pb2 as pb
from esr_server.config import Limits
from esr_server.delivery import Dropped
from esr_server.errors import ProtocolError
from esr_server.rpc import convert
from esr_server.rpc.negotiation import StreamParams
from esr_server.session import Arrival, Result
from esr_server.shared_memory import InlineMemory
from esr_upscale.frame import Frame


class Inputs:
    """Reads requests after the config; remembers the format last said."""

    def __init__(self, params: StreamParams, limits: Limits, memory: InlineMemory) -> None:
        self._limits = limits
        self._memory = memory
        self._scale = params.scale
        # Packets need none, and their config need not say any.
        self._format = convert.frame_format(params.format) if params.session.decoder is None else None
        self._time_base = params.time_base
        self._frame_clock = params.frame_clock()
        self.pixels = params.format.width * params.format.height
        """Of the last frame."""
        self.resized = False
        """Whether that differs from the one before."""

    def arrival(self, request: pb.UpscaleRequest) -> tuple[Arrival, int]:
        """One request as an item for the session, and its payload bytes."""
        now_s = time.perf_counter()
        self.resized = False
        self._memory.free(request.freed_output_slots)
        kind = request.WhichOneof("payload")
        if kind == "frame":
            if request.frame.HasField("format"):
                self._take_format(request.frame.format)
            if self._format is None:
                raise ProtocolError("the config announced packets, and a raw frame came")
            frame, size = convert.frame_value(request.frame, self._format, self._time_base, self._memory)
            return Arrival(frame, request.frame.sequence, now_s, self._frame_clock.due_s(now_s)), size
        if kind == "packet":
            packet = convert.packet_value(request.packet)
            return Arrival(packet, request.packet.sequence, now_s, self._frame_clock.due_s(now_s)), len(packet.data)
        said = "a second config" if kind == "config" else "a request without payload"
        raise ProtocolError(f"after the config come frames or packets, not {said}; open a new stream instead")

    def _take_format(self, said: pb.VideoFormat) -> None:
        self._limits.check(said.width, said.height, self._scale)
        self._format = convert.frame_format(said) if self._format else None
        pixels = said.width * said.height
        self.pixels, self.resized = pixels, pixels != self.pixels


class Outputs:
    """Makes responses; says a frame's format where it differs from the last one said."""

    def __init__(self) -> None:
        self._said: convert.FrameFormat | None = None
        self.sent = 0
        self.dropped = 0
        self.model = ""
        """That made the last frame."""

    def response(self, results: list[Result]) -> tuple[pb.UpscaleResponse, int]:
        """One result, or several frames, as a response, and its payload bytes."""
        first, item = results[0], results[0].item
        if isinstance(item, Dropped):
            self.dropped += 1
            return pb.UpscaleResponse(dropped=convert.dropped_message(item, first.sequence)), 0
        self.sent += len(results)
        if not isinstance(item, Frame):
            packet, size = convert.packet_message(item, first)
            return pb.UpscaleResponse(packet=packet), size
        response = pb.UpscaleResponse()
        size = self._fill(response.frame, first)
        return response, size + sum(self._fill(response.more_frames.add(), result) for result in results[1:])

    def _fill(self, message: pb.Frame, result: Result) -> int:
        assert isinstance(result.item, Frame)
        size = convert.fill_frame(message, result.item, result)
        fmt = convert.format_of(result.item)
        if fmt != self._said:
            message.format.CopyFrom(convert.format_message(result.item))
            self._said = fmt
        return size
