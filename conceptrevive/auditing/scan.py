"""The audit's first pass: every tensor of a file once through a small buffer, counted on the bits
of its entries.

The sign bit is cleared in place; then magnitudes order like unsigned integers in every float dtype,
0 is 0, and NaN and Inf lie above the largest finite number. Nothing is converted and no tensor is
held.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from zlib import crc32

import numpy as np

from conceptrevive.checkpoints.headers import Entry, Header
from conceptrevive.checkpoints.tensors import fill, opened

BUFFER = 1 << 20  # bytes: stays in the processor's cache

LONGEST = 1 << 26  # bytes of one row; longer ones count as a vector

SAMPLED = 4  # rows whose distinct magnitudes are counted

LOOKED = 1024  # entries of each: bfloat16 repeats itself in longer ones

EVERY = 4  # of the buffers of a large tensor one in so many is searched for ties

#: dtype → (unsigned integer of its width, bits of Inf or, without one, of the least NaN).
LAYOUT: dict[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "F64": (np.uint64, 0x7FF0 << 48), "F32": (np.uint32, 0x7F80_0000), "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80), "F8_E5M2": (np.uint8, 0x7C), "F8_E4M3": (np.uint8, 0x7F),
    "F8_E5M2FNUZ": (np.uint8, 0x80), "F8_E4M3FNUZ": (np.uint8, 0x80),
}  # fmt: skip

#: Where other formats have -0, these have their only NaN.
FNUZ = ("F8_E5M2FNUZ", "F8_E4M3FNUZ")

Bits = np.ndarray[Any, Any]  # unsigned integers


@dataclass(frozen=True)
class TensorScan:
    """What one pass over a tensor counts.

    Attributes: name, shape, dtype: as in the file. zeros: entries that are ±0. nonfinite: rows with
        NaN or Inf. dead_rows: rows of zeros only. ties: entries at ± their row's maximum, beyond
        one, per row; rows of zeros or with NaN not counted, and of large tensors every fourth
        buffer. levels: distinct magnitudes over entries in a few rows; near 0 on a coarse grid, 1
        where all differ. digest: of its first magnitudes; orders tensors whatever they are called.
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
        """Whether it is large enough for the matrix tests: at least 4 × 4 and 64 entries once
        flattened to two axes.
        """
        return (
            len(self.shape) > 1
            and self.rows >= 4
            and self.numel // max(1, self.rows) >= 4
            and self.numel >= 64
        )


@dataclass
class Room:
    """Memory that passes share, so that it stays in the cache."""

    bits: Bits = field(default_factory=lambda: np.empty(BUFFER, np.uint8))
    equal: np.ndarray[Any, np.dtype[np.bool_]] = field(
        default_factory=lambda: np.empty(BUFFER, bool)
    )

    def of(
        self, size: int, kind: type[np.unsignedinteger[Any]]
    ) -> tuple[Bits, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Room for `size` entries of `kind`, and for as many truth values."""
        if size * np.dtype(kind).itemsize > len(self.bits):
            self.bits = np.empty(size * np.dtype(kind).itemsize, np.uint8)
        if size > len(self.equal):
            self.equal = np.empty(size, bool)
        return self.bits[: size * np.dtype(kind).itemsize].view(kind), self.equal[:size]


def scan_tensor(entry: Entry, file: BinaryIO, room: Room | None = None) -> TensorScan:
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
    counts = _Counts(equal.reshape(-1, columns), infinite)
    for turn, at in enumerate(range(entry.start, entry.end, step * columns * width)):
        size = min(step * columns * width, entry.end - at)
        part = buffer[: size // width]
        fill(file, at, part.view(np.uint8).data)
        _clear_signs(part, entry.dtype)
        counts.add(part, ranked=turn % EVERY == 0)
    return TensorScan(
        entry.name,
        entry.shape,
        entry.dtype,
        counts.zeros,
        counts.nonfinite,
        counts.dead,
        counts.ties / max(1, counts.ranked),
        float(np.median(counts.distinct)) if counts.distinct else 1.0,
        counts.digest,
    )


def _clear_signs(part: Bits, dtype: str) -> None:
    """Clear the sign bits in place, but keep a NaN that consists of nothing else."""
    high = np.iinfo(part.dtype).max // 2 + 1
    nan = part == high if dtype in FNUZ else None
    part &= high - 1
    if nan is not None:
        part[nan] = high


@dataclass
class _Counts:
    """What the buffers of one tensor add up to."""

    equal: np.ndarray[Any, np.dtype[np.bool_]]
    infinite: int
    zeros: int = 0
    nonfinite: int = 0
    dead: int = 0
    ties: int = 0
    ranked: int = 0
    digest: int = 0
    distinct: list[float] = field(default_factory=list)

    def add(self, part: Bits, ranked: bool) -> None:
        """Count one buffer, whole rows but for the last of a long vector; ties only if `ranked`."""
        columns = self.equal.shape[1]
        self.digest = self.digest or crc32(part[:LOOKED].tobytes())
        self.zeros += part.size - int(np.count_nonzero(part))
        whole = part[: part.size // columns * columns].reshape(-1, columns)
        if whole.size < part.size:
            self.nonfinite += bool(part.max() >= self.infinite)
        top = whole.max(axis=1, initial=0)
        bad, empty = top >= self.infinite, top == 0
        self.nonfinite += int(bad.sum())
        self.dead += int(empty.sum())
        if ranked:
            at_top = np.equal(whole, top[:, None], out=self.equal[: len(whole)])
            if bad.any() or empty.any():
                at_top = at_top[~bad & ~empty]
            self.ties += int(np.count_nonzero(at_top)) - len(at_top)
            self.ranked += len(at_top)
        self._look_at_rows(whole)

    def _look_at_rows(self, whole: Bits) -> None:
        """Distinct magnitudes of a few rows, until enough were seen."""
        missing = SAMPLED - len(self.distinct)
        if missing <= 0 or not len(whole):
            return
        for row in whole[:: max(1, len(whole) // SAMPLED)][:missing]:
            there = np.sort(row[:LOOKED])
            there = there[np.searchsorted(there, 1) :]
            if len(there):
                self.distinct.append((1 + np.count_nonzero(np.diff(there))) / len(there))


def scan(header: Header, threads: int = 1) -> list[TensorScan]:
    """`scan_tensor` for every float tensor of a file, in the order of its bytes; other tensors are
    passed over.

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
