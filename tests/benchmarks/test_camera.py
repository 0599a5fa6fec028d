"""Cameras that the server refuses: a measurement that needs them says so."""

from __future__ import annotations

import pytest

import esr_client
from benchmarks.camera import Camera, StreamRefusedError, join_all
from benchmarks.clip import read_frames
from esr_server.config import SchedulerSettings
from tests.support.server import running_on_thread, target


def test_a_refused_stream_is_told_from_an_admitted_one() -> None:
    frames = read_frames(64, 36, 2)
    with (
        running_on_thread(scheduler=SchedulerSettings(max_streams=1)) as server,
        esr_client.connect(target(server)) as client,
    ):
        # The one stream that may run is open for as long as its frames go on.
        with client.upscale(iter(lambda: frames[0], None)) as stream:
            next(stream)
            camera = Camera(target(server), frames, 25, seconds=60).start()
            take = camera.join(may_be_refused=True)
            assert "1 stream" in take.refusal
            with pytest.raises(StreamRefusedError, match=r"a stream of 64×36 at 25 fps was refused: .*1 stream"):
                join_all([camera])
        admitted = Camera(target(server), frames, 25, seconds=0.2).start()
        (take,) = join_all([admitted])
    assert (take.refusal, len(take.received_s)) == ("", 5)


def test_a_failure_of_the_thread_is_raised() -> None:
    with running_on_thread() as server:
        camera = Camera(target(server), read_frames(64, 36, 1), 25, seconds=1, model="nothing_x2").start()
        with pytest.raises(esr_client.NotFoundError):
            camera.join()
