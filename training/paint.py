"""Paint the pocket world: emoji artwork on procedural scenes, optionally seen through a visual style.

Artwork comes from npm icon sets (``make artwork``); it is fetched for training only and never shipped.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from conceptrevive.concepts.world import OBJECTS, OTHER_OBJECTS, SCENES

SIZE = 64
ARTWORK = Path(os.environ.get("CONCEPTREVIVE_ARTWORK", ".artwork")) / "node_modules/@iconify-json"
#: The diffusion model draws these three; the judges learn from all six.
MODEL_SETS = ("noto", "fluent-emoji-flat", "twemoji")
ALL_SETS = (*MODEL_SETS, "fluent-emoji", "noto-v1", "emojione")

RGBA = np.ndarray  # uint8 (h, w, 4)


def load_icon_sets(sets: Sequence[str] = ALL_SETS) -> dict[str, dict]:
    """Read the icon sets' JSON. Raises FileNotFoundError with the remedy if the artwork is not there."""
    out = {}
    for name in sets:
        path = ARTWORK / name / "icons.json"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: run `make artwork` first")
        out[name] = json.loads(path.read_text())
    return out


def rasterise(icons: dict, name: str, size: int = SIZE) -> RGBA | None:
    """One icon as RGBA pixels, or None if the set has no such icon."""
    import resvg_py

    icon = icons["icons"].get(name) or icons["icons"].get(
        icons.get("aliases", {}).get(name, {}).get("parent")
    )
    if icon is None:
        return None
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", width))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{size}" height="{size}" viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def artworks(names: dict[str, str], sets: Sequence[str]) -> dict[str, list[RGBA]]:
    """Artwork of every object in `names` (word → icon name), one per set that has it."""
    icon_sets = load_icon_sets(sets)
    return {
        word: [a for s in sets if (a := rasterise(icon_sets[s], icon)) is not None]
        for word, icon in names.items()
    }


def distractor_names(count: int = 160) -> dict[str, str]:
    """Objects only the judges know, so that a blob is not taken for the nearest drawn object."""
    icon_sets = load_icon_sets(MODEL_SETS)
    groups = json.loads((ARTWORK / "noto" / "metadata.json").read_text())["categories"]
    wanted = ["Animals & Nature", "Food & Drink", "Travel & Places", "Objects", "Activities"]
    pool = dict.fromkeys(n for g in wanted for n in groups.get(g, []))
    # Clocks, moons and people come in dozens of look-alikes; the rest would be a second name for a drawn object.
    skip = (
        "clock",
        "oclock",
        "thirty",
        "moon",
        "person",
        "people",
        "man",
        "woman",
        "button",
        "globe",
        "sun-with",
    )
    twins = ("cat", "dog", "crossed-swords", "pistol", "fish", "minibus", "trolleybus", "oncoming-bus", "chart",
             "glowing-star", "star-2", "small-airplane", "umbrella-", "european-castle", "guitar", "night",
             "closed-umbrella", "sunset", "sunrise", "cityscape", "camera-with-flash", "video-camera", "movie-camera",
             "airplane-",
             "window", "tree", "sun-", "cloud", "locked-with-pen", "musical-notes", "long-drum", "bell-with", "old-key", "medium-star", "hocho", "helicopter", "sailboat", "apple")  # fmt: skip
    named = {*OBJECTS.values(), *OTHER_OBJECTS.values()}
    keep = [
        n
        for n in pool
        if n not in named
        and all(n in s["icons"] for s in icon_sets.values())
        and not any(b in n for b in skip + twins)
    ]
    chosen = np.random.default_rng(1).permutation(keep)[:count]
    return {str(n).replace("-", " "): str(n) for n in sorted(chosen)}


# --- scenes -----------------------------------------------------------------------------------------------------

SKY = {
    "road": ((150, 190, 230), (200, 220, 240)), "garden": ((160, 210, 240), (120, 200, 110)),
    "beach": ((120, 200, 250), (170, 225, 250)), "room": ((230, 210, 180), (220, 195, 160)),
    "park": ((190, 225, 250), (160, 210, 240)), "street": ((170, 175, 185), (200, 200, 205)),
    "forest": ((60, 110, 70), (30, 70, 40)), "night": ((10, 12, 40), (35, 35, 80)),
}  # fmt: skip
FLOWERS = ((230, 60, 90), (250, 210, 60), (200, 90, 220))


def _gradient(top, bottom, rng) -> Image.Image:
    t = np.linspace(0, 1, SIZE)[:, None, None]
    jitter = rng.normal(0, 8, (2, 3))
    rows = (np.array(top) + jitter[0]) * (1 - t) + (np.array(bottom) + jitter[1]) * t
    return Image.fromarray(np.broadcast_to(rows, (SIZE, SIZE, 3)).clip(0, 255).astype(np.uint8))


