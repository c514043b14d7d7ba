"""A solver run on many layers: checked, grouped by shape, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from conceptrevive.revival.completion.occupancy import anywhere
from conceptrevive.revival.completion.problems import Completion, Problem, prepare
from conceptrevive.revival.completion.threads import side_by_side
from conceptrevive.unlearning.fit import check_fit, check_weights

#: Entries solved at a time where several layers have one shape.
STACK_ENTRIES = 1 << 24

#: A filled matrix, the iterations it took, and whether it converged.
Filled = tuple[Tensor, int, bool]

#: What `complete_with` runs: fills problems of one shape, precision and device.
Fill = Callable[[Sequence[Problem]], Sequence[Filled]]


def complete_with(
    fill: Fill,
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    masks: Mapping[str, Bool[Tensor, "rows columns"]] | None = None,
    side: Mapping[str, Float[Tensor, "any_rows columns"]] | None = None,
    *,
    solver: str,
    exact: bool = False,
    entries: int = STACK_ENTRIES,
) -> dict[str, Completion]:
    """`complete` with a solver of the caller's own.

    Args:
        fill: given problems of one shape, returns the filled `z` of each.
        solver: what the results call it.
        exact: solve in float64 whatever the weights' precision.
        entries: about how many are given to `fill` at a time.
    """
    if masks is None:
        check_weights(weights, "complete_matrix")
    else:
        check_fit(weights, masks, "complete_matrix")
    names = list(weights if masks is None else masks)
    if side is not None:
        _check_sides(side, names)
    solve = partial(_solve, fill, weights, masks, side, solver, exact)
    parts = list(_stacks(weights, names, entries))
    here = all(weights[n].device.type == "cpu" for n in names)
    out: dict[str, Completion] = {}
    for done in side_by_side(solve, parts) if here else map(solve, parts):
        for n, (completion, dead) in done.items():
            if dead:
                warnings.warn(
                    f"{n}: {dead} fully pruned rows have nothing to go by and stay 0", stacklevel=3
                )
            out[n] = completion
    return {n: out[n] for n in names}


def _check_sides(side: Mapping[str, Tensor], names: Sequence[str]) -> None:
    check_weights(side, name="side")
    if missing := next((n for n in names if n not in side), None):
        raise ConceptReviveError(
            f"{missing}: side has nothing for this layer: give it for every masked layer, as "
            "`read_side` does, or for none"
        )


def _solve(
    fill: Fill,
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor] | None,
    side: Mapping[str, Tensor] | None,
    solver: str,
    exact: bool,
    names: Sequence[str],
) -> dict[str, tuple[Completion, int]]:
    """Layers completed, those of one kind together; and how many rows have nothing to go by."""
    groups: dict[tuple[object, ...], list[Problem]] = {}
    done: dict[str, tuple[Completion, int]] = {}
    for n in names:
        mask = None if masks is None else masks[n]
        problem = prepare(n, weights[n], mask, None if side is None else side[n], exact)
        if anywhere(problem.gaps):
            groups.setdefault(problem.kind, []).append(problem)
        else:
            done[n] = problem.untouched(solver), problem.dead
    for problems in groups.values():
        for problem, filled in zip(problems, fill(problems), strict=True):
            done[problem.name] = problem.solved(*filled, solver), problem.dead
    return done


def _stacks(weights: Mapping[str, Tensor], names: list[str], entries: int) -> Iterator[list[str]]:
    """Names of equal shape in parts of about `entries` entries."""
    shapes: dict[tuple[int, ...], list[str]] = {}
    for n in names:
        shapes.setdefault(tuple(weights[n].shape), []).append(n)
    for same in shapes.values():
        size = max(1, entries // max(1, weights[same[0]].nbytes // 4))
        for i in range(0, len(same), size):
            yield same[i : i + size]


def one_by_one(
    run: Callable[..., Filled], problems: Sequence[Problem], **options: Any
) -> list[Filled]:
    """A solver of single matrices as `Fill`."""
    return [run(p.z, p.gaps, **options) for p in problems]
