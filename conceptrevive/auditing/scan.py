"""The audit's first pass: every tensor of a file once through a small buffer, counted on the bits of its entries.

The sign bit is cleared in place; then magnitudes order like unsigned integers in every float dtype, 0 is 0, and NaN and
Inf lie above the largest finite number. Nothing is converted and no tensor is held.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from conceptrevive.checkpoints.headers import Entry, Header
from conceptrevive.checkpoints.tensors import fill, opened

BUFFER = 1 << 20  # bytes: stays in the processor's cache

LONGEST = 1 << 26  # bytes of one row; longer ones count as a vector

SAMPLED, LOOKED = (
    4,
    1024,
)  # rows looked at for grids, and entries of each: bfloat16 repeats itself in longer ones

#: dtype → (unsigned integer of its width, bits of Inf or, without one, of the least NaN).
LAYOUT = {
    "F64": (np.uint64, 0x7FF0 << 48), "F32": (np.uint32, 0x7F80_0000), "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80), "F8_E5M2": (np.uint8, 0x7C), "F8_E4M3": (np.uint8, 0x7F),
}  # fmt: skip


@dataclass(frozen=True)
class TensorScan:
    """What one pass over a tensor counts.

    Attributes:
        name, shape, dtype: as in the file.
        zeros: entries that are ±0. nonfinite: rows with NaN or Inf.
        dead_rows: rows of zeros only.
        ties: entries at ± their row's maximum, beyond one, per row; rows of zeros or with NaN not counted, and of large
            tensors every fourth buffer.
        levels: distinct magnitudes over entries in a few rows; near 0 on a coarse grid, 1 where all differ.
        digest: of its first magnitudes; orders tensors whatever they are called.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    zeros: int
    nonfinite: int
    dead_rows: int
    ties: float
    levels: float
    digest: int = 0

    @property
    def rows(self) -> int:
        """Length of the first axis; 1 for a vector."""
        return self.shape[0] if len(self.shape) > 1 else 1

    @property
    def numel(self) -> int:
        """Entries."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def is_matrix(self) -> bool:
        """Whether it is large enough for the matrix tests: at least 4 × 4 and 64 entries once flattened to two axes."""
        return (
            len(self.shape) > 1
            and self.rows >= 4
            and self.numel // max(1, self.rows) >= 4
            and self.numel >= 64
        )


@dataclass
class Room:
    """Memory that passes share, so that it stays in the cache."""

    bits: np.ndarray = field(default_factory=lambda: np.empty(BUFFER, np.uint8))
    equal: np.ndarray = field(default_factory=lambda: np.empty(BUFFER, bool))

    def of(self, size: int, kind: type) -> tuple[np.ndarray, np.ndarray]:
        """Room for `size` entries of `kind`, and for as many truth values."""
        if size * np.dtype(kind).itemsize > len(self.bits):
            self.bits = np.empty(size * np.dtype(kind).itemsize, np.uint8)
        if size > len(self.equal):
            self.equal = np.empty(size, bool)
        return self.bits[: size * np.dtype(kind).itemsize].view(kind), self.equal[:size]


def scan_tensor(entry: Entry, file, room: Room | None = None) -> TensorScan:
    """One pass over one float tensor."""
    kind, infinite = LAYOUT[entry.dtype]
    width = np.dtype(kind).itemsize
    rows = entry.shape[0] if len(entry.shape) > 1 else 1
    columns = entry.numel // rows if rows else 0
    if columns * width > LONGEST:
        rows, columns = -(-entry.numel // (BUFFER // width)), BUFFER // width
    if not columns:
        return TensorScan(entry.name, entry.shape, entry.dtype, 0, 0, 0, 0, 1.0)
    step = max(1, BUFFER // (columns * width))
    buffer, equal = (room or Room()).of(min(step, rows) * columns, kind)
    equal = equal.reshape(-1, columns)
    zeros = nonfinite = dead = ties = ranked = 0
    digest, distinct = 0, []
    for turn, at in enumerate(range(entry.start, entry.end, step * columns * width)):
        size = min(step * columns * width, entry.end - at)
        part = buffer[: size // width]
        fill(file, at, memoryview(part).cast("B"))
        part &= np.iinfo(kind).max >> 1
        digest = digest or crc32(part[:1024].tobytes())
        zeros += part.size - int(np.count_nonzero(part))
        whole = part[: part.size // columns * columns].reshape(-1, columns)
        if whole.size < part.size:
            nonfinite += bool(part.max() >= infinite)
        top = whole.max(axis=1, initial=0)
        bad, empty = top >= infinite, top == 0
        nonfinite, dead = nonfinite + int(bad.sum()), dead + int(empty.sum())
        if turn % 4 == 0:
            at_top = np.equal(whole, top[:, None], out=equal[: len(whole)])
            if bad.any() or empty.any():
                at_top = at_top[~bad & ~empty]
            ties, ranked = ties + int(np.count_nonzero(at_top)) - len(at_top), ranked + len(at_top)
        if len(distinct) < SAMPLED and len(whole):
            for row in whole[:: max(1, len(whole) // SAMPLED)][: SAMPLED - len(distinct)]:
                there = np.sort(row[:LOOKED])
                there = there[np.searchsorted(there, 1) :]
                distinct += (
                    [(1 + np.count_nonzero(np.diff(there))) / len(there)] if len(there) else []
                )
    levels = float(np.median(distinct)) if distinct else 1.0
    return TensorScan(
        entry.name,
        entry.shape,
        entry.dtype,
        zeros,
        nonfinite,
        dead,
        ties / max(1, ranked),
        levels,
        digest,
    )


def scan(header: Header, threads: int = 1) -> list[TensorScan]:
    """`scan_tensor` for every float tensor of a file, in the order of its bytes; other tensors are passed over.

    Args:
        threads: how many read and count at a time, each with its own buffer.
    """
    entries = [e for e in header.entries.values() if e.dtype in LAYOUT]

    def work(first: int) -> list[TensorScan]:
        with opened(header) as f:
            room = Room()
            return [scan_tensor(e, f, room) for e in entries[first::threads]]

    if threads == 1:
        return work(0)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(work, range(threads)))
    return [parts[i % threads][i // threads] for i in range(len(entries))]
