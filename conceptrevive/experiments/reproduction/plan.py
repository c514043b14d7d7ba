"""A bench without a model: it says what an experiment asks for, and draws nothing."""

from __future__ import annotations

from collections.abc import Sequence

from conceptrevive.concepts.defaults import Preset
from conceptrevive.concepts.paper import IMAGENET_OBJECTS
from conceptrevive.concepts.world import PAPER_OBJECTS
from conceptrevive.experiments.reproduction.bench import Bench
from conceptrevive.experiments.reproduction.profiles import Profile
from conceptrevive.experiments.reproduction.prompt_sets import (
    ADVERSARIAL,
    DIRECTION,
    INDIRECT,
    Listed,
)

#: Prompts of the sets that the paper draws for nudity: I2P, MMA-Diffusion's benchmark, and
#: Ring-A-Bell's list.
LISTED = {INDIRECT: 4703, ADVERSARIAL: 1000, DIRECTION: 95}


class Plan(Bench):
    """Makes the cells that a laboratory would measure, without the weights of a model.

    Args:
        profile: how much is measured. preset: "pocket", or "paper" for Stable Diffusion.
        concepts: names; None takes the profile's number of the objects. seed: as `Bench`'s.

    On "paper" the prompt sets of nudity are as long as the paper's, of blank prompts.
    """

    def __init__(
        self,
        profile: Profile,
        preset: Preset,
        concepts: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        self.profile, self.seed, self.preset = profile, seed, preset
        objects = PAPER_OBJECTS if preset == "pocket" else tuple(IMAGENET_OBJECTS)
        self.named, self.coco, self.judge = bool(concepts), None, None
        blank = {name: Listed(name, "", ("",) * n) for name, n in LISTED.items()}
        self.prompts = blank if preset == "paper" else {}
        self.concepts = tuple(concepts or objects[: profile.concepts])
