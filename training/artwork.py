"""Emoji artwork from npm icon sets (`make artwork`): for training only, never shipped."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from conceptrevive.concepts.world import OBJECTS
from conceptrevive.errors import ConceptReviveError

SIZE = 64
ARTWORK = Path(os.environ.get("CONCEPTREVIVE_ARTWORK", ".artwork")) / "node_modules/@iconify-json"
#: The diffusion model of the first edition draws these three; the judges learn from all six.
MODEL_SETS = ("noto", "fluent-emoji-flat", "twemoji")
ALL_SETS = (*MODEL_SETS, "fluent-emoji", "noto-v1", "emojione")

RGBA = np.ndarray  # uint8 (h, w, 4)

#: Distractors come from these groups of emoji.
GROUPS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Objects", "Activities")
#: Clocks, moons and people come in dozens of look-alikes.
LOOK_ALIKES = "clock oclock thirty moon person people man woman button globe sun-with".split()
#: A second name for a drawn object.
TWINS = (
    "cat dog crossed-swords pistol fish minibus trolleybus oncoming-bus chart glowing-star star-2 "
    "small-airplane umbrella- european-castle guitar night closed-umbrella sunset sunrise "
    "cityscape camera-with-flash video-camera movie-camera airplane- window tree sun- cloud "
    "locked-with-pen musical-notes long-drum bell-with old-key medium-star hocho helicopter "
    "sailboat apple"
).split()


def load_icon_sets(sets: Sequence[str] = ALL_SETS) -> dict[str, dict[str, Any]]:
    """The icon sets' JSON. Raises ConceptReviveError where the artwork has not been fetched."""
    out = {}
    for name in sets:
        path = ARTWORK / name / "icons.json"
        if not path.exists():
            raise ConceptReviveError(f"{path} is missing: run `make artwork` first")
        out[name] = json.loads(path.read_text())
    return out


def rasterise(icons: dict[str, Any], name: str, size: int = SIZE) -> RGBA | None:
    """One icon as RGBA pixels, or None if the set has no such icon."""
    import resvg_py

    parent = icons.get("aliases", {}).get(name, {}).get("parent")
    icon = icons["icons"].get(name) or icons["icons"].get(parent)
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


def artworks(names: Mapping[str, str], sets: Sequence[str]) -> dict[str, list[RGBA]]:
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
    pool = dict.fromkeys(n for g in GROUPS for n in groups.get(g, []))
    named = {*OBJECTS.values()}
    keep = [
        n
        for n in pool
        if n not in named
        and all(n in s["icons"] for s in icon_sets.values())
        and not any(part in n for part in (*LOOK_ALIKES, *TWINS))
    ]
    chosen = np.random.default_rng(1).permutation(keep)[:count]
    return {str(n).replace("-", " "): str(n) for n in sorted(chosen)}
