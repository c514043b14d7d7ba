"""What can be erased: a concept's paired prompts, its settings, and how to judge it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path

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
            raise ConceptReviveError(
                f"cannot read a concept from {path}: {' '.join(str(e).split())}"
            ) from e
        if not isinstance(data, dict):
            raise ConceptReviveError(
                f"{path} holds no mapping: write keys such as name, target_prompts, base_prompts"
            )
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
            data["clip_pair"] = (
                _strings(data["clip_pair"], "clip_pair") if data.get("clip_pair") else None
            )
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
