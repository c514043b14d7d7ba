"""The names of the locators. Needs no torch, so that `--help` answers at once."""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal["conceptprune", "salun", "scissorhands", "forget-it-all"]

METHODS: tuple[Method, ...] = get_args(Method)

METHOD: Method = "conceptprune"

#: What each does, for who has to choose.
METHODS_SAID: dict[Method, str] = {
    "conceptprune": "ConceptPrune: weights that score higher with the concept than without it",
    "salun": "SalUn: weights by which the concept's loss changes most",
    "scissorhands": "Scissorhands: weights by SNIP, |W| times the loss's gradient",
    "forget-it-all": "Forget-It-All: one or several concepts, sparing what all of them use",
}

#: Those that differentiate the model, which takes more than half precision.
BY_GRADIENT: tuple[Method, ...] = ("salun", "scissorhands")
