"""Which entries between two checkpoints tell what was done: zeroed, changed, or far ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Entries = Literal["zeroed", "changed", "moved"]

ENTRIES: tuple[Entries, ...] = get_args(Entries)

#: How far a moved weight is from its original, in standard deviations of the original layer:
#: rounding to any format of 16 bits moves none of a normal layer's weights by a fifth of that.
FAR = 0.1

#: Of weights that training changed fewer than these come to be exactly 0.
BY_CHANCE = 1e-3


def entries_between(
    new: Float[Tensor, "rows columns"], old: Float[Tensor, "rows columns"], far: float = FAR
) -> dict[Entries, Bool[Tensor, "rows columns"]]:
    """Which entries differ between two matrices, compared in the coarser of their dtypes.

    "zeroed": 0 in `new` and not in `old`; "changed": of another value; "moved": of one that is more
    than `far` standard deviations of `old` away. Zeroed and moved ones are changed ones too.
    """
    a, b = _comparable(new, old)
    changed = a != b
    moved = changed & ((a - b).abs() > far * float(b.std(correction=0)))
    return {"zeroed": changed & (a == 0), "changed": changed, "moved": moved}


@dataclass
class Tally:
    """How layers differ, added up.

    Attributes:
        counts: {"zeroed", "changed", "moved": how many entries}.
        fits: {which entries tell what was done in a layer: how many changed in such layers}.
        trained, far_off: entries, and moved ones, of layers in which most entries changed.
        farthest: the largest change in those, in standard deviations of the original layer.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, ENTRIES), 0))
    fits: Counter[Entries] = field(default_factory=Counter)
    trained: int = 0
    far_off: int = 0
    farthest: float = 0.0

    def add(
        self,
        between: Mapping[Entries, Bool[Tensor, "rows columns"]],
        new: Float[Tensor, "rows columns"],
        old: Float[Tensor, "rows columns"],
    ) -> None:
        """Count one layer, of which `entries_between` said this."""
        zeroed, changed, moved = (int(between[each].sum()) for each in ENTRIES)
        for each, count in zip(ENTRIES, (zeroed, changed, moved), strict=True):
            self.counts[each] += count
        if zeroed >= changed / 2:
            self.fits["zeroed"] += changed
        elif changed <= new.numel() / 2:  # all others are as they were
            self.fits["changed"] += changed
        else:
            self.fits["moved"] += changed
            self.trained += new.numel()
            self.far_off += moved
            a, b = _comparable(new, old)
            if spread := float(b.std(correction=0)):
                self.farthest = max(self.farthest, float((a - b).abs().max()) / spread)

    @property
    def fit(self) -> Entries:
        """Which entries tell what was done where most was: zeroed weights; few others, which all
        are meant; or, where training changed nearly all a little, those that went far.
        """
        return max(ENTRIES, key=lambda each: self.fits[each])

    def suggestion(self, asked: Entries, far: float) -> str:
        """Why these entries and no others, and what to give: of what was found and not asked for.

        Empty where what was asked for fits, or nothing changed.
        """
        fit, c = self.fit, self.counts
        if not c["changed"]:
            return ""
        if fit == "zeroed":
            missed = asked == "moved" and c["moved"] < c["changed"]
            return "most of these are 0 now: give --entries zeroed" if missed else ""
        if fit == "changed":
            missed = asked != "changed" and c[asked] < c["changed"]
            return "all others are as they were: give --entries changed" if missed else ""
        if asked == "zeroed" and c["zeroed"] > BY_CHANCE * c["changed"]:
            return ""  # pruned, then trained on
        if self.far_off > self.trained / 2:
            return (
                f"most weights are further than {far:g} standard deviations from the original's: "
                "give the model it was made from, or --entries moved with a larger --far"
            )
        if asked == "moved" and self.far_off:
            return ""
        why = "nearly all weights changed, as training changes them: give --entries moved"
        return why if self.far_off else f"{why} --far {self.farthest / 2:.2g}"


def _comparable(new: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32, rounded to the coarser of their dtypes."""
    coarse = max(new.dtype, old.dtype, key=lambda dtype: torch.finfo(dtype).eps)
    return new.to(coarse).float(), old.to(coarse).float()
