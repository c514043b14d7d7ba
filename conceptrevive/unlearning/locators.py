"""The ways of locating a concept's weights, by name: all take a pipeline and a concept."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from conceptrevive.errors import ConceptReviveError
from conceptrevive.extensions import find
from conceptrevive.unlearning.conceptprune import locate
from conceptrevive.unlearning.defaults import Method
from conceptrevive.unlearning.forget_it_all import locate_forget_it_all
from conceptrevive.unlearning.masks import MaskSet
from conceptrevive.unlearning.salun import locate_salun
from conceptrevive.unlearning.scissorhands import locate_scissorhands

#: {name: function (model, concept, …) → MaskSet}; a new locator is a file and a line here.
LOCATORS: dict[Method, Callable[..., MaskSet]] = {
    "conceptprune": locate,
    "salun": locate_salun,
    "scissorhands": locate_scissorhands,
    "forget-it-all": locate_forget_it_all,
}


def locator(method: str, **settings: Any) -> Callable[..., MaskSet]:
    """The locator of this name.

    Args:
        settings: what it is going to be given by keyword; those that are None do not count.

    Raises:
        ConceptReviveError: there is none, or it has no such setting.
    """
    found: Callable[..., MaskSet] = find("locators", method, LOCATORS)
    takes = signature(found).parameters
    for name, value in settings.items():
        if value is not None and name not in takes:
            raise ConceptReviveError(
                f"{name} is no setting of {method}: it takes "
                + ", ".join(n for n in settings if n in takes)
            )
    return found
