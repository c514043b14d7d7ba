"""What changed between two checkpoints, tensor by tensor: which entries, and what they became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from conceptrevive.checkpoints.headers import Entry, Header, quoted
from conceptrevive.checkpoints.tensors import opened, read_tensor
from conceptrevive.detectors.evidence import as_matrix
from conceptrevive.errors import ConceptReviveError

LEAST = 10  # rows and columns that changed entries must touch to be called scattered

COPY = ".safetensors/"  # how prefixes of files end that stand by themselves

#: {prefix: {name of a tensor: the header that has it}}.
Parts = dict[str, dict[str, Header]]


@dataclass(frozen=True)
class Difference:
    """How a tensor differs from the base's of the same name.

    Attributes: name: the tensor's. of: its entries. changed: entries whose value differs. zeroed:
        entries that are 0 here and were not. at_maximum: changed ones at ± their row's maximum.
        flipped: changed ones with the other sign, both not 0. size: median of |new − old| / |old|
        over the changed entries. scattered: changed entries, outside rows and columns that changed
        as a whole, touch at least 10 rows and 10 columns.
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
        """ "" (nothing told by it), "zeroed", "revived" or "replaced": few entries changed much,
        all others not at all.
        """
        if not self.scattered or self.changed > self.of / 2:
            return ""
        if self.zeroed >= self.changed / 2:
            return "zeroed"
        if self.at_maximum >= (self.changed - self.zeroed) / 2:
            return "revived"
        return "replaced" if self.size >= 0.25 else ""


def difference(name: str, new: torch.Tensor, old: torch.Tensor) -> Difference:
    """Compare two tensors of one shape, float dtypes; NaN counts as changed. The old one is rounded
    to the new one's dtype.
    """
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

    Parts of a pipeline are matched by their folder, and a part that stands alone on either side
    with the part of the other that shares most of its tensors' names and shapes.

    Args:
        new, old: (prefix of the names, header) of every file.

    Raises:
        ConceptReviveError: no name in common, or a shape that differs.
    """
    there, before = _parts(new), _parts(old)
    pairs = _paired(there, before)
    if not pairs:
        raise ConceptReviveError(
            f"{old[0][1].path} shares no tensor name with {new[0][1].path}: give its own base"
        )
    out = []
    for prefix, header in new:
        base = before[pairs[prefix]] if prefix in pairs else {}
        with opened(header) as f:
            for name, entry in header.entries.items():
                if name not in base or entry.unread or not entry.numel:
                    continue
                other = base[name]
                if _same_shape(entry, header, other):
                    a, b = read_tensor(header, name, f), read_tensor(other, name)
                    out.append(difference(prefix + name, a, b))
    return tuple(out), _unmatched(there, before, pairs)


def _parts(files: Sequence[tuple[str, Header]]) -> Parts:
    out: Parts = {}
    for prefix, header in files:
        out.setdefault(prefix, {}).update(dict.fromkeys(header.entries, header))
    return out


def _paired(new: Parts, old: Parts) -> dict[str, str]:
    """{prefix in new: prefix in old} of the parts that belong together."""
    pairs = {p: p for p in new if p in old and new[p].keys() & old[p].keys()}
    alone = len(new) == 1 or len(old) == 1
    if pairs or not alone:
        return pairs
    common = {(p, q): _in_common(new[p], old[q]) for p in new for q in old}
    best = max(common, key=lambda pair: common[pair])
    return dict([best]) if any(common[best]) else {}


def _in_common(new: dict[str, Header], old: dict[str, Header]) -> tuple[int, int]:
    """How many tensors agree in name and shape, and in name."""
    names = [name for name in new if name in old]
    shapes = sum(new[n].entries[n].shape == old[n].entries[n].shape for n in names)
    return shapes, len(names)


def _same_shape(entry: Entry, header: Header, base: Header) -> bool:
    """Whether the base's tensor can be compared, too: it holds floats. Raises where its shape
    differs.
    """
    other = base.entries[entry.name]
    if other.shape != entry.shape:
        raise ConceptReviveError(
            f"{header.path}: tensor {quoted(entry.name)} is {list(entry.shape)}, "
            f"in {base.path} {list(other.shape)}: give its own base"
        )
    return not other.unread


def _unmatched(new: Parts, old: Parts, pairs: dict[str, str]) -> tuple[str, ...]:
    """Tensors that only one has. Of a pipeline that a part was compared with, the other parts are
    no lack, nor are the base's other copies of its weights.
    """
    out = {p + n for p in new for n in new[p].keys() - old.get(pairs.get(p, ""), {}).keys()}
    for p, q in pairs.items():
        out |= {p + n for n in old[q].keys() - new[p].keys()}
    if all(p == q for p, q in pairs.items()):
        parts = [q for q in old if q not in pairs.values() and not q.endswith(COPY)]
        out |= {q + n for q in parts for n in old[q]}
    return tuple(sorted(out))
