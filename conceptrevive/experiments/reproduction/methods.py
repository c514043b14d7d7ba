"""The ways of locating that Tables 4 and 11 compare: their rows, and how much each takes.

Free of torch: what an experiment asks for is told without a model.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from conceptrevive.concepts.defaults import Preset
from conceptrevive.experiments.reproduction.profiles import Profile
from conceptrevive.unlearning.budgets import BUDGETS, SALUN_RELEASED, Budget, Selection
from conceptrevive.unlearning.defaults import Method

CONCEPTPRUNE, SALUN, SCISSORHANDS, ALL = "ConceptPrune", "SalUn", "Scissorhands", "Forget-It-All"
#: The same shares of the convolutions too, as released but for norms and biases.
WIDER = ("SalUn, convolutions too", "Scissorhands, convolutions too")
#: SalUn's half of all weights, which its code trains and never zeroes.
HALF = "SalUn, half of all"
#: What scores the weights that each row zeroes.
LOCATED: Mapping[str, Method] = {
    SALUN: "salun",
    SCISSORHANDS: "scissorhands",
    ALL: "forget-it-all",
    WIDER[0]: "salun",
    WIDER[1]: "scissorhands",
    HALF: "salun",
}
#: Controls: as many weights of the same layers as SalUn's.
RANDOM, SPREAD, LARGEST = "random", "random per layer", "largest magnitudes"
CONTROLS = (RANDOM, SPREAD, LARGEST)
#: Full methods, which train; an attacker zeroes what `WHOSE` zeroes.
FULL: Mapping[str, Method] = {"SalUn full": "salun", "Scissorhands full": "scissorhands"}
WHOSE = {"SalUn full": SALUN, "Scissorhands full": SCISSORHANDS}


def _budget(preset: Preset, name: str) -> Budget:
    """Of the row itself, of the full method's zeros, or of SalUn, which controls are like."""
    return BUDGETS[preset][LOCATED.get(WHOSE.get(name, name), "salun")]


def share_of(preset: Preset, name: str, concept: str) -> float:
    """What the rows of `name` take, see `Budget`."""
    return SALUN_RELEASED if name == HALF else _budget(preset, name).share_of(concept)


def layers_of(preset: Preset, name: str) -> Selection:
    """Where the rows of `name` look."""
    return "all" if name == HALF or name in WIDER else _budget(preset, name).layers


def steps_of(preset: Preset, name: str, profile: Profile) -> int:
    """Training steps of a full method: its own, or fewer where the profile says so."""
    return min(_budget(preset, name).steps, profile.training)


def fewer(profile: Profile) -> dict[str, JsonValue]:
    """What is told of rows that look in some of the layers only; nothing where they look in all."""
    return {} if profile.layers is None else {"layers_of_a_kind": profile.layers}
