"""A concept's settings with those that a caller gives, checked before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping

from conceptrevive.concepts.concept import Concept, Settings
from conceptrevive.errors import ConceptReviveError, expect_number, expect_whole
from conceptrevive.models.matrices import View


def chosen_settings(
    concept: Concept,
    skill_ratio: float | None,
    tau: int | None,
    steps: int | None,
    guidance: float | None,
) -> Settings:
    """The concept's settings with those that are given.

    Raises ConceptReviveError for one of a wrong type or out of its range.
    """
    own = concept.settings
    ratio = own.skill_ratio if skill_ratio is None else skill_ratio
    tau = own.tau if tau is None else tau
    steps = own.steps if steps is None else steps
    guidance = own.guidance if guidance is None else guidance
    expect_number(ratio, "skill_ratio")
    expect_whole(tau, "tau")
    expect_whole(steps, "steps")
    expect_number(guidance, "guidance")
    if not 0 < ratio <= 1:
        raise ConceptReviveError(f"skill_ratio is {ratio}: it is a share of each row, in (0, 1]")
    if not 1 <= tau <= steps:
        raise ConceptReviveError(
            f"tau is {tau}: it counts denoising steps, from 1 to the {steps} taken"
        )
    if not math.isfinite(guidance):
        raise ConceptReviveError(f"guidance is {guidance}: it is a finite number, such as 7.5")
    return Settings(
        skill_ratio=float(ratio), tau=int(tau), steps=int(steps), guidance=float(guidance)
    )


def check_rows(layers: Mapping[str, View], skill_ratio: float) -> None:
    """Raise ConceptReviveError naming a layer of whose rows the skill ratio takes nothing."""
    for name, layer in layers.items():
        columns = layer.weight.shape[1]
        if int(skill_ratio * columns) == 0:
            raise ConceptReviveError(
                f"skill_ratio {skill_ratio} selects no entry of {name}'s {columns} "
                "columns: raise it"
            )
