"""The ways of hiding where a model was pruned, by name; those of others are called alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.defence.defaults import DEFENCE
from conceptrevive.defence.obfuscation import obfuscate
from conceptrevive.errors import ConceptReviveError
from conceptrevive.extensions import called, check_settings, find, of_others, taken
from conceptrevive.models.weights import Weights
from conceptrevive.unlearning.fit import check_fit, check_not_empty, check_weights

#: (weights, masks, *, …) → new weights of the same layers.
Defence: TypeAlias = Callable[..., Mapping[str, Tensor]]

#: {name: defence}; a new one that is shipped is a file and a line here.
DEFENCES: dict[str, Defence] = {DEFENCE: obfuscate}


def find_defence(defence: str | Defence, **settings: Any) -> Defence:
    """A shipped, registered or `module:function` defence by name, or the function itself.

    Args:
        settings: what it is going to be given by keyword; those that are None do not count.

    Raises ConceptReviveError where there is none, or it has no such setting.
    """
    found: Defence = find("defences", defence, DEFENCES)
    check_settings(defence, found, settings)
    return found


def defend(
    defence: str | Defence,
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    masks: Mapping[str, Bool[Tensor, "rows columns"]],
    **settings: Any,
) -> Weights:
    """New weights by any defence, shipped or one's own.

    Args:
        defence: a name, or a function (weights, masks, …) → weights. It may change entries beside
            the masked ones, and gets those of `settings` that it names.
        weights: {module name: matrix}. masks: what was pruned, or is to be.
        settings: None stands for the defence's own default.

    Raises:
        ConceptReviveError: no such defence or setting; masks that do not fit or are empty; weights
            returned that are of other layers, shapes or dtypes, not finite, or all as before.
    """
    function = find_defence(defence, **settings)
    given = {n: v for n, v in settings.items() if v is not None}
    if function in DEFENCES.values():
        return dict(function(weights, masks, **given))
    check_fit(weights, masks)
    check_not_empty(masks)
    copies = {n: w.clone() for n, w in weights.items()}  # the function may work in place
    with of_others("defences", defence):
        new = function(copies, masks, **taken(function, given))
    try:
        check_weights(new, name="what it returned")
        _check_alike(new, weights)
    except ConceptReviveError as e:
        raise ConceptReviveError(
            f"defence {called(defence)!r} returned what cannot be used: {e}"
        ) from e
    return {n: new[n] for n in weights}


def _check_alike(new: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> None:
    if other := sorted(new.keys() ^ old.keys()):
        raise ConceptReviveError(f"{other[0]}: return the layers that were given, all of them")
    for name, weight in old.items():
        mine = new[name]
        if mine.shape != weight.shape or mine.dtype != weight.dtype:
            raise ConceptReviveError(
                f"{name}: {mine.dtype} of shape {tuple(mine.shape)}: it was {weight.dtype} of "
                f"shape {tuple(weight.shape)}"
            )
        if not torch.isfinite(mine).all():
            raise ConceptReviveError(f"{name}: NaN or Inf: return finite weights")
    if all(torch.equal(new[name], weight) for name, weight in old.items()):
        raise ConceptReviveError(f"nothing of {len(old)} layers is changed")
