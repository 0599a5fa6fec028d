"""Tables that client and server have each of their own: they name the same codecs."""

from __future__ import annotations

import pytest

from esr_client.files._codecs import ENCODERS, SERVER_DECODES
from esr_upscale.media.decode import DECODERS
from esr_upscale.media.encoders import ENCODERS as SERVER_ENCODERS


def test_decoders_are_the_servers() -> None:
    assert set(DECODERS) == SERVER_DECODES


@pytest.mark.parametrize("name", [name for name, row in ENCODERS.items() if row.presets])
def test_presets_are_taken_by_the_server(name: str) -> None:
    """What `--encode server` sends of `--crf` and `--preset`."""
    row, options = ENCODERS[name], SERVER_ENCODERS[name].options
    assert all(options[row.preset_option].accepts(preset) for preset in row.presets)
    assert options["crf"].accepts(str(row.crf_max))
    assert not options["crf"].accepts(str(row.crf_max + 1))


def test_video_encoders_are_the_servers() -> None:
    assert {name for name, row in ENCODERS.items() if row.presets} == set(SERVER_ENCODERS)
