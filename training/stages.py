"""The stages of the pocket model's training, read from `stages.toml`."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from conceptrevive.errors import ConceptReviveError
from training.artwork import ALL_SETS
from training.worlds import World, world_of

STAGES = Path(__file__).with_name("stages.toml")
WARM_UP = 200  # steps


class Rescale(BaseModel):
    """One change to the UNet's weights before a stage begins.

    Attributes:
        part: of the module's name.
        half: of a GEGLU's projection, whose first half of rows are values and second half gates.
        scale: of the matrix. bias_scale, bias_shift: of the bias, in this order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    part: str = Field(min_length=1)
    half: Literal["both", "value", "gate"] = "both"
    scale: float = Field(1.0, allow_inf_nan=False)
    bias_scale: float = Field(1.0, allow_inf_nan=False)
    bias_shift: float = Field(0.0, allow_inf_nan=False)


class Stage(BaseModel):
    """How one stage of training is run; `stages.toml` says what the keys mean."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    start: str | None = None
    steps: int | None = Field(None, gt=0)
    minutes: float | None = Field(None, gt=0, allow_inf_nan=False)
    lr: float = Field(gt=0, allow_inf_nan=False)
    batch: int = Field(gt=0)
    finish: float = Field(ge=0, le=1)
    decay: float = Field(ge=0, allow_inf_nan=False)
    decays: dict[str, float] = {}
    rescale: list[Rescale] = []
    seed: int = Field(ge=0)
    data_seed: int = Field(ge=0)
    pictures: int = Field(gt=0)
    objects: int
    phrases: str
    artwork: list[str] = Field(min_length=1)
    note: str = ""
    took: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Stage:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        unknown = [s for s in self.artwork if s not in ALL_SETS]
        if unknown:
            raise ValueError(f"artwork {unknown[0]!r}: choose from {', '.join(ALL_SETS)}")
        world_of(self.objects, self.phrases)
        return self

    @property
    def world(self) -> World:
        """What its pictures show."""
        return world_of(self.objects, self.phrases)

    def share_done(self, steps: int, minutes: float) -> float:
        """How much of the stage lies behind after `steps` and `minutes`; 1 is the end."""
        return steps / self.steps if self.steps else minutes / (self.minutes or math.inf)

    def learning_rate(self, steps: int, done: float) -> float:
        """Warm-up over 200 steps, constant, and a linear fall to 2 % over the last share `finish`.

        Args:
            steps: taken in this stage. done: share of the stage that lies behind.
        """
        rate = self.lr * min(1.0, (steps + 1) / WARM_UP)
        if self.finish:
            rate *= min(1.0, max(0.02, (1 - done) / self.finish))
        return rate


def read_stages(path: Path = STAGES) -> dict[str, Stage]:
    """Every stage by name.

    Raises ConceptReviveError naming the file, the stage, the key and what is wrong with it, and
    for a `start` that is no stage of the file.
    """
    try:
        file = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ConceptReviveError(f"{path}: {e}") from e
    tables = file.get("stage", {})
    stages = {
        name: _stage(path, name, file.get("defaults", {}) | table) for name, table in tables.items()
    }
    for stage in stages.values():
        if stage.start is not None and stage.start not in stages:
            raise ConceptReviveError(
                f"{path}: stage {stage.name}: start = {stage.start!r} is no stage: choose from "
                + ", ".join(stages)
            )
    return stages


def read_stage(name: str, path: Path = STAGES) -> Stage:
    """One stage. Raises ConceptReviveError as `read_stages` does, and for a name it lacks."""
    stages = read_stages(path)
    if name not in stages:
        raise ConceptReviveError(f"{path} has no stage {name!r}: choose from {', '.join(stages)}")
    return stages[name]


def _stage(path: Path, name: str, table: Mapping[str, Any]) -> Stage:
    try:
        return Stage(name=name, **table)
    except ValidationError as e:
        first = e.errors()[0]
        key = ".".join(str(k) for k in first["loc"])
        text = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            text = f"unknown key: choose from {', '.join(Stage.model_fields)}"
        raise ConceptReviveError(f"{path}: stage {name}: {key + ': ' if key else ''}{text}") from e
