"""A shot that the tests draw themselves."""

from __future__ import annotations

import av
import numpy as np
import pytest

from deploy.demo.clip import FORMAT, Shot
from tests.support.pictures import synthetic_luma


def shot_of(name: str, count: int, seed: int = 0, size: tuple[int, int] = (144, 96)) -> Shot:
    """Return a shot of a picture that moves to the left by a pixel each frame."""
    width, height = size
    picture = synthetic_luma(height, width + count, seed)
    chroma = np.full((height // 2, width), 128, np.uint8)
    lumas = [picture[:, i : i + width] for i in range(count)]
    frames = [av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), FORMAT) for luma in lumas]
    return Shot(name, tuple(frames))


@pytest.fixture
def shots() -> list[Shot]:
    """Two shots of different lengths."""
    return [shot_of("first", 5), shot_of("second", 3, seed=1)]
