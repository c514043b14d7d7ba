"""Where `revive` takes weights to be pruned when no masks are given, and what is said about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from conceptrevive.cli.output import complain, some
from conceptrevive.errors import ConceptReviveError

if TYPE_CHECKING:
    from torch import Tensor

    from conceptrevive.checkpoints.contents import Checkpoint
    from conceptrevive.checkpoints.layers import Place
    from conceptrevive.models.weights import Weights
    from conceptrevive.revival.natural import ZeroReport
    from conceptrevive.unlearning.masks import MaskSet

WHERE = "conceptrevive revive"


def guessed(checkpoint: Checkpoint, share: float, layers: str | None) -> MaskSet:
    """The smallest weights of each row: of the feed-forward outputs, or of other layers."""
    from conceptrevive.checkpoints.layers import each_matrix
    from conceptrevive.checkpoints.selection import selected
    from conceptrevive.revival.positions import guess_masks

    chosen = selected(checkpoint, layers)
    where = guess_masks(dict(each_matrix(chosen)), share)
    unseen = _unseen(checkpoint, chosen)
    if not where:
        raise ConceptReviveError(_no_matrix(checkpoint, chosen, unseen))
    if where.count == 0:
        raise ConceptReviveError(
            f"--guess {share} takes no weight of any row: give the share of a row that was pruned"
        )
    complain(
        WHERE,
        f"a guess rewrites weights that were never pruned too: {where.count} weights of "
        f"{_layers(len(where))}, listed below",
    )
    if unseen:
        complain(WHERE, f"not looked at: {some(unseen)}")
    return where


def left_zeros(checkpoint: Checkpoint, layers: str | None) -> MaskSet:
    """The zeros that pruning left in any layer of any component; natural ones are named."""
    from conceptrevive.checkpoints.layers import all_layers, each_matrix
    from conceptrevive.checkpoints.naming import layer_kind
    from conceptrevive.checkpoints.selection import selected
    from conceptrevive.revival.natural import tell_zeros

    chosen = all_layers(checkpoint) if layers is None else selected(checkpoint, layers)
    report = tell_zeros(each_matrix(chosen), layer_kind)
    unseen = _unseen(checkpoint, chosen)
    if not report.looked_at:
        raise ConceptReviveError(_no_matrix(checkpoint, chosen, unseen))
    if not report.masks:
        raise ConceptReviveError(_nothing(checkpoint, report, unseen))
    if report.natural:
        complain(WHERE, f"{_natural(report.natural)}; they stay 0")
    if unseen:
        complain(WHERE, f"not looked at: {some(unseen)}")
    return report.masks


def with_survivors(weights: Weights, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks of layers in which something is left to go by; the others are named.

    Raises ConceptReviveError where there is none.
    """
    known = {
        n: m for n, m in masks.items() if m.shape != weights[n].shape or (weights[n][~m] != 0).any()
    }
    if lost := [n for n in masks if n not in known]:
        problem = f"{some(lost)}: every weight is 0 or masked, nothing is left to go by"
        if not known:
            raise ConceptReviveError(f"{problem}: give the model as it was pruned")
        complain(WHERE, f"{problem}; left as they are")
    return known


def _unseen(checkpoint: Checkpoint, layers: Mapping[str, Place]) -> list[str]:
    """Layers, and components, whose weights cannot be looked at, each with the reason."""
    from conceptrevive.checkpoints.layers import unreadable

    unseen = [f"{n} ({p.entry.dtype})" for n, p in layers.items() if unreadable(p)]
    return unseen + [f"{name} (pickles only)" for name in checkpoint.closed]


def _nothing(checkpoint: Checkpoint, report: ZeroReport, unseen: list[str]) -> str:
    """Why there is nothing to revive, and what to do."""
    text = f"{checkpoint.source} has no exact zeros in any of {report.looked_at} matrices"
    if report.natural:
        text += f" that pruning must have left; {_natural(report.natural)}"
    if unseen:
        text += f"; not looked at: {some(unseen)}"
    return f"{text}: give --masks, or --guess a pruning rate"


def _no_matrix(checkpoint: Checkpoint, layers: Mapping[str, Place], unseen: list[str]) -> str:
    """That none of these layers can be completed, and what to do."""
    from conceptrevive.checkpoints.layers import matrix_remedy

    why = f"; not looked at: {some(unseen)}" if unseen else ""
    return (
        f"{checkpoint.source} has no float matrix of 16 bits or more to look at{why}: "
        f"{matrix_remedy(layers.values())}"
    )


def _natural(natural: Mapping[str, str]) -> str:
    """Layers by the reason for which their zeros are natural."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in natural.items():
        by_reason.setdefault(reason, []).append(name)
    told = [f"those of {some(names, 1)}: {reason}" for reason, names in by_reason.items()]
    return f"natural zeros in {_layers(len(natural))}: {some(told, 3, '; ')}"


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"
