"""Pictures: smooth shapes, edges and texture that are the same every time, photographs; and random weights."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from esr_upscale.models import ModelSpec


def synthetic_luma(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A picture (H, W) of 16 … 235 with ramps, discs, stripes and a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    picture = 110 + 40 * np.sin(x / 17) * np.cos(y / 23)
    for _ in range(8):
        cy, cx, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(4, 20)
        inside = 1 / (1 + np.exp(np.clip(np.hypot(y - cy, x - cx) - radius, -30, 30) * 2))
        picture += rng.uniform(-70, 70) * inside
    picture += 15 * np.sign(np.sin((x + 2 * y) / 3)) * (x > width / 2) + rng.normal(0, 1.5, picture.shape)
    luma: NDArray[np.uint8] = np.clip(np.round(picture), 16, 235).astype(np.uint8)
    return luma


def photograph(name: str) -> NDArray[np.uint8]:
    """Return the luma (H, W) of a photograph in scikit-image: none that anything here was fitted to."""
    data = files("skimage") / "data"
    (path,) = [part for part in data.iterdir() if part.name.startswith(f"{name}.")]
    with as_file(path) as file, Image.open(file) as picture:
        return np.asarray(picture.convert("L"))


def random_weights(spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """Weights of the right names and shapes, and as large as trained ones."""
    rng = np.random.default_rng(5)
    return {name: rng.normal(0.04, 0.3, shape).astype(np.float32) for name, shape in spec.tensor_shapes.items()}


def mirrored(spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Weights of a network of one layer, of which phases that lie opposite each other are made mirror images."""
    ((name, tensor),) = weights.items()
    filters = tensor.reshape(-1, spec.scale, spec.scale, *tensor.shape[2:]).copy()
    for place in range(spec.scale // 2):
        filters[:, -1 - place] = filters[:, place, :, ::-1]
    for place in range(spec.scale // 2):
        filters[:, :, -1 - place] = filters[:, :, place, :, ::-1]
    return {name: filters.reshape(tensor.shape)}


def write_tiles(directory: Path, pictures: int = 4, size: int = 96) -> Path:
    """A directory of luma tiles, two of each of `pictures` pictures, with a CREDITS.csv."""
    directory.mkdir(parents=True, exist_ok=True)
    for i in range(pictures):
        for j in range(2):
            tile = synthetic_luma(size, size, seed=10 * i + j)
            Image.fromarray(tile).save(directory / f"drawing__p{i}.jpg_0_{j * size}.png")
    rows = ["source,file,origin,licence", "drawing,p0.jpg,here,CC0-1.0", "drawing,p1.jpg,there,CC-BY-4.0"]
    (directory / "CREDITS.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return directory
