"""What a model in training is shown, in words: its objects and how people ask for them.

A stage chooses a world by the number of its objects and the edition of its phrases. The words
that experiments and judges use are in `conceptrevive.concepts.world`: all 48 objects, and phrases
that no training has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conceptrevive.concepts import world as W
from conceptrevive.errors import ConceptReviveError


@dataclass(frozen=True)
class Phrases:
    """Sentences and their shares; `{o}` and `{s}` carry their articles.

    Attributes:
        held_out: never seen in training, though each of their words is.
        plain_a: share of names said with "a" whatever their first letter, as people write.
        the, bare: shares of names said with "the", and without an article.
    """

    objects: tuple[str, ...]
    scenes: tuple[str, ...]
    object_scenes: tuple[str, ...]
    held_out: tuple[str, ...]
    plain_a: float
    the: float = 0.0
    bare: float = 0.0

    def name(self, word: str, share: float) -> str:
        """The word with its article, chosen by `share`, 0 to 1."""
        if share < self.plain_a:
            return f"a {word}"
        if share < self.plain_a + self.the:
            return f"the {word}"
        if share < self.plain_a + self.the + self.bare:
            return word
        return W.with_article(word)


@dataclass(frozen=True)
class World:
    """Objects (caption word → icon name) and the phrases that ask for them."""

    objects: Mapping[str, str]
    phrases: Phrases


FIRST_PHRASES = Phrases(
    objects=("{o}", "image of {o}", "a photo of {o}", "a picture of {o}"),
    scenes=("{s}", "image of {s}", "a photo of {s}", "a picture of {s}"),
    object_scenes=(
        "{o} in {s}",
        "{o} in {s}",
        "{o} in {s}",
        "a photo of {o} in {s}",
        "image of {o} in {s}",
        "photo of {o} in {s}",
        "an image of {o} in {s}",
        "{s} with {o}",
        "a photo of {s} with {o}",
        "a picture of {s} with {o}",
    ),
    held_out=("a picture of {o} in {s}", "image of {s} with {o}"),
    plain_a=0.15,
)
SECOND_PHRASES = Phrases(
    objects=(
        "{o}",
        "image of {o}",
        "an image of {o}",
        "a photo of {o}",
        "a picture of {o}",
        "photo of {o}",
    ),
    scenes=FIRST_PHRASES.scenes,
    object_scenes=(
        *FIRST_PHRASES.object_scenes,
        "an image of {s} with {o}",
        "picture of {o} in {s}",
        "{o}, {s}",
        "a photo of {o}, {s}",
        "picture of {s} with {o}",
    ),
    held_out=W.HELD_OUT_PHRASES,
    plain_a=0.12,
    the=0.05,
    bare=0.05,
)
PHRASES = {"first": FIRST_PHRASES, "second": SECOND_PHRASES}
#: The first edition's model drew the first 32 of the 48 objects.
FIRST_OBJECTS = dict(list(W.OBJECTS.items())[:32])
OBJECTS = {len(o): o for o in (FIRST_OBJECTS, W.OBJECTS)}

FIRST = World(FIRST_OBJECTS, FIRST_PHRASES)


def world_of(objects: int, phrases: str) -> World:
    """The world of 32 or 48 objects and the `first` or `second` edition of phrases.

    Raises ConceptReviveError naming what there is.
    """
    if objects not in OBJECTS:
        raise ConceptReviveError(f"objects = {objects}: choose {' or '.join(map(str, OBJECTS))}")
    if phrases not in PHRASES:
        raise ConceptReviveError(f"phrases = {phrases!r}: choose {' or '.join(PHRASES)}")
    return World(OBJECTS[objects], PHRASES[phrases])
