"""Figures that move: what is in the HTML, and what is refused."""

from __future__ import annotations

import json
import re

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image

from conceptrevive.errors import ConceptReviveError
from conceptrevive.teaching import moving
from conceptrevive.teaching.matrices import MISSING, matrix_pictures
from conceptrevive.teaching.moving import compare_pictures, explore, slider_pictures, tiled

COLOURS = ("red", "green", "blue")


def pictures():
    return [Image.new("RGB", (16, 8), colour) for colour in COLOURS]


def test_a_slider_has_a_name_a_label_a_button_and_words_for_every_picture():
    html = slider_pictures(pictures(), [1, 2, 3], "A field", control="step")._repr_html_()
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', html, re.S)[1])
    assert len(set(data["sources"])) == 3
    assert data["alts"] == [f"A field (step {i})" for i in (1, 2, 3)]
    assert 'alt="A field (step 1)"' in html and 'aria-valuetext="1"' in html
    label = re.search(r'<label for="([\w-]+)">step</label>', html)[1]
    assert f'<input id="{label}" type="range" min="0" max="2"' in html
    assert '<button type="button">Play</button>' in html
    assert "http" not in html.replace("http://www.w3.org", ""), "nothing is fetched"


def test_the_picture_shown_first_can_be_chosen():
    html = slider_pictures(pictures(), ["a", "b", "c"], "x", start=2)._repr_html_()
    assert 'value="2"' in html and 'alt="x (step c)"' in html


def test_words_and_labels_are_escaped():
    odd = "<b>\"&'</script>"
    html = slider_pictures(pictures(), [odd, "2", "3"], odd, control=odd)._repr_html_()
    assert odd not in html and "<b>" not in html
    assert html.count("</script>") == 2
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', html, re.S)[1])
    assert data["alts"][1] == f"{odd} ({odd} 2)"


def test_small_pictures_are_shown_large_and_sharp_and_figures_as_they_are():
    assert (
        'cr-sharp" style="width:320px"' in slider_pictures(pictures(), COLOURS, "x")._repr_html_()
    )
    figures = [plt.figure(figsize=(3, 2)) for _ in range(2)]
    shown = slider_pictures(figures, [1, 2], "x")
    assert shown.size == (360, 240) and not plt.get_fignums()


def test_pictures_survive_encoding_bit_for_bit():
    from io import BytesIO

    noise = Image.frombytes("RGB", (16, 16), bytes(range(256)) * 3)
    encoded = slider_pictures([noise], ["a"], "x").pictures[0]
    assert Image.open(BytesIO(encoded)).convert("RGB").tobytes() == noise.tobytes()


def test_two_pictures_have_a_curtain():
    html = compare_pictures(*pictures()[:2], ("pruned", "revived"), "A field")._repr_html_()
    assert 'alt="pruned: A field"' in html and 'alt="revived: A field"' in html
    assert 'aria-label="Share of the width that shows pruned"' in html


def test_without_a_kernel_every_combination_is_drawn(monkeypatch):
    monkeypatch.setenv(moving.STATIC, "1")
    asked = []

    def draw(a, b):
        asked.append((a, b))
        return Image.new("RGB", (4, 4), (a, b, 0))

    shown = explore(draw, "A field", {"a": [1, 2], "b": [3, 4]}, live={"a": range(9)})
    assert asked == [(1, 3), (1, 4), (2, 3), (2, 4)]
    assert shown.alts[1] == "A field (a 1, b 4)"
    assert shown._repr_html_().count("<label") == 2


def test_under_a_kernel_the_same_figure_offers_finer_values(monkeypatch):
    from IPython.core import getipython

    monkeypatch.delenv(moving.STATIC, raising=False)
    monkeypatch.setattr(getipython, "get_ipython", lambda: type("Shell", (), {"kernel": 1})())
    asked = []

    def draw(sigma, k):
        asked.append((sigma, k))
        return Image.new("RGB", (4, 4))

    box = explore(draw, "x", {"sigma": [0.5, 1.0], "k": [3]}, live={"sigma": [0.5, 0.75, 1.0]})
    sigma, k = box.children[:2]
    assert [label for label, _ in sigma.options] == ["0.5", "0.75", "1"]
    assert k.options == (("3", 3),)
    sigma.value = 0.75
    box.update()
    assert asked[-1] == (0.75, 3)


def test_tiles_lie_row_by_row():
    sheet = tiled([*pictures(), *pictures()], columns=3, scale=2, gap=2)
    assert sheet.size == (3 * 32 + 4, 2 * 16 + 2)
    assert sheet.getpixel((0, 0)) == (255, 0, 0)
    assert sheet.getpixel((34, 0)) == (0, 128, 0)
    assert sheet.getpixel((68, 18)) == (0, 0, 255)
    assert sheet.getpixel((33, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: slider_pictures(pictures(), [1, 2], "x"), "3 frames and 2 labels"),
        (lambda: slider_pictures(pictures(), [1, 2, 3], ["x"]), "1 texts for 3 frames"),
        (lambda: slider_pictures(pictures(), [1, 2, 3], ["x", "y", " "]), "say what each shows"),
        (lambda: slider_pictures(pictures(), [1, 2, 3], "x", start=3), "start is 3"),
        (lambda: slider_pictures([], [], "x"), "start is 0"),
        (
            lambda: slider_pictures([*pictures(), Image.new("RGB", (9, 9))], [1, 2, 3, 4], "x"),
            r"frames of sizes \[\(9, 9\), \(16, 8\)\]",
        ),
        (lambda: explore(lambda: None, "x", {}), "explore needs a parameter"),
        (lambda: matrix_pictures([]), "no matrices"),
        (lambda: matrix_pictures([torch.ones(2, 2), torch.ones(2, 3)]), "give matrices of one"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ConceptReviveError, match=message):
        call()


def test_a_figure_too_heavy_for_a_page_is_refused(monkeypatch):
    monkeypatch.setattr(moving, "MOST_BYTES", 10)
    with pytest.raises(ConceptReviveError, match="give fewer or smaller ones"):
        slider_pictures(pictures(), COLOURS, "x")


def test_matrices_share_a_scale_and_missing_entries_are_grey():
    low, high = torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), torch.tensor([[-2.0, 0.0], [2.0, 1.0]])
    first, second = matrix_pictures([low, high], [low == 0, high == 0], limit=2.0, width=4)
    assert first.size == (4, 4)
    assert first.getpixel((2, 0)) == MISSING == second.getpixel((3, 1))
    assert second.getpixel((2, 2)) == first.getpixel((0, 2)), "1.0 has one colour"
    orange, purple = second.getpixel((0, 0)), second.getpixel((0, 2))
    assert orange[0] > orange[2] and purple[2] > purple[1]
    hole = torch.tensor([[float("nan"), 1.0]])
    assert matrix_pictures([hole], width=2)[0].getpixel((0, 0)) == MISSING
