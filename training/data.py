"""Captioned pictures: draw (object, scene, style), say it as people prompt, paint it."""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing import Pool

import numpy as np

from conceptrevive.concepts import world as W
from training.paint import MODEL_SETS, SIZE, artworks, load_icon_sets, paint


@dataclass(frozen=True)
class Item:
    """What one picture shows; None where it shows none."""

    object: str | None
    scene: str | None
    style: str | None
    caption: str


def choice(rng: np.random.Generator, options):
    """One of `options`, uniformly, keeping its Python type."""
    return options[int(rng.integers(len(options)))]


def draw_item(
    rng: np.random.Generator,
    objects=tuple(W.OBJECTS),
    allow_held_out: bool = False,
    styled: float = 0.14,
) -> Item:
    """One training item, seen through a style with probability `styled`.

    Held-out pairs never appear unless `allow_held_out` (for the judges).
    """
    plain = (1 - styled) / 0.86
    while True:
        u = rng.random()
        o = s = st = None
        if u < 0.74 * plain:
            o, s = choice(rng, objects), choice(rng, W.SCENES)
        elif u < 0.80 * plain:
            o = choice(rng, objects)
        elif u < 0.86 * plain:
            s = choice(rng, W.SCENES)
        elif u < 1 - 0.2 * styled:
            o, st = choice(rng, objects), choice(rng, W.STYLES)
        else:
            s, st = choice(rng, W.SCENES), choice(rng, W.STYLES)
        if allow_held_out or not (o and ((s and W.held_out(o, s)) or (st and W.held_out(o, st)))):
            return Item(o, s, st, caption(o, s, st, rng))


def caption(o: str | None, s: str | None, st: str | None, rng: np.random.Generator) -> str:
    """A sentence for the picture; one object in 25 goes by its group's name."""
    if o and rng.random() < 0.04:
        groups = [h for h, members in W.HYPERNYMS.items() if o in members]
        o = groups[0] if groups else o
    # People write "a apple" too, and the paper's templates do.
    name = (lambda w: f"a {w}") if rng.random() < 0.15 else W.with_article
    phrases = W.OBJECT_SCENE_PHRASES if o and s else W.OBJECT_PHRASES if o else W.SCENE_PHRASES
    text = choice(rng, phrases).format(o=o and name(o), s=s and name(s))
    return text + (W.STYLE_SUFFIX.format(style=st) if st else "")


_ART: dict = {}


def _init(names: dict[str, str], sets: tuple[str, ...]) -> None:
    _ART.update(artworks(names, sets))


def _render(job: tuple[int, int, tuple, bool, float]) -> tuple[np.ndarray, list[Item]]:
    seed, count, objects, allow_held_out, styled = job
    rng = np.random.default_rng(seed)
    pictures, items = np.zeros((count, SIZE, SIZE, 3), np.uint8), []
    for i in range(count):
        item = draw_item(rng, objects, allow_held_out, styled)
        art = choice(rng, _ART[item.object]) if item.object else None
        pictures[i] = paint(art, item.scene, item.style, rng)
        items.append(item)
    return pictures, items


def render(
    count: int,
    seed: int,
    names: dict[str, str] = W.OBJECTS,
    sets: tuple[str, ...] = MODEL_SETS,
    allow_held_out: bool = False,
    styled: float = 0.14,
    workers: int = 2,
) -> tuple[np.ndarray, list[Item]]:
    """`count` pictures, uint8 (count, 64, 64, 3), and their items; the same for any number of workers."""
    chunk = 500
    starts = range(0, count, chunk)
    jobs = [
        (seed * 100_003 + i, min(chunk, count - i), tuple(names), allow_held_out, styled)
        for i in starts
    ]
    load_icon_sets(sets)  # without artwork it fails here; in a worker it would fail for ever
    with Pool(workers, initializer=_init, initargs=(names, sets)) as pool:
        parts = pool.map(_render, jobs, chunksize=1)
    return np.concatenate([p for p, _ in parts]), [item for _, items in parts for item in items]
