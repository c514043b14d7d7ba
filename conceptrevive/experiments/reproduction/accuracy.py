"""Tables 5 and 6: which pruned signs are completed right, by layer, by magnitude, and as claimed.

No pictures. The outcomes are entries: the original tells whether each sign is right.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from pydantic import JsonValue
from torch import Tensor

from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.reproduction.bench import Bench, Experiment, Numbers
from conceptrevive.experiments.reproduction.recipes import Erased
from conceptrevive.intervals import wilson
from conceptrevive.revival.completion.covariance import column_model
from conceptrevive.revival.completion.problems import Completion, prepare
from conceptrevive.revival.completion.solvers import complete
from conceptrevive.revival.defaults import TOP_K
from conceptrevive.revival.signs import retain_signs

SOLVERS = ("conditional", "paper")
GROUPS = 5
#: Claims lie between a coin's and certainty.
BINS = 5

Entries = Float[Tensor, " entries"]
Answers = Bool[Tensor, " entries"]


def rate(right: Answers) -> Numbers:
    """A share of right signs with its Wilson interval."""
    hits, n = int(right.sum()), len(right)
    low, high = wilson(hits, n)
    return {"value": hits / n if n else None, "interval": [low, high], "n": n}


def fifths(right: Answers, magnitude: Entries) -> list[Answers]:
    """`right` in five groups of equal size, from the smallest magnitude to the largest."""
    order = magnitude.argsort(stable=True)
    return [right[part] for part in torch.tensor_split(order, GROUPS)]


def claims(
    name: str, weight: Float[Tensor, "rows columns"], completion: Completion
) -> Float[Tensor, "rows columns"]:
    """How sure the column model is of each sign, in [1/2, 1].

    Given all other entries of its column, entry i is normal with variance 1 / K_ii, so its sign is
    right with probability Φ(|x_i| √K_ii). The other missing entries are taken as known. That pruned
    entries are larger than those that survived the model does not know: it claims too little.
    """
    problem = prepare(name, weight, completion.mask, None, exact=False)
    k, _ = column_model(problem.z[None], name=name)
    precision = torch.zeros(len(weight), dtype=torch.float64)
    precision[problem.rows.cpu()] = k[0].diagonal().double().cpu() / float(problem.scale) ** 2
    sigmas = completion.unrounded.double().cpu().abs() * precision.sqrt()[:, None]
    sure: Tensor = torch.special.ndtr(sigmas)
    return sure


def calibration(right: Answers, claimed: Entries) -> tuple[list[JsonValue], float]:
    """Per bin of the claim its mean and the share of right signs; the expected calibration error.

    The error is the mean distance of claim and share, each bin by its entries (Naeini et al. 2015).
    """
    at = ((claimed - 0.5) * 2 * BINS).long().clamp(0, BINS - 1)
    bins: list[JsonValue] = []
    error = 0.0
    for i in range(BINS):
        here = at == i
        if not here.any():
            continue
        mean = float(claimed[here].mean())
        bins.append({"claimed": mean, **rate(right[here])})
        error += abs(mean - float(right[here].double().mean())) * int(here.sum()) / len(right)
    return bins, error


def joined(parts: Iterable[Tensor]) -> Tensor:
    """Entries of all layers."""
    return torch.cat(list(parts))


def found(erased: Erased, completions: dict[str, Completion]) -> Numbers:
    """All that is said of one concept's completed signs."""
    layers: Numbers = {}
    rights, kepts, claimed = [], [], []
    completed: list[list[Answers]] = []
    original: list[list[Answers]] = []
    for name, c in completions.items():
        w = erased.original[name]
        there = c.mask & (w != 0)
        right = (c.unrounded.sign() == w.sign())[there].cpu()
        kept = right[(retain_signs(c) != 0)[there].cpu()]
        layers[name] = {"all": rate(right), "kept": rate(kept)}
        rights.append(right)
        kepts.append(kept)
        completed.append(fifths(right, c.unrounded[there].abs().float().cpu()))
        original.append(fifths(right, w[there].abs().float().cpu()))
        claimed.append(claims(name, erased.pruned[name], c)[there.cpu()])
    bins, error = calibration(joined(rights), joined(claimed))
    return {
        "all": rate(joined(rights)),
        "kept": {"top_k": TOP_K, **rate(joined(kepts))},
        "layers": layers,
        "completed_fifths": [rate(joined(group)) for group in zip(*completed, strict=True)],
        "original_fifths": [rate(joined(group)) for group in zip(*original, strict=True)],
        "calibration": bins,
        "calibration_error": error,
    }


def cells(bench: Bench) -> list[Cell]:
    """Every concept under our solver and the paper's."""
    return bench.rows("accuracy", SOLVERS, n=0, retained=0)


def measure(bench: Bench, cell: Cell) -> Found:
    """The signs of one concept, completed by one solver."""
    erased = bench.erased_of(cell)
    if cell.recipe == SOLVERS[0]:
        completions = erased.completed
    else:
        completions = complete(erased.pruned, erased.masks, solver="paper")
    return Found(numbers={"pruned_fraction": erased.masks.fraction, **found(erased, completions)})


EXPERIMENT = Experiment(cells, measure, pooled=False)
