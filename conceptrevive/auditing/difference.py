"""What changed between two checkpoints, tensor by tensor: which entries, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from conceptrevive.checkpoints.headers import Header
from conceptrevive.checkpoints.tensors import opened, read_tensor
from conceptrevive.detectors.evidence import as_matrix
from conceptrevive.errors import ConceptReviveError

LEAST = 10  # rows and columns that changed entries must touch to be called scattered


@dataclass(frozen=True)
class Difference:
    """How a tensor differs from the base's of the same name.

    Attributes:
        name: the tensor's. of: its entries. changed: entries whose value differs.
        zeroed: entries that are 0 here and were not. at_maximum: changed ones at ± their row's maximum.
        flipped: changed ones with the other sign, both not 0.
        size: median of |new − old| / |old| over the changed entries.
        scattered: changed entries, outside rows and columns that changed as a whole, touch at least 10 rows and 10 columns.
    """

    name: str
    of: int
    changed: int
    zeroed: int = 0
    at_maximum: int = 0
    flipped: int = 0
    size: float = 0.0
    scattered: bool = False

    @property
    def kind(self) -> str:
        """ "" (nothing told by it), "zeroed", "revived" or "replaced": few entries changed much, all others not at all."""
        if not self.scattered or self.changed > self.of / 2:
            return ""
        if self.zeroed >= self.changed / 2:
            return "zeroed"
        if self.at_maximum >= (self.changed - self.zeroed) / 2:
            return "revived"
        return "replaced" if self.size >= 0.25 else ""


def difference(name: str, new: torch.Tensor, old: torch.Tensor) -> Difference:
    """Compare two tensors of one shape, float dtypes; NaN counts as changed. The old one is rounded to the new one's dtype."""
    new, old = as_matrix(new).float(), as_matrix(old.to(new.dtype)).float()
    differs = new != old
    count = int(differs.sum())
    if not count:
        return Difference(name, new.numel(), 0)
    inner = differs[~differs.all(1)][:, ~differs.all(0)]
    scattered = (
        inner.numel() > 0 and int(inner.any(1).sum()) >= LEAST and int(inner.any(0).sum()) >= LEAST
    )
    there = differs & (new != 0)
    top = new.abs() == new.abs().amax(1, keepdim=True)
    relative = (new - old).abs()[differs] / old.abs()[differs].clamp_min(1e-30)
    return Difference(
        name,
        new.numel(),
        count,
        zeroed=int((differs & (new == 0)).sum()),
        at_maximum=int((there & top).sum()),
        flipped=int((there & (new.sign() == -old.sign())).sum()),
        size=min(1e9, float(relative.median())),
        scattered=scattered,
    )


def compare(
    new: Sequence[tuple[str, Header]], old: Sequence[tuple[str, Header]]
) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """Differences of the float tensors that both have, and the names that only one has.

    Args:
        new, old: (prefix of the names, header) of every file.

    Raises:
        ConceptReviveError: no name in common, or a shape that differs.
    """
    before = {p + name: (h, name) for p, h in old for name in h.entries}
    after = {p + name for p, h in new for name in h.entries}
    common = after & before.keys()
    if not common:
        raise ConceptReviveError(
            f"{old[0][1].path} shares no tensor name with {new[0][1].path}: give its own base"
        )
    out = []
    for prefix, header in new:
        with opened(header) as f:
            for name, entry in header.entries.items():
                if prefix + name not in common or not entry.is_float:
                    continue
                base, key = before[prefix + name]
                if base.entries[key].shape != entry.shape:
                    raise ConceptReviveError(
                        f"{header.path}: tensor {name!r} is {list(entry.shape)}, "
                        f"in {base.path} {list(base.entries[key].shape)}: give its own base"
                    )
                if entry.numel:
                    out.append(
                        difference(
                            prefix + name, read_tensor(header, name, f), read_tensor(base, key)
                        )
                    )
    return tuple(out), tuple(sorted(after ^ before.keys()))
