"""Concepts of the pocket world: its objects, styles and groups."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from conceptrevive.concepts import world as W
from conceptrevive.concepts.concept import Concept, Probe, Settings

#: One setting for every concept of the pocket model, chosen on six objects by original, pruned and
#: retained accuracy.
POCKET_SETTINGS = Settings(skill_ratio=0.1, tau=6, steps=12, guidance=3.0)


def object_prompt(name: str, scene: str) -> str:
    """ "a cat in a garden"."""
    return f"{W.with_article(name)} in {W.with_article(scene)}"


def _said(name: str, turn: int) -> str:
    """How an evaluation asks for an object: phrases and scenes in turns of five and eight."""
    phrase = W.EVALUATION_PHRASES[turn % len(W.EVALUATION_PHRASES)]
    scene = W.SCENES[turn % len(W.SCENES)]
    return phrase.format(o=W.with_article(name), s=W.with_article(scene))


def _object_probes(leave_out: tuple[str, ...] = ()) -> tuple[Probe, ...]:
    """Every other object equally often, from round to round in other words and scenes."""
    rounds = len(W.EVALUATION_PHRASES) * len(W.SCENES)
    return tuple(
        Probe(_said(o, i + turn), (f"object:{o}",))
        for turn in range(rounds)
        for i, o in enumerate(W.OBJECTS)
        if o not in leave_out
    )


def _pocket_object(name: str, members: tuple[str, ...] = ()) -> Concept:
    # A group is located by its own word too.
    located = (name, *members)
    members = members or (name,)
    pairs = [(m, s) for s in W.SCENES for m in located]
    rounds = len(W.EVALUATION_PHRASES) * len(W.SCENES)
    return Concept(
        name=name,
        target_prompts=tuple(object_prompt(m, s) for m, s in pairs),
        base_prompts=tuple(W.with_article(s) for _, s in pairs),
        eval_prompts=tuple(_said(m, turn) for turn in range(rounds) for m in members),
        labels=tuple(f"object:{m}" for m in members),
        retained=_object_probes(members),
        settings=POCKET_SETTINGS,
    )


def _pocket_style(name: str) -> Concept:
    # Twenty things, as in the paper, and others to ask for; none is held out in this style.
    things = [W.with_article(o) for o in W.OBJECTS if not W.held_out(o, name)]
    style = W.STYLE_SUFFIX.format(style=name)
    return Concept(
        name=name,
        target_prompts=tuple(thing + style for thing in things[:20]),
        base_prompts=tuple(f"a photo of {thing}" for thing in things[:20]),
        eval_prompts=tuple(
            f"{start} of {thing}{style}"
            for start in ("an image", "a photo")
            for thing in things[20:]
        ),
        labels=(f"style:{name}",),
        retained=_object_probes(),
        settings=POCKET_SETTINGS,
    )


@cache
def pocket_concepts() -> Mapping[str, Concept]:
    """Every object, style and group of the pocket world, by name. Made once: they are thousands of
    probes.
    """
    out = {o: _pocket_object(o) for o in W.OBJECTS}
    out |= {s: _pocket_style(s) for s in W.STYLES}
    out |= {h: _pocket_object(h, members) for h, members in W.HYPERNYMS.items()}
    return MappingProxyType(out)