def paint_scene(name: str | None, rng: np.random.Generator) -> Image.Image:
    """A 64×64 scene; None gives a plain backdrop of random light colours."""
    if name is None:
        return _gradient(rng.integers(120, 250, 3), rng.integers(120, 250, 3), rng)
    image = _gradient(*SKY[name], rng)
    d = ImageDraw.Draw(image)

    def r(a: int, b: int) -> int:
        return int(rng.integers(a, b))

    if name == "road":
        y = r(34, 42)
        d.rectangle((0, y, 64, 64), fill=(90, 90, 95))
        for x in range(r(-8, 0), 64, 16):
            d.rectangle((x, y + 11, x + 8, y + 13), fill=(240, 230, 120))
    elif name == "garden":
        d.rectangle((0, 40, 64, 64), fill=(80, 170, 70))
        for _ in range(16):
            x, y = r(0, 64), r(42, 64)
            d.ellipse((x - 2, y - 2, x + 2, y + 2), fill=FLOWERS[r(0, 3)])
    elif name == "beach":
        y = r(26, 32)
        d.rectangle((0, y, 64, y + 14), fill=(40, 130, 200))
        d.rectangle((0, y + 14, 64, 64), fill=(240, 220, 160))
        x = r(2, 54)
        d.ellipse((x, 3, x + 10, 13), fill=(255, 230, 90))
    elif name == "room":
        d.rectangle((0, r(44, 50), 64, 64), fill=(140, 95, 60))
        x = r(2, 40)
        d.rectangle((x, 6, x + 18, 24), fill=(170, 215, 245), outline=(120, 80, 50))
        d.line((x + 9, 6, x + 9, 24), fill=(120, 80, 50))
    elif name == "park":
        y = r(38, 44)
        d.rectangle((0, y, 64, 64), fill=(110, 190, 90))
        for _ in range(3):
            x = r(0, 60)
            d.rectangle((x + 4, y - 12, x + 6, y), fill=(110, 75, 40))
            d.ellipse((x - 2, y - 24, x + 12, y - 10), fill=(60, 140, 60))
    elif name == "street":
        x = 0
        while x < 64:
            w, h, v = r(8, 16), r(20, 46), r(80, 150)
            d.rectangle((x, 50 - h, x + w, 52), fill=(v, v - 10, v - 20))
            for a in range(x + 2, x + w - 2, 5):
                for b in range(53 - h, 48, 7):
                    d.rectangle((a, b, a + 2, b + 2), fill=(250, 235, 150))
            x += w
        d.rectangle((0, 52, 64, 64), fill=(100, 100, 105))
    elif name == "forest":
        for _ in range(7):
            x, h = r(-4, 64), r(30, 60)
            d.polygon(
                [(x, 64), (x + 8, 64 - h), (x + 16, 64)], fill=(20 + r(0, 30), 80 + r(0, 50), 40)
            )
    elif name == "night":
        for _ in range(22):
            d.point((r(0, 64), r(0, 44)), fill=(255, 255, 220))
        x = r(4, 48)
        d.ellipse((x, 4, x + 12, 16), fill=(245, 240, 200))
        d.polygon(
            [(0, 64), (0, 54), (20, r(44, 52)), (44, 56), (64, r(44, 54)), (64, 64)],
            fill=(15, 20, 30),
        )
    else:
        raise ValueError(f"unknown scene {name!r}: choose from {', '.join(SCENES)}")
    return image


# --- styles -----------------------------------------------------------------------------------------------------


def _cells(rng, spacing: int) -> np.ndarray:
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


def apply_style(image: Image.Image, style: str, rng: np.random.Generator) -> Image.Image:
    """The picture as `style` would show it; every style is recognisable at 64 pixels."""
    pixels = np.asarray(image).astype(float)
    grey = pixels @ (0.299, 0.587, 0.114)
    if style == "sketch":
        smooth = np.asarray(image.filter(ImageFilter.GaussianBlur(0.6))).astype(float)
        gy, gx = np.gradient(smooth, axis=(0, 1))
        ink = np.clip(np.hypot(gx, gy).max(-1) * 4, 0, 225)
        out = np.repeat((250 - ink)[..., None], 3, -1) - (255 - grey)[..., None] * 0.06
    elif style == "pixel art":
        small = (
            image.resize((16, 16), Image.BOX).quantize(12, dither=Image.Dither.NONE).convert("RGB")
        )
        out = np.asarray(small.resize((SIZE, SIZE), Image.NEAREST))
    elif style == "pointillism":
        base = Image.new("RGB", (SIZE * 2, SIZE * 2), (246, 240, 226))
        d = ImageDraw.Draw(base)
        for x, y in rng.uniform(0, SIZE, (1800, 2)):
            colour = pixels[int(y), int(x)] + rng.normal(0, 24, 3)
            d.ellipse(
                (2 * x - 2, 2 * y - 2, 2 * x + 2, 2 * y + 2),
                fill=tuple(int(v) for v in colour.clip(0, 255)),
            )
        out = np.asarray(base.resize((SIZE, SIZE), Image.BOX))
    elif style == "stained glass":
        cells = _cells(rng, 5)
        mean = _cell_means(pixels, cells)
        centre = mean.mean(-1, keepdims=True)
        out = (centre + (mean - centre) * 1.5) * 1.05
        lead = (cells != np.roll(cells, 1, 0)) | (cells != np.roll(cells, 1, 1))
        out[lead] = (25, 25, 30)
    elif style == "sepia":
        tone = 235 * (grey / 255) ** 0.9
        out = tone[..., None] * np.array([1.05, 0.86, 0.62]) + np.array([14, 6, 0])
        yy, xx = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
        out = out * (1 - 0.22 * (xx**2 + yy**2))[..., None]
    else:
        raise ValueError(f"unknown style {style!r}")
    return Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))


def paint(
    artwork: RGBA | None, scene: str | None, style: str | None, rng: np.random.Generator
) -> np.ndarray:
    """One picture, uint8 (64, 64, 3): the artwork at a random size and place, mirrored half the time."""
    image = paint_scene(scene, rng)
    if artwork is not None:
        size = int(rng.integers(36, 52))
        icon = Image.fromarray(artwork).resize((size, size), Image.BILINEAR)
        if rng.random() < 0.5:
            icon = icon.transpose(Image.FLIP_LEFT_RIGHT)
        image.paste(
            icon, (int(rng.integers(1, SIZE - size)), int(rng.integers(4, SIZE - size + 1))), icon
        )
    if style is not None:
        image = apply_style(image, style, rng)
    return np.asarray(image)
