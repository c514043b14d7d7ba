"""Which entries of a stack of matrices are missing, column by column, in parts of equal work.

Columns are independent given the covariance of the rows, so each is a system of its own. They are
gathered few missing entries first, padded a little where numbers differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from conceptrevive.revival.completion.occupancy import places_of

#: Entries of K gathered at a time: 4 MiB in float32, which a processor's cache holds.
GATHER_ENTRIES = 1 << 20

#: Columns padded to m entries have at least (m − PADDING_ENTRIES) / PADDING_FACTOR.
PADDING_FACTOR, PADDING_ENTRIES = 1.1, 2


@dataclass(frozen=True)
class Missing:
    """The missing entries of a stack of matrices, sorted by layer, column and row.

    Attributes:
        layer, column: the columns that miss something.
        count, first: how many entries each misses, and where they begin in `row` and `flat`.
        row: of each missing entry. flat: its place in the flattened stack.
        rows: how many rows the matrices have.
    """

    layer: Int[Tensor, " used"]
    column: Int[Tensor, " used"]
    count: Int[Tensor, " used"]
    first: Int[Tensor, " used"]
    row: Int[Tensor, " entries"]
    flat: Int[Tensor, " entries"]
    rows: int

    @classmethod
    def of(cls, missing: Bool[Tensor, "layers rows columns"]) -> Self:
        """Read off a mask, True where an entry is missing."""
        layers, rows, columns = missing.shape
        place = places_of(missing)
        layer, row, column = place // (rows * columns), place // columns % rows, place % columns
        key = layer * columns + column
        key, order = (key.int() if layers * columns < 2**31 else key).sort(stable=True)
        begins = torch.ones_like(key, dtype=torch.bool)
        begins[1:] = key[1:] != key[:-1]
        first = begins.nonzero().squeeze(1)
        count = first.diff(append=first.new_tensor([len(key)]))
        used, row = key[first].long(), row[order]
        layer, column = used // columns, used % columns
        flat = (layer * rows * columns + column).repeat_interleave(count) + row * columns
        return cls(layer, column, count, first, row, flat, rows)

    def part(self, which: Int[Tensor, " c"], most: int) -> Columns:
        """Some of the columns, `most` the largest number of entries that one of them misses."""
        place = torch.arange(most, device=which.device)
        valid = place < self.count[which, None]
        at = (self.first[which, None] + place)[valid]
        slots = valid.flatten().nonzero().squeeze(1)
        rows = torch.full(valid.shape, self.rows, device=which.device)
        rows.view(-1)[slots] = self.row[at]
        return Columns(self.layer[which], self.column[which], rows, valid, slots, at, self.flat[at])

    def whole(self, which: Int[Tensor, " c"]) -> Columns:
        """Some of the columns with a place for each of their rows."""
        count = self.count[which]
        begin = self.first[which] - (count.cumsum(0) - count)
        at = torch.arange(int(count.sum()), device=which.device) + begin.repeat_interleave(count)
        owner = torch.arange(len(which), device=which.device).repeat_interleave(count)
        slots = owner * self.rows + self.row[at]
        valid = torch.zeros(len(which), self.rows, dtype=torch.bool, device=which.device)
        valid.view(-1)[slots] = True
        rows = torch.arange(self.rows, device=which.device).expand_as(valid)
        return Columns(self.layer[which], self.column[which], rows, valid, slots, at, self.flat[at])

    def few(self, limit: float, entries: int = GATHER_ENTRIES) -> Iterator[Columns]:
        """Columns that miss at most `limit` entries, few first.

        In parts of about `entries` numbers of K.
        """
        which = (self.count <= limit).nonzero().squeeze(1)
        count, order = self.count[which].sort(stable=True)
        which, sizes = which[order], count.tolist()
        first = 0
        while first < len(sizes):
            last, most = first + 1, PADDING_FACTOR * sizes[first] + PADDING_ENTRIES
            while (
                last < len(sizes)
                and sizes[last] <= most
                and (last + 1 - first) * sizes[last] ** 2 <= entries
            ):
                last += 1
            yield self.part(which[first:last], sizes[last - 1])
            first = last

    def many(self, limit: float) -> Iterator[Columns]:
        """The others, layer by layer, each with all of its rows."""
        which = (self.count > limit).nonzero().squeeze(1)
        for layer in sorted(set(self.layer[which].tolist())):
            yield self.whole(which[self.layer[which] == layer])


@dataclass(frozen=True)
class Columns:
    """Some columns of a stack, an unknown per missing entry, padded to one length.

    Attributes:
        layer, column: which matrix of the stack and which of its columns.
        rows: row of each missing entry; where padded, any or one past the last.
        valid: False where padded. slots: the places that are not, in the flattened (c, m).
        at, flat: of each slot the index into `Missing`'s entries, and into the flattened stack.
    """

    layer: Int[Tensor, " c"]
    column: Int[Tensor, " c"]
    rows: Int[Tensor, "c m"]
    valid: Bool[Tensor, "c m"]
    slots: Int[Tensor, " n"]
    at: Int[Tensor, " n"]
    flat: Int[Tensor, " n"]

    def pad(self, values: Float[Tensor, " n"]) -> Float[Tensor, "c m"]:
        """Values of the missing entries in their places, 0 where padded."""
        out = torch.zeros(self.valid.shape, dtype=values.dtype, device=values.device)
        out.view(-1)[self.slots] = values
        return out

    def gather(self, x: Float[Tensor, "layers rows columns"]) -> Float[Tensor, "c m"]:
        """x at the missing entries, 0 where padded."""
        return self.pad(x.flatten()[self.flat])

    def write(self, values: Float[Tensor, "c m"], x: Float[Tensor, "layers rows columns"]) -> None:
        """Put the missing entries into a contiguous stack."""
        x.view(-1)[self.flat] = values.flatten()[self.slots]

    def blocks(
        self, k: Float[Tensor, "layers rows_and_one rows_and_one"]
    ) -> Float[Tensor, "c m m"]:
        """K_mm of every column, the identity where padded.

        Args:
            k: with a last row and column of zeros, which padding reads.
        """
        size = k.shape[-1]
        index = torch.int32 if k.numel() < 2**31 else torch.int64
        rows = self.rows.to(index)
        place = (self.layer.to(index)[:, None] * size + rows)[:, :, None] * size + rows[:, None, :]
        block = k.flatten().index_select(0, place.flatten()).view(place.shape)
        block.diagonal(dim1=-2, dim2=-1).add_((~self.valid).to(k.dtype))
        return block
