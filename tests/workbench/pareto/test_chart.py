"""The figure and the page: every model is in them, and labels can be read."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from PIL import Image

from esr_upscale.models import FAMILIES
from esr_workbench.pareto.chart import Chart, draw_chart, family_style, write_png
from esr_workbench.pareto.choose import Target, frontier
from esr_workbench.pareto.page import SVG, page, svg
from tests.workbench.pareto.places import crowd, place


@pytest.fixture(scope="module")
def chart() -> Chart:
    return Chart(tuple(crowd()), "a machine <of tests>", Target.of("1080p60"))


def test_png(chart: Chart, tmp_path: Path) -> None:
    write_png(draw_chart(chart), tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        assert image.format == "PNG"
        assert image.width > 3 * 500


def test_every_model_has_a_point_and_its_words(chart: Chart) -> None:
    ids = [p.measured.spec.canonical_id for p in chart.places]
    root = ET.fromstring(svg(draw_chart(chart), {name: f"about {name}" for name in ids}))
    titles = {g.get("id"): g.findtext(f"{{{SVG}}}title") for g in root.iter(f"{{{SVG}}}g")}
    for name in ids:
        assert titles[name] == f"about {name}"


def test_every_scale_has_a_part_and_its_frontier(chart: Chart) -> None:
    axes = draw_chart(chart).axes
    assert [part.get_title().partition(":")[0] for part in axes] == ["×2", "×3", "×4"]
    for part, scale in zip(axes, chart.scales(), strict=True):
        line = next(line for line in part.lines if line.get_linestyle() == "--")
        best = frontier(chart.places_at(scale))
        np.testing.assert_array_equal(line.get_xydata(), [(p.measured.fps, p.psnr) for p in best])
        assert part.get_xscale() == "log"


def _labels(part: Axes) -> list[Annotation]:
    return [child for child in part.get_children() if isinstance(child, Annotation) and child.get_visible()]


def test_labels_do_not_lie_on_each_other(chart: Chart) -> None:
    figure = draw_chart(chart)
    figure.draw_without_rendering()
    for part, scale in zip(figure.axes, chart.scales(), strict=True):
        labels = _labels(part)
        assert len(labels) > 5
        boxes = [Text.get_window_extent(label) for label in labels]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        fastest, *_, best = frontier(chart.places_at(scale))
        assert {fastest.measured.fps, best.measured.fps} <= {label.xy[0] for label in labels}


def test_few_models_are_all_named() -> None:
    places = (place("bicubic_x2", 200, 31.0), place("esr_max_x2_k3_c1", 100, 32.0), place("esr_tr_x2", 50, 33.0))
    (part,) = draw_chart(Chart(places, "m")).axes
    assert [label.get_text() for label in _labels(part)] == ["Bicubic", "eSR-MAX K3 C1", "eSR-TR K5 C2"]


def test_page(chart: Chart) -> None:
    rows = [[p.measured.spec.canonical_id, f"{p.measured.fps:.1f}"] for p in chart.places]
    text = page(chart, draw_chart(chart), ["model", "FPS"], rows, "1 < 2")
    assert "a machine &lt;of tests&gt;" in text
    assert "<p>1 &lt; 2</p>" in text
    for model, fps in rows:
        assert f"<td>{model}</td><td>{fps}</td>" in text
        assert f"<title>model {model}, FPS {fps}</title>" in text
    assert "<script" not in text
    for outside in ("src=", "@import", "url(http", "<link"):
        assert outside not in text


def test_models_of_unknown_quality_are_not_drawn() -> None:
    chart = Chart((place("esr_tr_x2", 50, None), place("esr_tm_x2", 40, 32.0)), "m")
    text = svg(draw_chart(chart), {})
    assert 'id="esr_tm_x2_k5_c4"' in text
    assert "esr_tr_x2_k5_c2" not in text
    draw_chart(Chart((place("esr_tr_x2", 50, None),), "m"))


def test_families_look_different() -> None:
    assert len({family_style(family) for family in FAMILIES}) == len(FAMILIES)
