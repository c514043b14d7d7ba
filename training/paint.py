"""Paint the pocket world: emoji artwork on procedural scenes, optionally seen through a style."""

from __future__ import annotations

import numpy as np
from PIL import Image

from training.artwork import RGBA, SIZE
from training.scenes import paint_scene
from training.styles import apply_style


def paint(
    artwork: RGBA | None, scene: str | None, style: str | None, rng: np.random.Generator
) -> np.ndarray:
    """One picture, uint8 (64, 64, 3).

    The artwork comes at a random size and place, mirrored half the time.
    """
    image = paint_scene(scene, rng)
    if artwork is not None:
        size = int(rng.integers(36, 52))
        icon = Image.fromarray(artwork).resize((size, size), Image.BILINEAR)
        if rng.random() < 0.5:
            icon = icon.transpose(Image.FLIP_LEFT_RIGHT)
        corner = (int(rng.integers(1, SIZE - size)), int(rng.integers(4, SIZE - size + 1)))
        image.paste(icon, corner, icon)
    if style is not None:
        image = apply_style(image, style, rng)
    return np.asarray(image)
