"""Captioned pictures: draw (object, scene, style), say it as people prompt, paint it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from typing import TypeVar

import numpy as np

from conceptrevive.concepts import world as W
from training.artwork import MODEL_SETS, RGBA, SIZE, artworks, load_icon_sets
from training.paint import paint
from training.worlds import FIRST, Phrases, World

T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """What one picture shows; None where it shows none."""

    object: str | None
    scene: str | None
    style: str | None
    caption: str


def choice(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of `options`, uniformly, keeping its Python type."""
    return options[int(rng.integers(len(options)))]


def draw_item(
    rng: np.random.Generator,
    world: World = FIRST,
    allow_held_out: bool = False,
    styled: float = 0.14,
) -> Item:
    """One training item, seen through a style with probability `styled`.

    Held-out pairs never appear unless `allow_held_out` (for the judges).
    """
    while True:
        o, s, st = _draw(rng, tuple(world.objects), styled)
        pairs = [(o, other) for other in (s, st) if o and other]
        if allow_held_out or not any(W.held_out(*pair) for pair in pairs):
            return Item(o, s, st, caption(o, s, st, rng, world.phrases))


def _draw(
    rng: np.random.Generator, objects: Sequence[str], styled: float
) -> tuple[str | None, str | None, str | None]:
    plain = (1 - styled) / 0.86
    u = rng.random()
    if u < 0.74 * plain:
        return choice(rng, objects), choice(rng, W.SCENES), None
    if u < 0.80 * plain:
        return choice(rng, objects), None, None
    if u < 0.86 * plain:
        return None, choice(rng, W.SCENES), None
    if u < 1 - 0.2 * styled:
        return choice(rng, objects), None, choice(rng, W.STYLES)
    return None, choice(rng, W.SCENES), choice(rng, W.STYLES)


def caption(
    o: str | None, s: str | None, st: str | None, rng: np.random.Generator, phrases: Phrases
) -> str:
    """A sentence for the picture; one object in 25 goes by its group's name."""
    if o and rng.random() < 0.04:
        groups = [h for h, members in W.HYPERNYMS.items() if o in members]
        o = groups[0] if groups else o
    share = rng.random()
    sentences = phrases.scenes
    if o:
        sentences = phrases.object_scenes if s else phrases.objects
    names = {key: phrases.name(word, share) for key, word in (("o", o), ("s", s)) if word}
    text = choice(rng, sentences).format(**names)
    return text + (W.STYLE_SUFFIX.format(style=st) if st else "")


@dataclass(frozen=True)
class _Job:
    seed: int
    count: int
    world: World
    allow_held_out: bool
    styled: float


_ART: dict[str, list[RGBA]] = {}


def _init(world: World, sets: tuple[str, ...]) -> None:
    _ART.update(artworks(world.objects, sets))


def _render(job: _Job) -> tuple[np.ndarray, list[Item]]:
    rng = np.random.default_rng(job.seed)
    pictures, items = np.zeros((job.count, SIZE, SIZE, 3), np.uint8), []
    for i in range(job.count):
        item = draw_item(rng, job.world, job.allow_held_out, job.styled)
        art = choice(rng, _ART[item.object]) if item.object else None
        pictures[i] = paint(art, item.scene, item.style, rng)
        items.append(item)
    return pictures, items


def render(
    count: int,
    seed: int,
    world: World = FIRST,
    sets: tuple[str, ...] = MODEL_SETS,
    allow_held_out: bool = False,
    styled: float = 0.14,
    workers: int = 2,
) -> tuple[np.ndarray, list[Item]]:
    """`count` pictures, uint8 (count, 64, 64, 3), and their items.

    They are the same for any number of workers.
    """
    chunk = 500
    jobs = [
        _Job(seed * 100_003 + i, min(chunk, count - i), world, allow_held_out, styled)
        for i in range(0, count, chunk)
    ]
    load_icon_sets(sets)  # without artwork it fails here; in a worker it would fail for ever
    with Pool(workers, initializer=_init, initargs=(world, sets)) as pool:
        parts = pool.map(_render, jobs, chunksize=1)
    return np.concatenate([p for p, _ in parts]), [item for _, items in parts for item in items]
