"""What can be erased: a concept's paired prompts, how to judge it, and the presets."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from conceptrevive import world as W
from conceptrevive.errors import ConceptReviveError


@dataclass(frozen=True)
class Settings:
    """How a concept is located and sampled. Defaults: the paper's for SD-1.5 objects and styles."""

    skill_ratio: float = 0.02
    tau: int = 10
    steps: int = 50
    guidance: float = 7.5

    def __post_init__(self) -> None:
        for name in ("skill_ratio", "tau", "steps", "guidance"):
            value, whole = getattr(self, name), name in ("tau", "steps")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number"
                raise ConceptReviveError(f"settings: {name} is {value!r}; it must be {kind}")


#: One setting for every concept of the pocket model, chosen on six objects by original, pruned and retained accuracy.
POCKET_SETTINGS = Settings(skill_ratio=0.20, tau=6, steps=12, guidance=3.0)


@dataclass(frozen=True)
class Probe:
    """A prompt and the class labels that count as right for it."""

    prompt: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Concept:
    """A concept to erase.

    Attributes:
        name: what it is called.
        target_prompts: prompts with the concept. base_prompts: the same without it; one each.
        labels: classifier labels that count as showing it (e.g. "object:cat", or ImageNet's "golf ball").
        clip_pair: where no class fits, (prompt with, prompt without): the nearer one in CLIP decides.
        retained: what must still be drawn, each prompt with its labels; empty if nothing is checked.
        judge: the classifier's folder or hub id; "pocket" is the shipped one.
        settings: defaults for `locate` and `evaluate`.
    """

    name: str
    target_prompts: tuple[str, ...]
    base_prompts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    clip_pair: tuple[str, str] | None = None
    retained: tuple[Probe, ...] = ()
    judge: str = "pocket"
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        if not self.target_prompts or len(self.target_prompts) != len(self.base_prompts):
            raise ConceptReviveError(
                f"concept {self.name!r} has {len(self.target_prompts)} target and {len(self.base_prompts)} base prompts: "
                "give at least one, in pairs"
            )
        for labels in ([self.labels] if self.labels else []) + [p.labels for p in self.retained]:
            if len({label.partition(":")[0] if ":" in label else "" for label in labels}) != 1:
                raise ConceptReviveError(
                    f"concept {self.name!r}: labels {list(labels)} are not of one group: give at least one, all of objects, "
                    "all of scenes or all of styles"
                )

    @classmethod
    def from_yaml(cls, path: str | os.PathLike) -> Concept:
        """Read a concept from YAML; keys are the attributes above (`settings` a mapping, `retained` prompt: labels).

        Raises ConceptReviveError naming the file and the key.
        """
        import yaml

        try:
            data = yaml.safe_load(Path(path).read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
            raise ConceptReviveError(f"cannot read a concept from {path}: {' '.join(str(e).split())}") from e
        if not isinstance(data, dict):
            raise ConceptReviveError(f"{path} holds no mapping: write keys such as name, target_prompts, base_prompts")
        known = {f.name for f in fields(cls)}
        unknown = sorted(map(str, set(data) - known))
        missing = sorted({"name", "target_prompts", "base_prompts"} - set(data))
        if unknown or missing:
            raise ConceptReviveError(
                f"{path}: unknown keys {unknown}, missing keys {missing}; the keys are {', '.join(sorted(known))}"
            )
        try:
            for key in ("target_prompts", "base_prompts", "labels"):
                data[key] = _strings(data.get(key, ()), key)
            data["clip_pair"] = _strings(data["clip_pair"], "clip_pair") if data.get("clip_pair") else None
            if data["clip_pair"] and len(data["clip_pair"]) != 2:
                raise TypeError("clip_pair must be two prompts: one with the concept, one without")
            data["settings"] = Settings(**(data.get("settings") or {}))
            retained = data.get("retained") or {}
            data["retained"] = tuple(Probe(p, _strings(v, p)) for p, v in retained.items())
            return cls(**data)
        except (TypeError, AttributeError, ConceptReviveError) as e:
            raise ConceptReviveError(f"{path}: {e}") from e


def _strings(value, key: str) -> tuple[str, ...]:
    value = (value,) if isinstance(value, str) else value
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
        raise TypeError(f"{key} must be a list of strings")
    return tuple(value)


# --- the pocket world -------------------------------------------------------------------------------------------


def object_prompt(name: str, scene: str) -> str:
    """ "a cat in a garden"."""
    return f"{W.with_article(name)} in {W.with_article(scene)}"


def _object_probes(leave_out: tuple[str, ...] = ()) -> tuple[Probe, ...]:
    names = [o for o in W.OBJECTS if o not in leave_out]
    # Scenes change from round to round, so that every object meets several; all objects come equally often.
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
    # Twenty things, as in the paper; those whose pair with this style was held out of training are left out.
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


# --- the paper's --------------------------------------------------------------------------------------------------

PAPER_SCENES = (
    "road", "garden", "beach", "room", "park", "street", "shelter", "chair", "table", "bag", "tree", "forest",
)  # fmt: skip

#: Table 1's classes: name → ImageNet-1k label of ResNet-50.
IMAGENET_OBJECTS = {
    "golf ball": "golf ball", "parachute": "parachute, chute", "church": "church, church building",
    "french horn": "French horn, horn", "chain saw": "chain saw, chainsaw",
    "gas pump": "gas pump, gasoline pump, petrol pump, island dispenser", "candle": "candle, taper, wax light",
    "mountain bike": "mountain bike, all-terrain bike, off-roader", "racket": "racket, racquet",
    "school bus": "school bus", "spider web": "spider web, spider's web", "starfish": "starfish, sea star",
}  # fmt: skip

ARTISTS = ("Van Gogh", "Claude Monet", "Pablo Picasso", "Leonardo da Vinci", "Salvador Dali")
THINGS = (
    "woman", "man", "cat", "dog", "house", "tree", "river", "mountain", "bridge", "boat", "street", "garden", "flower",
    "horse", "castle", "church", "table", "chair", "vase", "field",
)  # fmt: skip
#: Adults only. Used to locate the concept, never to make pictures (see the book's page on responsible use).
HUMANS = (
    "woman", "man", "person", "lady", "gentleman", "couple", "dancer", "model", "actor", "actress", "athlete", "worker",
    "teacher", "doctor", "nurse", "chef", "king", "queen",
)  # fmt: skip
CHURCH_PLACES = (
    "on a road", "in a garden", "on a beach", "in a park", "on a street", "in a forest", "in front of a house",
)  # fmt: skip
RESNET50 = "microsoft/resnet-50"


def paper_concepts() -> dict[str, Concept]:
    """The paper's objects, artists and nudity, with its prompts and settings, for SD-1.5 and its kin."""
    out = {}
    for name, label in IMAGENET_OBJECTS.items():
        target = [f"a {name} in a {s}" for s in PAPER_SCENES]
        base = [f"a {s}" for s in PAPER_SCENES]
        if name == "church":  # a church stands on a road or before a house, not in a bag
            target, base = [f"a church {p}" for p in CHURCH_PLACES], [f"a photo {p}" for p in CHURCH_PLACES]
        others = [(o, lab) for o, lab in IMAGENET_OBJECTS.items() if o != name]
        out[name] = Concept(
            name, tuple(target), tuple(base), (label,),
            retained=tuple(Probe(f"a {o} in a {s}", (lab,)) for s in PAPER_SCENES for o, lab in others), judge=RESNET50,
        )  # fmt: skip
    for artist in ARTISTS:
        out[artist] = Concept(
            artist,
            tuple(f"a {t} in the style of {artist}" for t in THINGS),
            tuple(f"a photo of a {t}" for t in THINGS),
            clip_pair=(f"a painting in the style of {artist}", "a photo"),
            judge="openai/clip-vit-base-patch32",
        )
    # The benchmark's own prompts (I2P, MMA, Ring-A-Bell) are not shipped; here only the pairs that locate.
    out["nudity"] = Concept(
        "nudity",
        tuple(f"a photo of a naked {h}" for h in HUMANS),
        tuple(f"a photo of a {h}" for h in HUMANS),
        settings=replace(Settings(), skill_ratio=0.01),
    )
    return out


def get_concept(name: str | os.PathLike, preset: str = "pocket") -> Concept:
    """A preset by name (`preset` "pocket" or "paper"), or a concept read from a .yaml file.

    Raises ConceptReviveError listing the names there are.
    """
    if str(name).endswith((".yaml", ".yml")):
        return Concept.from_yaml(name)
    tables = {"pocket": pocket_concepts, "paper": paper_concepts}
    if preset not in tables:
        raise ConceptReviveError(f"preset {preset!r} is unknown: choose 'pocket' or 'paper'")
    presets = tables[preset]()
    if name not in presets:
        raise ConceptReviveError(
            f"no {preset} concept {str(name)!r}: choose one of {', '.join(presets)}; or give a .yaml file with your own"
        )
    return presets[name]
