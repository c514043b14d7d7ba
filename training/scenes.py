"""The eight scenes, 64×64: one function each, all drawn from a random generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from conceptrevive.concepts.world import SCENES
from conceptrevive.errors import ConceptReviveError
from training.artwork import SIZE

SKY = {
    "road": ((150, 190, 230), (200, 220, 240)),
    "garden": ((160, 210, 240), (120, 200, 110)),
    "beach": ((120, 200, 250), (170, 225, 250)),
    "room": ((230, 210, 180), (220, 195, 160)),
    "park": ((190, 225, 250), (160, 210, 240)),
    "street": ((170, 175, 185), (200, 200, 205)),
    "forest": ((60, 110, 70), (30, 70, 40)),
    "night": ((10, 12, 40), (35, 35, 80)),
}
FLOWERS = ((230, 60, 90), (250, 210, 60), (200, 90, 220))

Draw = ImageDraw.ImageDraw
#: A whole number from the first to the last but one.
Between = Callable[[int, int], int]


def _gradient(
    top: Sequence[int] | np.ndarray, bottom: Sequence[int] | np.ndarray, rng: np.random.Generator
) -> Image.Image:
    t = np.linspace(0, 1, SIZE)[:, None, None]
    jitter = rng.normal(0, 8, (2, 3))
    rows = (np.array(top) + jitter[0]) * (1 - t) + (np.array(bottom) + jitter[1]) * t
    return Image.fromarray(np.broadcast_to(rows, (SIZE, SIZE, 3)).clip(0, 255).astype(np.uint8))


def _road(d: Draw, between: Between) -> None:
    y = between(34, 42)
    d.rectangle((0, y, 64, 64), fill=(90, 90, 95))
    for x in range(between(-8, 0), 64, 16):
        d.rectangle((x, y + 11, x + 8, y + 13), fill=(240, 230, 120))


def _garden(d: Draw, between: Between) -> None:
    d.rectangle((0, 40, 64, 64), fill=(80, 170, 70))
    for _ in range(16):
        x, y = between(0, 64), between(42, 64)
        d.ellipse((x - 2, y - 2, x + 2, y + 2), fill=FLOWERS[between(0, 3)])


def _beach(d: Draw, between: Between) -> None:
    y = between(26, 32)
    d.rectangle((0, y, 64, y + 14), fill=(40, 130, 200))
    d.rectangle((0, y + 14, 64, 64), fill=(240, 220, 160))
    x = between(2, 54)
    d.ellipse((x, 3, x + 10, 13), fill=(255, 230, 90))


def _room(d: Draw, between: Between) -> None:
    d.rectangle((0, between(44, 50), 64, 64), fill=(140, 95, 60))
    x = between(2, 40)
    d.rectangle((x, 6, x + 18, 24), fill=(170, 215, 245), outline=(120, 80, 50))
    d.line((x + 9, 6, x + 9, 24), fill=(120, 80, 50))


def _park(d: Draw, between: Between) -> None:
    y = between(38, 44)
    d.rectangle((0, y, 64, 64), fill=(110, 190, 90))
    for _ in range(3):
        x = between(0, 60)
        d.rectangle((x + 4, y - 12, x + 6, y), fill=(110, 75, 40))
        d.ellipse((x - 2, y - 24, x + 12, y - 10), fill=(60, 140, 60))


def _street(d: Draw, between: Between) -> None:
    x = 0
    while x < 64:
        w, h, v = between(8, 16), between(20, 46), between(80, 150)
        d.rectangle((x, 50 - h, x + w, 52), fill=(v, v - 10, v - 20))
        for a in range(x + 2, x + w - 2, 5):
            for b in range(53 - h, 48, 7):
                d.rectangle((a, b, a + 2, b + 2), fill=(250, 235, 150))
        x += w
    d.rectangle((0, 52, 64, 64), fill=(100, 100, 105))


def _forest(d: Draw, between: Between) -> None:
    for _ in range(7):
        x, h = between(-4, 64), between(30, 60)
        green = (20 + between(0, 30), 80 + between(0, 50), 40)
        d.polygon([(x, 64), (x + 8, 64 - h), (x + 16, 64)], fill=green)


def _night(d: Draw, between: Between) -> None:
    for _ in range(22):
        d.point((between(0, 64), between(0, 44)), fill=(255, 255, 220))
    x = between(4, 48)
    d.ellipse((x, 4, x + 12, 16), fill=(245, 240, 200))
    hills = [(0, 64), (0, 54), (20, between(44, 52)), (44, 56), (64, between(44, 54)), (64, 64)]
    d.polygon(hills, fill=(15, 20, 30))


PAINTERS: dict[str, Callable[[Draw, Between], None]] = {
    "road": _road,
    "garden": _garden,
    "beach": _beach,
    "room": _room,
    "park": _park,
    "street": _street,
    "forest": _forest,
    "night": _night,
}


def paint_scene(name: str | None, rng: np.random.Generator) -> Image.Image:
    """A 64×64 scene; None gives a plain backdrop of random light colours.

    Raises ConceptReviveError for a scene that is not in the world.
    """
    if name is None:
        return _gradient(rng.integers(120, 250, 3), rng.integers(120, 250, 3), rng)
    if name not in PAINTERS:
        raise ConceptReviveError(f"unknown scene {name!r}: choose from {', '.join(SCENES)}")
    image = _gradient(*SKY[name], rng)
    PAINTERS[name](ImageDraw.Draw(image), lambda a, b: int(rng.integers(a, b)))
    return image
