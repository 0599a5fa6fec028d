"""The wish for another model, on its way from any thread to the one that sends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from esr_api.v1 import upscaler_pb2 as pb
from esr_client._errors import ClosedError


class Switches:
    """At most one model waits for the next frame: of several before one frame the last counts."""

    def __init__(self) -> None:
        # Reentrant, because the collector may end a forgotten stream at any allocation, on this thread too.
        self._lock = threading.RLock()
        self._model = ""
        self._over = False

    def ask(self, model: str) -> None:
        """Let the frames from the next one on be made by `model`.

        Raises:
            ValueError: the name is empty.
            ClosedError: no frame will be sent any more.
        """
        if not model:
            raise ValueError("a switch needs the name of a model")
        with self._lock:
            if self._over:
                raise ClosedError(f"no frame of this stream is left to send: it cannot switch to {model}")
            self._model = model

    def pop_requests(self) -> Iterator[pb.UpscaleRequest]:
        """Yield the request that goes out before the next frame: none or one."""
        with self._lock:
            model, self._model = self._model, ""
        if model:
            yield pb.UpscaleRequest(switch_model=pb.SwitchModel(model=model))

    def end(self) -> None:
        with self._lock:
            self._over = True
