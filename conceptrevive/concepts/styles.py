"""What an evaluation of styles asks for: fifty prompts and more, none of them a locating one."""

from __future__ import annotations

from conceptrevive.concepts import world as W
from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.paper import ARTISTS, THINGS
from conceptrevive.concepts.presets import get_concept

#: How the pocket model is asked; all three are phrases of its training.
STARTS = ("an image", "a photo", "a picture")

#: How full-size models are asked, in place of the released code's fifty titles an artist.
PHRASES = (
    "a painting of a {thing} by {artist}",
    "a {thing} painted by {artist}",
    "a picture of a {thing} by {artist}",
)


def styles_of(preset: str) -> tuple[str, ...]:
    """The styles of a table of concepts, by name."""
    return W.STYLES if preset == "pocket" else ARTISTS


def style_prompts(concept: Concept, preset: str) -> tuple[str, ...]:
    """The evaluation's prompts: three phrases × the things, from thing to thing in other words.

    The pocket model's things are those that the style is not located by. A concept that is no style
    of `preset`, such as one of the user's own, is asked for in its own evaluation prompts.
    """
    name = concept.name
    if name not in styles_of(preset) or concept != get_concept(name, preset):
        return concept.eval_prompts or concept.target_prompts
    if preset == "pocket":
        suffix = W.STYLE_SUFFIX.format(style=name)
        things = [W.with_article(o) for o in W.OBJECTS if not W.held_out(o, name)]
        things = things[len(concept.target_prompts) :]
        return tuple(
            f"{STARTS[(i + turn) % len(STARTS)]} of {thing}{suffix}"
            for turn in range(len(STARTS))
            for i, thing in enumerate(things)
        )
    return tuple(
        PHRASES[(i + turn) % len(PHRASES)].format(thing=thing, artist=name)
        for turn in range(len(PHRASES))
        for i, thing in enumerate(THINGS)
    )
