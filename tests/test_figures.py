"""The theme of every figure, and files of figures that appear whole or not at all."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from conceptrevive.figures import PALETTE, picture_rows, save_figure, theme


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2, 0 to 1."""
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_the_theme_is_opaque_white_and_uses_the_palette():
    before = dict(mpl.rcParams)
    with plt.rc_context(theme()):
        fig, ax = plt.subplots()
        colours = [ax.plot([0, 1])[0].get_color() for _ in PALETTE]
        assert fig.get_facecolor() == (1, 1, 1, 1)
        assert not ax.spines["top"].get_visible() and ax.spines["left"].get_visible()
        plt.close(fig)
    assert colours == list(PALETTE.values())
    assert dict(mpl.rcParams) == before, "nothing of the theme is left behind"


@pytest.mark.parametrize("name", PALETTE)
def test_every_colour_can_be_seen_on_white(name):
    assert 1.05 / (luminance(PALETTE[name]) + 0.05) > 2


def test_colours_differ_for_those_who_confuse_red_and_green():
    """In the plane that deuteranopes see (Viénot, Brettel and Mollon 1999), no two are close."""
    seen = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    colours = [seen @ np.array(to_rgb(c)) ** 2.2 for c in PALETTE.values()]
    apart = [np.abs(a - b).max() for i, a in enumerate(colours) for b in colours[:i]]
    assert min(apart) > 0.05


def test_pictures_are_laid_out_by_row_and_column(tmp_path):
    picture = Image.new("RGB", (8, 8), "red")
    fig = picture_rows([[picture] * 3] * 2, ["original", "pruned"], ["a", "b", "c"])
    assert len(fig.axes) == 6
    assert [ax.get_title() for ax in fig.axes[:3]] == ["a", "b", "c"]
    assert [ax.get_ylabel() for ax in fig.axes[::3]] == ["original", "pruned"]
    save_figure(fig, tmp_path / "figure.png")
    assert Image.open(tmp_path / "figure.png").convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    assert not plt.fignum_exists(fig.number)
