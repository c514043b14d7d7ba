"""Checks of `notebooks/11_other_locators.py`."""

from __future__ import annotations

from functools import partial
from operator import ge, gt
from typing import Any

import torch

from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    as_tensor,
    exercise,
    right,
    wrong,
)


@exercise(
    "other_locators.1",
    mistaken=(
        0.5,
        lambda g: 0.0,
        lambda g: (torch.stack(g).sum(0).abs().sum() / torch.stack(g).abs().sum()).item(),
        lambda g: 1 - (torch.stack(g).sum().abs() / torch.stack(g).abs().sum()).item(),
        lambda g: 1 - (torch.stack(g).sum(0).abs() / torch.stack(g).abs().sum(0)).mean().item(),
    ),
)
def lost_by_cancelling(answer: Any) -> Verdict:
    """1 − Σ|Σ g| / Σ Σ|g|."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(11)
    for shape, batches in (((40,), 2), ((6, 9), 5)):
        scale = torch.rand(shape, generator=generator) ** 3
        found = [torch.randn(shape, generator=generator) * scale for _ in range(batches)]
        together = torch.stack(found)
        kept = (together.sum(0).abs().sum() / together.abs().sum()).item()
        value = as_number(given(found))
        if abs(value - kept) < 1e-4:
            return wrong("that is what is left; how much is lost?")
        if abs(value - (1 - kept)) > 1e-4:
            return wrong("it is another share: batches cancel entry by entry, then all are summed.")
    return right("what the batches disagree on counts for SNIP, and hardly for SalUn.")


@exercise(
    "other_locators.2",
    mistaken=(
        2.0,
        lambda one, other: 1.0,
        lambda one, other: sum(int((one[n] & other[n]).sum()) for n in one),
        lambda one, other: (
            sum(float((one[n] & other[n]).float().mean()) for n in one)
            / sum(float(one[n].float().mean() * other[n].float().mean()) for n in one)
        ),
    ),
)
def times_chance(answer: Any) -> Verdict:
    """|A ∩ B| · N / (|A| · |B|) over all layers together."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(12)
    for p in (0.1, 0.4):
        one, other = {}, {}
        for name, shape in (("a", (20, 50)), ("b", (5, 8))):
            drawn = torch.rand(shape, generator=generator)
            one[name] = drawn < p
            other[name] = (drawn < p / 2) | (torch.rand(shape, generator=generator) < p)
        size = sum(m.numel() for m in one.values())
        a, b = (sum(int(m.sum()) for m in masks.values()) for masks in (one, other))
        both = sum(int((one[n] & other[n]).sum()) for n in one)
        if abs(as_number(given(one, other), 0) / (both * size / (a * b)) - 1) > 1e-4:
            return wrong("it is another number: count over all layers before you divide.")
    return right("near 1 is chance; the number says nothing of how large the masks are.")


def _row(method: str, budget: float, erased: float, retained: float) -> dict[str, Any]:
    return {"method": method, "budget": budget, "erased": erased, "retained": retained}


_ROWS = [
    _row("a", 0.1, 0.0, 0.5),
    _row("a", 0.03, 0.2, 0.8),
    _row("a", 0.02, 0.2, 0.9),
    _row("a", 0.001, 0.7, 1.0),
    _row("b", 0.001, 0.1, 0.95),
    _row("b", 0.002, 0.0, 0.6),
]


def _chosen(retains: Any, rows: Any, method: str, least: float) -> Any:
    """The rule of the exercise but for which rows retain enough, and of equals the first."""
    mine = [r for r in rows if r["method"] == method]
    fit = [r for r in mine if retains(r["retained"], least)]
    if not fit:
        return max(mine, key=lambda r: r["retained"])
    return min(fit, key=lambda r: r["erased"])


@exercise(
    "other_locators.3",
    mistaken=(
        0.003,
        lambda rows, method, least: None,
        lambda rows, method, least: min(rows, key=lambda r: r["erased"]),
        partial(_chosen, gt),
        partial(_chosen, ge),
        lambda rows, method, least: min(
            (r for r in rows if r["method"] == method and r["retained"] >= least),
            key=lambda r: (r["erased"], r["budget"]),
            default=None,
        ),
    ),
)
def chosen_budget(answer: Any) -> Verdict:
    """Least erased of those that retain enough, of equals the smaller budget; or most retained."""
    given = as_function(answer)
    wanted = (("a", 0.8, 2), ("a", 0.5, 0), ("a", 0.95, 3), ("b", 0.8, 4), ("b", 0.5, 5))
    for rows in (_ROWS, _ROWS[::-1]):
        for method, least, place in wanted:
            if given(list(rows), method, least) != _ROWS[place]:
                return wrong(f"it is another row where {least:g} must be retained.")
        if given(list(rows), "b", 0.99) != _ROWS[4]:
            return wrong("it is another row where none retains as much: the one that retains most.")
    return right("chosen by what is erased and kept, never by what can be revived.")


@exercise(
    "other_locators.4",
    mistaken=(
        0.0,
        lambda w, g, m, lr: w - lr * g,
        lambda w, g, m, lr: w - lr * g * m,
        lambda w, g, m, lr: torch.where(m, w + lr * g, w),
        lambda w, g, m, lr: torch.where(m, w - lr * g, torch.zeros_like(w)),
    ),
)
def step_on_a_mask(answer: Any) -> Verdict:
    """W − lr · G where located, W itself elsewhere."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(14)
    w, g = (torch.randn(7, 11, generator=generator, dtype=torch.float64) for _ in range(2))
    m = torch.rand(w.shape, generator=generator) < 0.4
    bad = torch.where(m, g, float("inf"))
    for gradient in (g, bad):
        found = as_tensor(given(w.clone(), gradient, m, 0.1), w.shape)
        if not torch.equal(found[~m], w[~m]):
            return wrong("a weight that is not located has changed.")
        if not torch.allclose(found[m], (w - 0.1 * g)[m]):
            return wrong("a located weight should go against its gradient, lr times as far.")
    return right("so whoever compares with the original sees exactly what was located.")
