"""Figures that move in a static page: pictures behind sliders, in HTML that needs no kernel."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib.pyplot as plt
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from conceptrevive.errors import ConceptReviveError

Frame = Image.Image | Figure
#: Pictures narrower than this are shown with sharp pixels, at a multiple of their size.
SHARP = 200
#: All pictures of one figure together; a page has to be read on a telephone.
MOST_BYTES = 3_000_000
#: Set while the book is built: a page has no kernel that could answer a widget.
STATIC = "CONCEPTREVIVE_STATIC"

_TEMPLATES = Environment(
    loader=PackageLoader("conceptrevive.teaching"), undefined=StrictUndefined, autoescape=True
)


@dataclass(frozen=True)
class Control:
    """A slider: what it changes, and the label of each of its positions."""

    name: str
    labels: tuple[str, ...]
    start: int = 0


@dataclass(frozen=True)
class Moving:
    """A figure with sliders; IPython, Colab and the book show it as HTML.

    Attributes:
        controls: one slider each. pictures: WebP bytes, the last control's position fastest.
        alts: what each picture shows, in words. size: width and height of a picture, in pixels.
        kind: "slider", or "compare" for two pictures with a curtain between them.
    """

    controls: tuple[Control, ...]
    pictures: tuple[bytes, ...]
    alts: tuple[str, ...]
    size: tuple[int, int]
    kind: str = "slider"

    def __post_init__(self) -> None:
        total = sum(map(len, self.pictures))
        if total > MOST_BYTES:
            raise ConceptReviveError(
                f"the pictures of a moving figure take {total / 1e6:.1f} MB, more than "
                f"{MOST_BYTES / 1e6:.0f}: give fewer or smaller ones"
            )

    def _repr_html_(self) -> str:
        sources = ["data:image/webp;base64," + b64encode(p).decode() for p in self.pictures]
        width, height = self.size
        scale = 1 if width >= SHARP else max(1, round(320 / width))
        name = hashlib.sha256(b"".join(self.pictures) + self.kind.encode()).hexdigest()[:10]
        start = 0
        for control in self.controls:
            start = start * len(control.labels) + control.start
        return _TEMPLATES.get_template(f"{self.kind}.html.j2").render(
            name=name,
            controls=self.controls,
            sources=sources,
            alts=self.alts,
            width=width * scale,
            height=height * scale,
            sharp=width < SHARP,
            start=start,
            data=json.dumps({"sources": sources, "alts": self.alts}).replace("<", "\\u003c"),
        )

    def __repr__(self) -> str:
        ways = "; ".join(f"{c.name}: {c.labels[0]} to {c.labels[-1]}" for c in self.controls)
        return f"A figure with {len(self.pictures)} pictures to slide through ({ways})."


def slider_pictures(
    frames: Sequence[Frame],
    labels: Sequence[object],
    alt: str | Sequence[str],
    control: str = "step",
    start: int = 0,
) -> Moving:
    """Pictures behind one slider with a play button.

    Args:
        frames: PIL pictures or Matplotlib figures (which are closed), all of one size.
        labels: what each position of the slider says. control: what the slider changes.
        alt: each picture in words, or one sentence for all, to which the label is added.
        start: the position shown first.

    Raises ConceptReviveError for frames, labels and words that do not match.
    """
    return _moving(frames, [_control(control, labels, start)], alt)


def compare_pictures(before: Frame, after: Frame, labels: tuple[str, str], alt: str) -> Moving:
    """Two pictures on top of each other, with a curtain between them that a slider moves.

    Args:
        labels: of `before`, on the left, and `after`, on the right. alt: both in words.
    """
    pictures, size = _encoded([before, after])
    curtain = Control(f"{labels[0]} | {labels[1]}", (str(labels[0]), str(labels[1])))
    alts = (f"{labels[0]}: {alt}", f"{labels[1]}: {alt}")
    return Moving((curtain,), pictures, alts, size, "compare")


def tiled(
    pictures: Sequence[Image.Image], columns: int, scale: int = 1, gap: int = 4
) -> Image.Image:
    """Pictures of one size on one sheet, row by row, each pixel `scale` pixels wide."""
    if not pictures or columns < 1:
        raise ConceptReviveError(f"{len(pictures)} pictures in {columns} columns: give some")
    width, height = (scale * side for side in pictures[0].size)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for i, picture in enumerate(pictures):
        place = (i % columns * (width + gap), i // columns * (height + gap))
        sheet.paste(picture.resize((width, height), Image.Resampling.NEAREST), place)
    return sheet


def explore(
    draw: Callable[..., Frame],
    alt: str,
    values: Mapping[str, Sequence[Any]],
    live: Mapping[str, Sequence[Any]] | None = None,
) -> Any:
    """A figure of one or more parameters: drawn anew under a kernel, beforehand in the book.

    Args:
        draw: takes one keyword per parameter and returns a picture or a figure.
        alt: the figure in words; the parameters' values are added.
        values: parameter → the values that the page offers, all combinations of which are drawn.
        live: parameter → finer values to choose from where a kernel runs.

    Returns an ipywidgets box under a kernel, else a `Moving`.
    """
    if not values or not all(values.values()):
        raise ConceptReviveError("explore needs a parameter and a value: values={'K': [0.2, 0.6]}")
    widget = None if os.environ.get(STATIC) else _widget(draw, {**values, **(live or {})})
    if widget is not None:
        return widget
    frames = [
        draw(**dict(zip(values, chosen, strict=True)))
        for chosen in itertools.product(*values.values())
    ]
    return _moving(frames, [_control(name, given, 0) for name, given in values.items()], alt)


def _widget(draw: Callable[..., Frame], values: Mapping[str, Sequence[Any]]) -> Any:
    """A box of ipywidgets that draws anew; None where there is no kernel or no ipywidgets."""
    try:
        from IPython.core.getipython import get_ipython
        from ipywidgets import SelectionSlider, interactive
    except ImportError:
        return None
    if getattr(get_ipython(), "kernel", None) is None:
        return None

    def shown(**chosen: Any) -> None:
        from IPython.display import display

        frame = draw(**chosen)
        display(frame)  # type: ignore[no-untyped-call]
        if isinstance(frame, Figure):
            plt.close(frame)

    sliders = {
        name: SelectionSlider(options=[(_text(v), v) for v in given], continuous_update=False)
        for name, given in values.items()
    }
    return interactive(shown, **sliders)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _control(name: str, labels: Sequence[object], start: int) -> Control:
    if start not in range(len(labels)):
        raise ConceptReviveError(
            f"start is {start}, and {name!r} has {len(labels)} positions: give 0 or up"
        )
    return Control(name, tuple(map(_text, labels)), start)


def _moving(
    frames: Sequence[Frame], controls: Sequence[Control], alt: str | Sequence[str]
) -> Moving:
    labels = [
        ", ".join(f"{c.name} {label}" for c, label in zip(controls, chosen, strict=True))
        for chosen in itertools.product(*(c.labels for c in controls))
    ]
    if len(frames) != len(labels):
        raise ConceptReviveError(f"{len(frames)} frames and {len(labels)} labels: give one each")
    alts = [f"{alt} ({label})" for label in labels] if isinstance(alt, str) else list(alt)
    if len(alts) != len(frames) or not all(a.strip() for a in alts):
        raise ConceptReviveError(f"{len(alts)} texts for {len(frames)} frames: say what each shows")
    pictures, size = _encoded(frames)
    return Moving(tuple(controls), pictures, tuple(alts), size)


def _encoded(frames: Sequence[Frame]) -> tuple[tuple[bytes, ...], tuple[int, int]]:
    """Every frame as lossless WebP, and their common size."""
    pictures = [_picture(frame) for frame in frames]
    sizes = {picture.size for picture in pictures}
    if len(sizes) != 1:
        raise ConceptReviveError(f"frames of sizes {sorted(sizes)}: give all in one size")
    out = []
    for picture in pictures:
        buffer = BytesIO()
        picture.save(buffer, "WEBP", lossless=True, method=4)
        out.append(buffer.getvalue())
    return tuple(out), pictures[0].size


def _picture(frame: Frame) -> Image.Image:
    """A frame's pixels; a figure is drawn as it is, without trimming, and closed."""
    if isinstance(frame, Image.Image):
        return frame.convert("RGB")
    buffer = BytesIO()
    frame.savefig(buffer, format="png", dpi=120, facecolor="white", bbox_inches=None)
    plt.close(frame)
    return Image.open(buffer).convert("RGB")
