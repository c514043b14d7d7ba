"""Checks of `notebooks/17_your_own.py`."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.presets import Layer
from conceptrevive.teaching.exercises import (
    Misfit,
    Verdict,
    as_function,
    as_tensor,
    exercise,
    right,
    wrong,
)


@cache
def _there() -> tuple[Layer, ...]:
    """The layers of the pocket model, from its files' headers."""
    from conceptrevive.checkpoints.contents import open_checkpoint
    from conceptrevive.checkpoints.selection import inventory

    return tuple(inventory(open_checkpoint("pocket", components=None)))


@exercise(
    "your_own.1",
    mistaken=(
        "text",
        "attention",
        "to_k,to_v",
        "attn2.to_k,attn2.to_v",
        "attn2.to_k,attn2.to_v,text-mlp",
        "attn2.*,text_encoder/*.fc2",
        lambda layer: layer.name.endswith(("attn2.to_k", "attn2.to_v", "fc2")),
    ),
)
def what_reads_text(answer: Any) -> Verdict:
    """Exercise 1: keys and values of cross-attention, and the second layers of text blocks."""
    from conceptrevive.models.selection import Selection

    if not isinstance(answer, str):
        return wrong("give one text, as --layers takes it.")
    wanted = {
        x.key
        for x in _there()
        if (x.denoises and x.name.endswith(("attn2.to_k", "attn2.to_v")))
        or (x.encodes_text and x.name.endswith("fc2"))
    }
    try:
        taken = set(Selection.of(answer).choose(_there(), "the pocket model").layers)
    except ConceptReviveError as e:
        return wrong(f"{e}")
    if extra := sorted(taken - wanted):
        return wrong(f"{extra[0]} is taken too.")
    if missed := sorted(wanted - taken):
        return wrong(f"{missed[0]} is not taken.")
    return right(f"{len(taken)} layers, all through which the text goes on its way to the UNet.")


def _layer(seed: int) -> tuple[Tensor, Tensor]:
    """A weight whose masked entries are loud nonsense, and its mask."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(12, 40, generator=generator) * torch.linspace(0.5, 2, 12)[:, None]
    mask = torch.rand(weight.shape, generator=generator) < 0.3
    return torch.where(mask, 100.0, weight), mask


@exercise(
    "your_own.2",
    mistaken=(
        0.5,
        lambda w, m, g: w.abs().median(1, keepdim=True).values,
        lambda w, m, g: torch.where(m, 0, w).abs().median(1, keepdim=True).values,
        lambda w, m, g: torch.where(m, 0, w).abs().max(1, keepdim=True).values,
        lambda w, m, g: torch.where(m, torch.nan, w).nanmedian(1, keepdim=True).values.abs(),
        lambda w, m, g: torch.where(m, torch.nan, w).abs().nanmedian(1).values,
        lambda w, m, g: w[~m].abs().median().expand(len(w), 1),
    ),
)
def typical_size(answer: Any) -> Verdict:
    """Exercise 2: the median |w| of a row's survivors."""
    given = as_function(answer)
    for seed in (1, 2):
        weight, mask = _layer(seed)
        alive = torch.where(mask, torch.nan, weight).abs().double()
        low = alive.nanmedian(1, keepdim=True).values
        high = alive.nanquantile(0.5, dim=1, keepdim=True, interpolation="higher")
        found = as_tensor(given(weight.clone(), mask.clone(), None), (len(weight), 1))
        if bool((found > 50).any()):
            return wrong("what stands at masked places is no survivor: leave it out.")
        if bool((found < low - 1e-5).any() or (found > high + 1e-5).any()):
            return wrong("it is another number: of each row, of |w|, and of survivors only?")
    return right("below neuron max, and less swayed by a row's one large weight than the mean.")


def _columns(masks: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        n: m.gather(0, torch.rand(m.shape, generator=generator).argsort(0))
        for n, m in masks.items()
    }


@exercise(
    "your_own.3",
    mistaken=(
        3,
        lambda masks, seed: masks,
        lambda masks, seed: _columns(masks, 0),
        lambda masks, seed: {n: m.roll(1, 0) for n, m in masks.items()},
        lambda masks, seed: {n: m.flip(0) for n, m in _columns(masks, seed).items()} | {"a": 1},
        lambda masks, seed: {
            n: m.gather(
                1, torch.rand(m.shape, generator=torch.Generator().manual_seed(seed)).argsort(1)
            )
            for n, m in masks.items()
        },
        lambda masks, seed: {n: m.float() for n, m in _columns(masks, seed).items()},
    ),
)
def same_columns(answer: Any) -> Verdict:
    """Exercise 3: as many in every column, in rows drawn from a seed."""
    given = as_function(answer)
    source = torch.Generator().manual_seed(17)
    share = torch.rand(30, generator=source)
    masks = {n: torch.rand(rows, 30, generator=source) < share for n, rows in (("a", 60), ("b", 9))}
    drawn: dict[int, list[Tensor]] = {}
    for seed in (4, 4, 5):
        found = given({n: m.clone() for n, m in masks.items()}, seed)
        if set(found) != set(masks):
            raise Misfit(f"return a mask for each layer, {', '.join(masks)}.")
        for name, mask in masks.items():
            new = found[name]
            if not isinstance(new, Tensor) or new.dtype != torch.bool or new.shape != mask.shape:
                raise Misfit("return boolean masks of the same shapes.")
            if not torch.equal(new.sum(0), mask.sum(0)):
                return wrong("some columns have more or fewer than before.")
        if torch.equal(found["a"], masks["a"]):
            return wrong("these are the same places as before.")
        drawn.setdefault(seed, []).append(found["a"])
    if not torch.equal(*drawn[4]):
        return wrong("one seed gives two draws: pass it to a generator of its own.")
    if torch.equal(drawn[4][0], drawn[5][0]):
        return wrong("two seeds give the same places.")
    return right("it keeps what the columns tell and drops what |w| adds.")


def _matrices(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    old = torch.randn(20, 50, generator=generator) * 0.3 + 0.2
    new = old + torch.randn(20, 50, generator=generator) * 0.05
    return new, old


@exercise(
    "your_own.4",
    mistaken=(
        0.1,
        lambda new, old, far: new != old,
        lambda new, old, far: (new - old).abs() > far,
        lambda new, old, far: new - old > far * old.std(),
        lambda new, old, far: (new - old).abs() > far * (new - old).std(),
        lambda new, old, far: (new - old).abs() > far * old.abs().mean(),
        lambda new, old, far: (new.abs() - old.abs()).abs() > far * old.std(),
    ),
)
def moved_entries(answer: Any) -> Verdict:
    """Exercise 4: |new − old| above `far` standard deviations of the original layer."""
    from conceptrevive.auditing.suggesting import entries_between

    given = as_function(answer)
    for seed, far in ((1, 0.1), (2, 0.3)):
        new, old = _matrices(seed)
        found, truth = given(new, old, far), entries_between(new, old, far)["moved"]
        if not isinstance(found, Tensor) or found.dtype != torch.bool:
            raise Misfit("return a boolean mask.")
        # Where n or n − 1 divides the variance nothing should hang on it.
        if int((as_tensor(found, old.shape) != truth).sum()) > 1:
            return wrong("another mask: how far, on either side, and in units of which spread?")
    return right("rounding moves nothing so far; an optimiser's step may.")
