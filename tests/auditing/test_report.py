"""The report's pictures and words: nothing in a name can act, and pictures are the page's own."""

from __future__ import annotations

import re

import pytest
import torch

from conceptrevive.auditing.pictures import histogram, mask_map
from conceptrevive.auditing.report import audit_html, audit_text
from conceptrevive.auditing.verdict import audit
from tests.auditing.test_audit import edited, saved
from tests.detectors.test_detectors import clean

pytestmark = pytest.mark.usefixtures("one_thread")


def test_pictures_are_parts_of_the_page():
    svg = histogram(clean().flatten(), bins=21)
    assert svg.startswith('<svg role="img" aria-label="Distribution of 36864 weights; ')
    assert svg.count("<svg") == svg.count("</svg>") == 1
    assert not re.search(r"http|xlink|\sid=|<style|<!|#0[123]0[123]0[123]", svg)
    assert svg.count("var(--mark)") == 20 and svg.count("var(--warn)") == 1
    assert "currentColor" in svg and ">−4</text>" in svg


def test_a_histogram_says_what_it_shows():
    values = torch.tensor([0.0, 0.0, 5.0, -5.0, torch.nan])
    assert "Distribution of 4 columns; 1 of them beyond 4." in histogram(values, "columns", 1.0, 17)
    assert "Distribution of 4 weights; 2 of them in the bar around 0." in histogram(values)
    assert "Distribution of 0 weights; 0 of them" in histogram(torch.empty(0))


def test_a_map_has_a_dark_point_per_zero():
    import base64
    import io

    from PIL import Image

    zero = torch.zeros(3, 5, dtype=torch.bool)
    zero[1, 4] = True
    data = base64.b64decode(mask_map(zero, scale=1).removeprefix("data:image/png;base64,"))
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    assert picture.size == (5, 3)
    dark = [(x, y) for y in range(3) for x in range(5) if picture.getpixel((x, y)) == (0, 63, 105)]
    assert dark == [(4, 1)]


def test_names_cannot_act(tmp_path):
    name = 'a\x1b[31mred\n</code><script>alert("x")</script>{{ 7 * 7 }}.weight'
    w = edited("pruned") | {name: edited("pruned")["blocks.0.ff.net.2.weight"]}
    report = audit(saved(tmp_path, w))
    text = audit_text(report)
    assert "\x1b" not in text and all(
        line.startswith(("  ", str(tmp_path))) for line in text.split("\n")
    )
    page = audit_html(report)
    assert "\x1b" not in page and "<script" not in page and "{{ 7 * 7 }}" in page


def test_layers_on_a_grid_are_shown_as_such(tmp_path):
    w = edited("clean")
    w["blocks.0.ff.net.2.weight"] = clean().sign().half()
    page = audit_html(
        audit(
            saved(tmp_path, w),
        )
    )
    assert "<td>on a grid</td><td>on a grid</td><td>on a grid</td>" in page
    assert "could not tell" in page
