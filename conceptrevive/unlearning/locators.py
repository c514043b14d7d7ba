"""The ways of locating a concept's weights, by name: all take a pipeline and a concept.

Those of others are called in the same way as those that are shipped, see `locate_by`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, TypeAlias

from torch import Tensor

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.extensions import called, check_settings, find, of_others, taken
from conceptrevive.models.matrices import choose
from conceptrevive.models.notes import located_note
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.weights import read_weights
from conceptrevive.unlearning.conceptprune import locate
from conceptrevive.unlearning.defaults import Method
from conceptrevive.unlearning.fit import check_fit, check_masks, check_not_empty
from conceptrevive.unlearning.forget_it_all import locate_forget_it_all
from conceptrevive.unlearning.masks import MaskSet
from conceptrevive.unlearning.salun import locate_salun
from conceptrevive.unlearning.scissorhands import locate_scissorhands

#: (model, concept, *, …) → {module name: bool (rows, columns)}, True = to be pruned.
Locator: TypeAlias = Callable[..., Mapping[str, Tensor]]

#: {name: locator}; a new one that is shipped is a file and a line here.
LOCATORS: dict[Method, Locator] = {
    "conceptprune": locate,
    "salun": locate_salun,
    "scissorhands": locate_scissorhands,
    "forget-it-all": locate_forget_it_all,
}


def locator(method: str | Locator, **settings: Any) -> Locator:
    """The locator of this name: a shipped one, a registered one, or `module:function`.

    Args:
        method: or the function itself.
        settings: what it is going to be given by keyword; those that are None do not count.

    Raises:
        ConceptReviveError: there is none, or it has no such setting.
    """
    found: Locator = find("locators", method, LOCATORS)
    check_settings(method, found, settings)
    return found


def locate_by(
    method: str | Locator, model: TextToImage, concept: Concept, **settings: Any
) -> MaskSet:
    """Masks by any locator, shipped or one's own.

    A locator is a function (pipeline, concept, …) → {module name: mask}. By keyword it gets those
    of `settings` that it names: `layers` is what to look at, None for its own choice; `seed` and
    `progress` as in `locate`. What it returns has to fit the model, and hold something. Which
    layers it was given, or chose itself, and which of them it left out, is kept, see `MaskSet`.

    Args:
        method: a name (see `locator`) or the function.
        settings: None stands for the locator's own default.

    Raises:
        ConceptReviveError: no such locator, setting or layers, masks that do not fit, or that are
            empty.
    """
    own = {
        n: v for n, v in settings.items() if n not in ("seed", "progress")
    }  # all are given these
    function = locator(method, **own)
    is_shipped, layers = function in LOCATORS.values(), settings.get("layers")
    if isinstance(layers, Iterator):
        layers = settings["layers"] = tuple(layers)
    if layers is not None and not is_shipped:
        choose(model, layers)  # raises before anything is drawn
    given = {n: v for n, v in taken(function, settings).items() if v is not None}
    name = called(method)
    with nullcontext() if is_shipped else of_others("locators", method):
        masks = function(model, concept, **given)
    if is_shipped and isinstance(masks, MaskSet):
        return masks
    try:
        check_masks(masks)
        if not isinstance(masks, MaskSet):
            seed = given.get("seed")
            masks = MaskSet(dict(masks), concept=concept.name, seed=seed)
        masks = replace(masks, method=masks.method or name)
        check_not_empty(masks)
        check_fit(read_weights(model, list(masks)), masks)
        if masks.layers is None and masks.left_out is None:
            masks = replace(masks, **located_note(model, layers, masks, function))
    except ConceptReviveError as e:
        raise ConceptReviveError(f"method {name!r} returned what cannot be used: {e}") from e
    return masks
