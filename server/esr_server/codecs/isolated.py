"""Codecs in processes of their own: what crashes, hangs or takes all memory ends one stream.

A codec has a process, a connection to it, and an anonymous file (memfd) in which frames lie that go there or come from
there. Linux only.
"""

from __future__ import annotations

import fcntl
import heapq
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_media.packet import Packet
from esr_media.slots import PLANE_ALIGNMENT, SLOT_ALIGNMENT, align_up
from esr_server.codecs.channel import Channel, Head
from esr_server.codecs.messages import (
    decoder_to,
    encoder_to,
    error_from,
    frame_from,
    frame_to,
    packet_from,
    packet_to,
)
from esr_server.errors import CodecProcessError, DecoderDiedError, EncoderDiedError
from esr_upscale.errors import LimitError
from esr_upscale.frame import Frame
from esr_upscale.media.decode import DecoderSettings
from esr_upscale.media.encode import EncodedFrame, EncoderSettings

_SLOTS = 8
"""Decoded frames that may lie in shared memory. Those of a packet are upscaled one after the other, and let go then."""
_FLUSH_FACTOR = 3
"""An encoder that flushes codes the pictures of its whole lookahead."""


class ForkServer:
    """The process that starts processes. It is started again if it dies. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[socket.socket, subprocess.Popen[bytes]] | None = None

    def start(self) -> None:
        """Start it, if it does not run."""
        with self._lock:
            self._control()

    def spawn(self, memory: int) -> tuple[socket.socket, int]:
        """Start a process that maps the file `memory`; return the connection to it and its pidfd.

        Raises:
            CodecProcessError: the system starts no more processes.
        """
        with self._lock:
            control = self._control()
            ours, theirs = socket.socketpair()
            with theirs:
                socket.send_fds(control, [b"f"], [theirs.fileno(), memory])
            answer, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        if not descriptors:
            ours.close()
            reason = os.strerror(int(answer)) if answer else "what starts them has died"
            raise CodecProcessError(f"no process can be started for a codec: {reason}")
        return ours, descriptors[0]

    def close(self) -> None:
        """End it, and every process that it started."""
        with self._lock:
            if self._running is not None:
                control, process = self._running
                self._running = None
                control.close()
                process.wait()

    def _control(self) -> socket.socket:
        if self._running is not None:
            control, process = self._running
            if process.poll() is None:
                return control
            control.close()
        ours, theirs = socket.socketpair()
        with theirs:
            # It finds this package where this process found it. One thread is all that numpy needs there.
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
            command = [sys.executable, "-m", "esr_server.codecs.forkserver", str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL)
        self._running = ours, process
        return ours


class FrameSlots:
    """Shared memory for frames of a codec, of which only the parts that are used exist. Safe to use from any thread."""

    def __init__(self, count: int, slot_bytes: int) -> None:
        self.slot_bytes = align_up(slot_bytes, SLOT_ALIGNMENT)
        self.file = os.memfd_create("edge-sr-codec", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.file, count * self.slot_bytes)
        # Memory behind the end of a file ends the process that reads it: the codec's must not cut it off.
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self._mapping: mmap.mmap | None = mmap.mmap(self.file, count * self.slot_bytes)
        self._free = list(range(count))  # a heap: low slots first, so that few are touched
        self._lock = threading.Lock()

    def take(self) -> int:
        """Return the lowest free slot. There is one: `view` leaves it."""
        with self._lock:
            return heapq.heappop(self._free)

    def free(self, slot: int) -> None:
        with self._lock:
            heapq.heappush(self._free, slot)

    def view(self, slot: int) -> tuple[memoryview, bool]:
        """Return a slot's bytes, and whether they are to be copied and `free` called, since it was the last slot.

        Otherwise the slot is free again when the last array that lies in it is gone.
        """
        assert self._mapping is not None, "the codec is closed"
        samples = np.frombuffer(self._mapping, np.uint8, self.slot_bytes, slot * self.slot_bytes)
        with self._lock:
            is_last = not self._free
        if not is_last:
            weakref.finalize(samples, self.free, slot).atexit = False
        return samples.data, is_last

    def close(self) -> None:
        """Close the file. Its memory is there until the last array that lies in it is gone."""
        os.close(self.file)
        self._mapping = None  # it has a descriptor of its own, which a traceback could hold


@dataclass(frozen=True, slots=True)
class _Kind:
    """Which codec a process has, and what it means for the stream if it dies."""

    noun: str
    error: type[CodecProcessError]


_DECODER = _Kind("decoder", DecoderDiedError)
_ENCODER = _Kind("encoder", EncoderDiedError)


class CodecProcess:
    """A process with one codec. One thread asks it at a time; any thread may kill it."""

    def __init__(self, forkserver: ForkServer, memory: FrameSlots, kind: _Kind, timeout_s: float, head: Head) -> None:
        """Start the process, and have it open the codec of `head`.

        Raises:
            UpscaleError: the codec does not open.
            CodecProcessError: the process died, or did not answer in `timeout_s` seconds.
        """
        self._kind, self._timeout_s, self._memory = kind, timeout_s, memory
        connection, self._pidfd = forkserver.spawn(memory.file)
        self._channel = Channel(connection)
        self._lock = threading.Lock()
        try:
            self.ask(head)
        except BaseException:
            self.close()
            raise

    def ask(self, head: Head, data: bytes = b"", patience: int = 1) -> tuple[Head, bytes]:
        """Send a request; return the answer. It may take `patience` times the timeout.

        Raises:
            UpscaleError: what the codec raised.
            CodecProcessError: the process died, or did not answer in time; it is killed then.
        """
        limit_s = self._timeout_s * patience
        deadline_s = time.monotonic() + limit_s
        try:
            self._channel.send(head, data, deadline_s)
            answer, payload = self._channel.receive(deadline_s)
        except TimeoutError:
            self.kill()
            raise self._kind.error(f"the {self._kind.noun} did not answer in {limit_s:g} s, and was stopped") from None
        except (EOFError, OSError, ValueError) as error:
            self.kill()
            raise self._kind.error(f"the {self._kind.noun} crashed, or took more memory than it may") from error
        if "error" in answer:
            raise error_from(answer)
        return answer, payload

    def kill(self) -> None:
        """End the process at once. A thread that waits for its answer gets an error."""
        with self._lock:
            if self._pidfd >= 0:
                with suppress(ProcessLookupError):  # it has ended, and is gone
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """End the process, and let go of its memory. No thread may ask it any more."""
        self.kill()
        with self._lock:
            descriptor, self._pidfd = self._pidfd, -1
        if descriptor >= 0:
            os.close(descriptor)
            self._channel.close()
            self._memory.close()

    def fault(self, error: Exception) -> CodecProcessError:
        """Return the error for an answer that cannot be right; the process is killed."""
        self.kill()
        return self._kind.error(f"the {self._kind.noun} gave an answer that cannot be right: {error!r}")


class IsolatedDecoder:
    """A decoder, and its deinterlacer, in a process of its own. A DecodeStage."""

    def __init__(
        self, forkserver: ForkServer, settings: DecoderSettings, deinterlace: str, slot_bytes: int, timeout_s: float
    ) -> None:
        self._slots = FrameSlots(_SLOTS, slot_bytes)
        head = {"decoder": decoder_to(settings, deinterlace), "slot_bytes": self._slots.slot_bytes}
        self._process = CodecProcess(forkserver, self._slots, _DECODER, timeout_s, head)
        self._max_pixels = settings.max_pixels
        self._skipped = 0

    @property
    def packets_skipped(self) -> int:
        return self._skipped

    def push(self, packet: Packet) -> Iterator[Frame]:
        yield from self._frames({"do": "push", "packet": packet_to(packet)}, packet.data)

    def flush(self) -> Iterator[Frame]:
        yield from self._frames({"do": "flush"}, b"")

    def interrupt(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.close()

    def _frames(self, head: Head, data: bytes) -> Iterator[Frame]:
        is_last = False
        while not is_last:
            slot = self._slots.take()
            try:
                answer, _ = self._process.ask(head | {"slot": slot}, data)
            except BaseException:
                self._slots.free(slot)
                raise
            try:
                self._skipped, is_last = int(answer["skipped"]), bool(answer["last"])
                frame = self._frame(answer["frame"], slot) if "frame" in answer else None
            except Exception as error:  # of any kind: the answer may be anything
                raise self._process.fault(error) from error
            if frame is None:
                self._slots.free(slot)
            else:
                yield frame
            head, data = {"do": "next"}, b""

    def _frame(self, head: Head, slot: int) -> Frame:
        memory, is_last_slot = self._slots.view(slot)
        frame = frame_from(head, memory.toreadonly())
        if frame.width * frame.height > self._max_pixels:
            raise ValueError(f"a frame of {frame.width}x{frame.height}")
        if is_last_slot:
            frame = replace(frame, planes=tuple(plane.copy() for plane in frame.planes))
            self._slots.free(slot)
        return frame


class IsolatedEncoder:
    """An encoder in a process of its own. An EncodeStage."""

    def __init__(self, forkserver: ForkServer, settings: EncoderSettings, frame_bytes: int, timeout_s: float) -> None:
        # One frame that was made there, and a copy of each plane of one that was not.
        self._memory = FrameSlots(1, 2 * frame_bytes)
        view, _ = self._memory.view(self._memory.take())
        self._samples = np.frombuffer(view, np.uint8)
        self._end = 0
        self._process = CodecProcess(forkserver, self._memory, _ENCODER, timeout_s, {"encoder": encoder_to(settings)})

    def push(self, frame: Frame) -> list[EncodedFrame]:
        places = [self._place(plane) for plane in frame.planes]
        self._end = 0
        return self._packets({"do": "push", "frame": frame_to(frame, places)})

    def allocate(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Return memory for a plane of the next frame, from which it need not be copied; None if it is used up."""
        start = align_up(self._end, PLANE_ALIGNMENT)
        end = start + shape[0] * shape[1] * dtype.itemsize
        if end > self._samples.size:
            return None
        self._end = end
        return self._samples[start:end].view(dtype).reshape(shape)

    def _place(self, plane: NDArray[Any]) -> tuple[int, int]:
        offset = plane.__array_interface__["data"][0] - self._samples.__array_interface__["data"][0]
        if 0 <= offset < self._samples.size:
            return offset, plane.strides[0]
        copy = self.allocate(plane.shape, plane.dtype)
        if copy is None:
            raise LimitError(f"a plane of {plane.shape} is larger than what this server encodes")
        np.copyto(copy, plane)
        return self._place(copy)

    def flush(self) -> list[EncodedFrame]:
        return self._packets({"do": "flush"}, patience=_FLUSH_FACTOR)

    def interrupt(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.close()
        self._samples = self._samples[:0].copy()

    def _packets(self, head: Head, patience: int = 1) -> list[EncodedFrame]:
        answer, payload = self._process.ask(head, patience=patience)
        try:
            encoded, start = [], 0
            for packet in answer["packets"]:
                end = start + packet["bytes"]
                encoded.append(EncodedFrame(packet_from(packet, payload[start:end]), packet["index"]))
                start = end
            return encoded
        except Exception as error:  # of any kind: the answer may be anything
            raise self._process.fault(error) from error


class IsolatedCodecs:
    """Codecs in processes of their own."""

    def __init__(self, input_bytes: int, output_bytes: int, timeout_s: float) -> None:
        """Keep the limits: frames have at most `input_bytes` and `output_bytes`, an answer `timeout_s` seconds."""
        self._input_bytes, self._output_bytes, self._timeout_s = input_bytes, output_bytes, timeout_s
        self._forkserver = ForkServer()

    def start(self) -> None:
        self._forkserver.start()

    def decoder(self, settings: DecoderSettings, deinterlace: str) -> IsolatedDecoder:
        return IsolatedDecoder(self._forkserver, settings, deinterlace, self._input_bytes, self._timeout_s)

    def encoder(self, settings: EncoderSettings) -> IsolatedEncoder:
        return IsolatedEncoder(self._forkserver, settings, self._output_bytes, self._timeout_s)

    def close(self) -> None:
        self._forkserver.close()
