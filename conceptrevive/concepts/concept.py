"""What can be erased: a concept's paired prompts, its settings, and how to judge it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

import yaml
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from conceptrevive.concepts.document import Document, read_document
from conceptrevive.concepts.wording import Fault, find_problem, in_our_words
from conceptrevive.errors import ConceptReviveError, expect

#: The schedulers' training steps; no picture takes more.
MOST_STEPS = 1000

ONLY_KNOWN = ConfigDict(extra="forbid")


def _listed(value: object) -> object:
    """One string as a list of it, a list as a tuple."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Text = Annotated[StrictStr, Field(pattern=r"\S")]

Name = Annotated[Text, Field(description="a string, not blank")]

Texts = Annotated[
    tuple[Text, ...],
    Strict(),
    BeforeValidator(_listed),
    Field(description="a list of strings, none blank"),
]


@in_our_words
@dataclass(frozen=True, config=ONLY_KNOWN)
class Settings:
    """How a concept is located and sampled. Defaults: the paper's for SD-1.5 objects and styles.

    Raises ConceptReviveError for a value out of its range.
    """

    skill_ratio: Annotated[
        float,
        Strict(),
        Field(gt=0, le=1, description="a number, the share of each row, above 0 and up to 1"),
    ] = 0.02
    tau: Annotated[StrictInt, Field(ge=1, description="a whole number, 1 or more")] = 10
    steps: Annotated[
        StrictInt,
        Field(ge=1, le=MOST_STEPS, description=f"a whole number from 1 to {MOST_STEPS}"),
    ] = 50
    guidance: Annotated[
        float,
        Strict(),
        Field(ge=0, allow_inf_nan=False, description="a number, 0 or more and finite"),
    ] = 7.5

    @model_validator(mode="after")
    def _tau_is_within_the_steps(self) -> Settings:
        if self.tau > self.steps:
            raise Fault(
                "tau", f"settings: tau is {self.tau}; it must be at most steps, {self.steps}"
            )
        return self


@in_our_words
@dataclass(frozen=True, config=ONLY_KNOWN)
class Probe:
    """A prompt and the class labels that count as right for it."""

    prompt: Name
    labels: Texts


@in_our_words
@dataclass(frozen=True, config=ONLY_KNOWN)
class Concept:
    """A concept to erase.

    Attributes:
        name: what it is called.
        target_prompts: prompts with the concept. base_prompts: the same without it; one each.
        labels: classifier labels that count as showing it (e.g. "object:cat", or ImageNet's
            "golf ball").
        clip_pair: where no class fits, (prompt with, prompt without): the nearer one in CLIP
            decides.
        eval_prompts: what an evaluation says to have it drawn; empty takes the target prompts, as
            if nobody ever asked in other words than those it was located by.
        retained: what must still be drawn, each prompt with its labels; empty if nothing is
            checked.
        judge: the classifier's folder or hub id; "pocket" is the shipped one.
        settings: defaults for `locate` and `evaluate`.

    Raises ConceptReviveError naming the attribute, its value and what it must be.
    """

    name: Name
    target_prompts: Texts
    base_prompts: Texts
    labels: Texts = ()
    clip_pair: Annotated[
        Annotated[tuple[Text, Text], BeforeValidator(_listed)] | None,
        Field(description="two prompts, one with the concept and one without"),
    ] = None
    eval_prompts: Texts = ()
    retained: Annotated[
        tuple[Probe, ...],
        BeforeValidator(_listed),
        Field(description="a mapping of prompts to their labels"),
    ] = ()
    judge: Annotated[Text, Field(description="a string, not blank: a folder or a hub id")] = (
        "pocket"
    )
    settings: Annotated[
        Settings, Field(description="a mapping of skill_ratio, tau, steps, guidance")
    ] = Settings()

    @model_validator(mode="after")
    def _prompts_are_pairs(self) -> Concept:
        targets, bases = self.target_prompts, self.base_prompts
        if not targets or len(targets) != len(bases):
            raise Fault(
                "base_prompts",
                f"concept {self.name!r} has {len(targets)} target and {len(bases)} base prompts: "
                "give at least one, in pairs",
            )
        for key, pairs in (
            ("base_prompts", zip(targets, bases, strict=True)),
            ("clip_pair", [self.clip_pair] if self.clip_pair else []),
        ):
            for with_it, without in pairs:
                if _as_read(with_it) == _as_read(without):
                    raise Fault(
                        key,
                        f"concept {self.name!r}: the prompts with and without it are both "
                        f"{without!r}, which tells nothing: leave the concept out of the second",
                    )
        return self

    @model_validator(mode="after")
    def _labels_are_of_one_group(self) -> Concept:
        own = [("labels", self.labels)] if self.labels else []
        for key, labels in own + [("retained", p.labels) for p in self.retained]:
            if len({label.partition(":")[0] if ":" in label else "" for label in labels}) != 1:
                raise Fault(
                    key,
                    f"concept {self.name!r}: labels {list(labels)} are not of one group: give at "
                    "least one, all of objects, all of scenes or all of styles",
                )
        return self

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Concept:
        """Read a concept from YAML; keys are the attributes above, `retained` prompt: labels.

        Raises ConceptReviveError naming the file, the line, the key and what is right.
        """
        expect(path, (str, os.PathLike), "path", "give the name of a .yaml file")
        document = read_document(path, "name, target_prompts, base_prompts")
        given = {str(k): v for k, v in document.values.items() if v is not None}
        if isinstance(settings := given.get("settings"), Mapping):
            given["settings"] = {str(k): v for k, v in settings.items()}
        if isinstance(retained := given.get("retained"), Mapping):
            given["retained"] = [{"prompt": p, "labels": v} for p, v in retained.items()]
        try:
            return TypeAdapter(Concept).validate_python(given)
        except ValidationError as e:
            raise ConceptReviveError(_told(e, document)) from e


def _as_read(prompt: str) -> str:
    """A prompt as CLIP's tokenizer sees it."""
    return " ".join(prompt.split()).casefold()


def _told(error: ValidationError, document: Document) -> str:
    """The message for a concept file: place, problem and, where text was misread, the quotes."""
    problem = find_problem(error, Concept)
    where = problem.where
    if where[:1] == ("retained",):  # in the file a mapping: its value stands for the labels
        where = tuple(step for step in where if step not in ("prompt", "labels"))
    node, message = document.node(where), problem.message
    if problem.unquoted and isinstance(node, yaml.ScalarNode):
        message += f'; write it in quotes: "{node.value}"'
    return f"{document.place(where)}: {message}"
