"""Sizes that user shaders declare, as mpv and libplacebo compute them."""

from __future__ import annotations

import pytest

from esr_upscale.errors import InvalidInputError
from esr_upscale.models import load_weights, resolve
from esr_workbench.shaders import write_shader
from esr_workbench.shaders.sizes import output_size

DOUBLED = "//!HOOK LUMA\n//!BIND HOOKED\n//!WIDTH HOOKED.w 2 *\n//!HEIGHT HOOKED.h 2 *\nvec4 hook() {}\n"
SAVED = "//!HOOK LUMA\n//!BIND LUMA\n//!SAVE WIDE\n//!WIDTH LUMA.w 3 *\nvec4 hook() {}\n"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (DOUBLED, (80, 60)),
        (DOUBLED.replace("\n", "\r\n"), (80, 60)),
        (DOUBLED + DOUBLED, (160, 120)),
        (DOUBLED.replace("LUMA", "MAIN"), (80, 60)),
        (DOUBLED.replace("LUMA", "CHROMA"), (40, 30)),
        ("// A comment.\n" + SAVED, (40, 30)),
        (SAVED + "//!HOOK LUMA\n//!BIND WIDE\n//!WIDTH WIDE.w 2 /\nvec4 hook() {}\n", (60, 30)),
        (DOUBLED.replace("//!BIND", "//!WHEN OUTPUT.w LUMA.w / 1.3 >\n//!BIND"), (80, 60)),
        (DOUBLED.replace("//!BIND", "//!WHEN OUTPUT.w LUMA.w / 3.3 >\n//!BIND"), (40, 30)),
        (DOUBLED.replace("//!BIND", "//!WHEN OUTPUT.w LUMA.w > ! LUMA.w 40 = +\n//!BIND"), (80, 60)),
        (DOUBLED.replace("//!WIDTH HOOKED.w 2 *", "//!WIDTH OUTPUT.width 100 % 20 - 1 + 3 -"), (58, 60)),
    ],
)
def test_output_size_follows_passes(text: str, size: tuple[int, int]) -> None:
    assert output_size(text, (40, 30), (80, 60)) == size


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_exported_shader_runs_when_output_is_larger(scale: int) -> None:
    spec = resolve(f"esr_cnn_x{scale}")
    text = write_shader(spec, load_weights(spec), "CC0-1.0", None)
    size, large = (100, 50), (scale * 100, scale * 50)
    least = round((scale - 0.7) * 100)
    assert output_size(text, size, large) == large
    assert output_size(text, size, (least + 2, least // 2 + 1)) == large
    assert output_size(text, size, (least - 2, least // 2 - 1)) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("void main() {}", "it has no line //!HOOK, so it is not a user shader"),
        (DOUBLED.replace("HOOKED.w", "NOTHING.w"), "its size 'NOTHING.w 2 \\*' cannot be computed"),
        (DOUBLED.replace("HOOKED.w 2 *", "2 *"), "cannot be computed"),
        (DOUBLED.replace("HOOKED.w 2 *", "HOOKED.w 2"), "cannot be computed"),
        (DOUBLED.replace("HOOKED.w 2 *", "HOOKED.w 0 /"), "cannot be computed"),
    ],
)
def test_output_size_refuses_what_it_cannot_compute(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        output_size(text, (40, 30), (80, 60))
