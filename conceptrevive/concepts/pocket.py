"""Concepts of the pocket world: its objects, styles and groups."""

from __future__ import annotations

from conceptrevive.concepts import world as W
from conceptrevive.concepts.concept import Concept, Probe, Settings

#: One setting for every concept of the pocket model, chosen on six objects by original, pruned and
#: retained accuracy.
POCKET_SETTINGS = Settings(skill_ratio=0.20, tau=6, steps=12, guidance=3.0)


def object_prompt(name: str, scene: str) -> str:
    """ "a cat in a garden"."""
    return f"{W.with_article(name)} in {W.with_article(scene)}"


def _object_probes(leave_out: tuple[str, ...] = ()) -> tuple[Probe, ...]:
    names = [o for o in W.OBJECTS if o not in leave_out]
    # Scenes change from round to round, so that every object meets several, equally often.
    return tuple(
        Probe(object_prompt(o, W.SCENES[(i * 5 + turn * 3) % len(W.SCENES)]), (f"object:{o}",))
        for turn in range(len(W.SCENES))
        for i, o in enumerate(names)
    )


def _pocket_object(name: str, members: tuple[str, ...] = ()) -> Concept:
    members = members or (name,)
    pairs = [(m, s) for s in W.SCENES for m in members]
    return Concept(
        name=name,
        target_prompts=tuple(object_prompt(m, s) for m, s in pairs),
        base_prompts=tuple(W.with_article(s) for _, s in pairs),
        labels=tuple(f"object:{m}" for m in members),
        retained=_object_probes(members),
        settings=POCKET_SETTINGS,
    )


def _pocket_style(name: str) -> Concept:
    # Twenty things, as in the paper, without those held out of training in this style.
    things = [o for o in W.OBJECTS if not W.held_out(o, name)][:20]
    return Concept(
        name=name,
        target_prompts=tuple(W.with_article(o) + W.STYLE_SUFFIX.format(style=name) for o in things),
        base_prompts=tuple(f"a photo of {W.with_article(o)}" for o in things),
        labels=(f"style:{name}",),
        retained=_object_probes(),
        settings=POCKET_SETTINGS,
    )


def pocket_concepts() -> dict[str, Concept]:
    """Every object, style and group of the pocket world, by name."""
    out = {o: _pocket_object(o) for o in W.OBJECTS}
    out |= {s: _pocket_style(s) for s in W.STYLES}
    return out | {h: _pocket_object(h, members) for h, members in W.HYPERNYMS.items()}
