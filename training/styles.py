"""The five styles: what each makes of a 64×64 picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from conceptrevive.concepts.world import STYLES
from conceptrevive.errors import ConceptReviveError
from training.artwork import SIZE


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(float)


def _grey(image: Image.Image) -> np.ndarray:
    return _pixels(image) @ (0.299, 0.587, 0.114)


def _cells(rng: np.random.Generator, spacing: int) -> np.ndarray:
    """Index of the nearest jittered grid point for each pixel, (64, 64)."""
    axis = np.arange(spacing // 2, SIZE + spacing, spacing)
    points = (
        np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        + rng.uniform(-0.4, 0.4, (len(axis) ** 2, 2)) * spacing
    )
    yy, xx = np.mgrid[:SIZE, :SIZE]
    return ((xx[..., None] - points[:, 0]) ** 2 + (yy[..., None] - points[:, 1]) ** 2).argmin(-1)


def _cell_means(pixels: np.ndarray, cells: np.ndarray) -> np.ndarray:
    flat = cells.ravel()
    count = np.maximum(np.bincount(flat), 1)
    means = np.stack([np.bincount(flat, pixels[..., c].ravel()) / count for c in range(3)], -1)
    return means[cells]


def _sketch(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    smooth = _pixels(image.filter(ImageFilter.GaussianBlur(0.6)))
    gy, gx = np.gradient(smooth, axis=(0, 1))
    ink = np.clip(np.hypot(gx, gy).max(-1) * 4, 0, 225)
    return np.repeat((250 - ink)[..., None], 3, -1) - (255 - _grey(image))[..., None] * 0.06


def _pixel_art(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    small = image.resize((16, 16), Image.BOX).quantize(12, dither=Image.Dither.NONE)
    return np.asarray(small.convert("RGB").resize((SIZE, SIZE), Image.NEAREST))


def _pointillism(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    pixels = _pixels(image)
    base = Image.new("RGB", (SIZE * 2, SIZE * 2), (246, 240, 226))
    d = ImageDraw.Draw(base)
    for x, y in rng.uniform(0, SIZE, (1800, 2)):
        colour = (pixels[int(y), int(x)] + rng.normal(0, 24, 3)).clip(0, 255)
        spot = (2 * x - 2, 2 * y - 2, 2 * x + 2, 2 * y + 2)
        d.ellipse(spot, fill=tuple(int(v) for v in colour))
    return np.asarray(base.resize((SIZE, SIZE), Image.BOX))


def _stained_glass(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    cells = _cells(rng, 5)
    mean = _cell_means(_pixels(image), cells)
    centre = mean.mean(-1, keepdims=True)
    out = (centre + (mean - centre) * 1.5) * 1.05
    lead = (cells != np.roll(cells, 1, 0)) | (cells != np.roll(cells, 1, 1))
    out[lead] = (25, 25, 30)
    return out


def _sepia(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    tone = 235 * (_grey(image) / 255) ** 0.9
    out = tone[..., None] * np.array([1.05, 0.86, 0.62]) + np.array([14, 6, 0])
    yy, xx = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    return out * (1 - 0.22 * (xx**2 + yy**2))[..., None]


FILTERS: dict[str, Callable[[Image.Image, np.random.Generator], np.ndarray]] = {
    "sketch": _sketch,
    "pixel art": _pixel_art,
    "pointillism": _pointillism,
    "stained glass": _stained_glass,
    "sepia": _sepia,
}


def apply_style(image: Image.Image, style: str, rng: np.random.Generator) -> Image.Image:
    """The picture as `style` would show it; every style is recognisable at 64 pixels.

    Raises ConceptReviveError for a style that is not in the world.
    """
    if style not in FILTERS:
        raise ConceptReviveError(f"unknown style {style!r}: choose from {', '.join(STYLES)}")
    return Image.fromarray(np.clip(FILTERS[style](image, rng), 0, 255).astype(np.uint8))
