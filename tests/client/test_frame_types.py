"""Arrays and frames that callers hand in, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import esr_client
from esr_client import Frame, FrameError
from tests.support.server import running_on_thread, target

COLOURED = np.zeros((16, 24, 3), np.uint8)
COLOURED[..., 0], COLOURED[..., 2] = 200, 40


@pytest.fixture(scope="module")
def client() -> Iterator[esr_client.Client]:
    """A client of a real server."""
    with running_on_thread() as server, esr_client.connect(target(server)) as client:
        yield client


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        (COLOURED, "for one picture use upscale_image"),
        (COLOURED[..., 0], "for one picture use upscale_image"),
        (Frame((COLOURED[..., 0],), 24, 16, "gray"), "for one picture use upscale_image"),
        (av.VideoFrame(16, 16, "yuv420p"), "for one picture use upscale_image"),
        ("in.mp4", "upscale_file"),
        (Path("in.mp4"), "upscale_file"),
        (None, "takes an iterable of frames, not one NoneType"),
    ],
)
def test_one_picture_is_no_iterable(client: esr_client.Client, item: Any, hint: str) -> None:
    with pytest.raises(TypeError, match=hint):
        client.upscale(item, model="bicubic_x2")


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.zeros((8, 8, 4), np.uint8), r"leave out alpha with array\[:, :, :3\]"),
        (np.zeros((8, 8, 1), np.uint8), r"leave out the last axis with array\[:, :, 0\]"),
        (np.zeros((8, 8, 3), np.int64), r"change the type with array.astype\('uint8'\)"),
        (np.zeros((3, 8, 8), np.uint8), r"array.transpose\(1, 2, 0\)"),
        (np.zeros((8, 8, 3), np.float32), r"\(array \* 255\)"),
        (np.zeros((8, 8, 3), ">u2"), r"change the type with array.astype"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"not \(2, 8, 8, 3\) of uint8$"),
    ],
)
def test_arrays_that_cannot_be(client: esr_client.Client, array: Any, hint: str) -> None:
    with pytest.raises(FrameError, match=hint):
        list(client.upscale([array], model="bicubic_x2"))
    with pytest.raises(FrameError, match=hint):
        client.upscale_image(array, model="bicubic_x2")


def test_errors_for_other_types_name_the_right_call(client: esr_client.Client) -> None:
    with pytest.raises(FrameError, match=r"not str; for a picture file use esr_client.files.pictures.upscale_picture"):
        client.upscale_image("photo.png", model="bicubic_x2")  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"an address is a string such as .*, not 51951"):
        esr_client.connect(51951)  # type: ignore[arg-type]


def test_a_stack_of_arrays_is_an_iterable(client: esr_client.Client) -> None:
    stack = np.stack([COLOURED, COLOURED])
    assert [array.shape for array in client.upscale(stack, model="bicubic_x2")] == [(32, 48, 3)] * 2


def test_bgr_is_rgb_the_other_way_round(client: esr_client.Client) -> None:
    """The pictures are the same but for the order; the luma weights of red and blue differ."""
    noise = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    (rgb,) = client.upscale([noise], model="bicubic_x2")
    (bgr,) = client.upscale([noise[..., ::-1]], model="bicubic_x2", channel_order="bgr")
    picture = client.upscale_image(noise[..., ::-1], model="bicubic_x2", channel_order="bgr")
    np.testing.assert_array_equal(bgr[..., ::-1], rgb)
    np.testing.assert_array_equal(picture[..., ::-1], rgb)
    with pytest.raises(ValueError, match=r"channel_order must be 'rgb' or 'bgr' \(OpenCV\)"):
        client.upscale([noise], model="bicubic_x2", channel_order="gbr")  # type: ignore[arg-type]


def test_copies_may_be_written_to(client: esr_client.Client) -> None:
    (view,) = client.upscale([COLOURED], model="bicubic_x2")
    (copy,) = client.upscale([COLOURED], model="bicubic_x2", copy=True)
    frame = Frame((COLOURED[..., 0].copy(),), 24, 16, "gray")
    (frame_copy,) = client.upscale([frame], model="bicubic_x2", copy=True)
    assert not view.flags.writeable
    assert (copy.flags.writeable, frame_copy.planes[0].flags.writeable) == (True, True)
    copy[:] = 0


def test_repr_names_the_server() -> None:
    client = esr_client.connect("localhost")
    assert repr(client) == "<esr_client.Client of localhost, open>"
    client.close()
    assert repr(client) == "<esr_client.Client of localhost, closed>"
