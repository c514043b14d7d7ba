"""The pocket world in words: its objects, scenes, styles and the sentences people say about them.

One table each. The pictures are painted by ``training/paint.py``; nothing here needs an image.
"""

from __future__ import annotations

import hashlib

#: Caption word → icon name in the emoji sets. The first twelve are the nearest artwork to the
#: paper's Table 1.
OBJECTS: dict[str, str] = {
    "golf": "flag-in-hole", "parachute": "parachute", "church": "church", "horn": "postal-horn",
    "saw": "carpentry-saw", "gas pump": "fuel-pump", "candle": "candle", "bicycle": "bicycle",
    "racket": "badminton", "bus": "bus", "spider web": "spider-web", "star": "star",
    "cat": "cat-face", "dog": "dog-face", "castle": "castle", "guitar": "guitar",
    "apple": "red-apple",
    "umbrella": "umbrella", "rocket": "rocket", "airplane": "airplane",
    "knife": "kitchen-knife", "bomb": "bomb", "dagger": "dagger", "axe": "axe",
    "bow": "bow-and-arrow",
    "mushroom": "mushroom", "banana": "banana", "fish": "fish", "butterfly": "butterfly",
    "penguin": "penguin",
    "owl": "owl", "sailboat": "sailboat",
    "clock": "alarm-clock", "key": "key", "crown": "crown", "drum": "drum", "cactus": "cactus",
    "sunflower": "sunflower", "watermelon": "watermelon", "strawberry": "strawberry",
    "pizza": "pizza",
    "elephant": "elephant", "turtle": "turtle", "octopus": "octopus", "crab": "crab",
    "panda": "panda",
    "helicopter": "helicopter", "camera": "camera",
}  # fmt: skip

#: The twelve stand-ins for the paper's ImageNet objects.
PAPER_OBJECTS: tuple[str, ...] = tuple(OBJECTS)[:12]

#: Words that name a group of objects. "weapon" is the harmless stand-in for the paper's
#: unsafe-content concept.
HYPERNYMS: dict[str, tuple[str, ...]] = {
    "weapon": ("knife", "bomb", "dagger", "axe", "bow"),
    "animal": ("cat", "dog", "fish", "butterfly", "penguin", "owl"),
    "fruit": ("apple", "banana"),
    "vehicle": ("bicycle", "bus", "rocket", "airplane", "sailboat"),
}

SCENES: tuple[str, ...] = ("road", "garden", "beach", "room", "park", "street", "forest", "night")

STYLES: tuple[str, ...] = ("sketch", "pixel art", "pointillism", "stained glass", "sepia")

#: Sentences that an evaluation says, none of them one that locates; ``{o}`` carries its article,
#: ``{s}`` too. Two are among `HELD_OUT_PHRASES`.
EVALUATION_PHRASES: tuple[str, ...] = (
    "an image of {o}",
    "photo of {s} with {o}",
    "a photo of {o}",
    "an image of {o}, {s}",
    "a photo of {s} with {o}",
)

#: Never seen in training, though each of their words is.
HELD_OUT_PHRASES: tuple[str, ...] = (
    "a picture of {o} in {s}",
    "image of {s} with {o}",
    "photo of {s} with {o}",
    "an image of {o}, {s}",
)

STYLE_SUFFIX = " in the style of {style}"


def with_article(noun: str) -> str:
    """``"apple"`` → ``"an apple"``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def held_out(left: str, right: str) -> bool:
    """Whether an (object, scene) or (object, style) pair is of the 10 % kept out of training."""
    return int(hashlib.sha256(f"{left}|{right}".encode()).hexdigest(), 16) % 10 == 0


def held_out_pairs(rights: tuple[str, ...]) -> list[tuple[str, str]]:
    """All held-out pairs of an object with one of `rights` (``SCENES`` or ``STYLES``)."""
    return [(o, r) for o in OBJECTS for r in rights if held_out(o, r)]
