"""The header of a safetensors file, checked in plain Python before a tensor is read.

Format: 8 bytes header length, a JSON header {name: dtype, shape, data_offsets}, then the tensors'
bytes without gaps (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from conceptrevive.checkpoints.dtypes import BITS, FLOATS, is_dtype_name, why_unread
from conceptrevive.checkpoints.formats import AGAIN, START, refuse_foreign
from conceptrevive.errors import ConceptReviveError

#: Safetensors' own limit.
MAX_HEADER = 100_000_000


@dataclass(frozen=True)
class Entry:
    """One tensor's place in a file: `start` and `end` count bytes from the file's beginning."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def numel(self) -> int:
        """Entries."""
        return math.prod(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether it holds signed floating-point numbers, which can be looked at as weights."""
        return self.dtype in FLOATS

    @property
    def unread(self) -> str:
        """Why its values cannot be looked at as weights, by its dtype; empty where they can."""
        return why_unread(self.dtype)


@dataclass(frozen=True)
class Header:
    """What a safetensors file holds, in the order of its bytes."""

    path: Path
    entries: dict[str, Entry]
    metadata: dict[str, str]


def quoted(name: object) -> str:
    """A name for a message: in quotes, on one line, not longer than a line."""
    text = repr(name)
    return text if len(text) <= 120 else f"{text[:117]}…{text[0]}"


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read and check a file's header: sizes, dtypes, shapes, tensors side by side in the file.

    Tensors of a dtype that the format gained later are taken as they come: see `Entry.unread`.

    Raises:
        ConceptReviveError: anything but a sound safetensors file; names the tensor and the remedy.
    """
    path = Path(path)
    raw, size = _header_bytes(path)
    try:
        table = json.loads(raw, object_pairs_hook=_unique)
        if not isinstance(table, dict):
            raise ConceptReviveError("the header is not a JSON object")
        metadata = table.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise ConceptReviveError("__metadata__ is not a table of texts")
        first = 8 + len(raw)
        entries = sorted(
            (_entry(n, s, first, size) for n, s in table.items()), key=lambda e: (e.start, e.end)
        )
        _expect_side_by_side(entries, first, size)
    except (ValueError, RecursionError) as e:
        reason = f"the header is no JSON ({str(e)[:80]})"
        if isinstance(e, ConceptReviveError):
            reason = str(e)
        raise ConceptReviveError(f"{path}: {reason}: {AGAIN}") from e
    return Header(path, {e.name: e for e in entries}, metadata)


def _header_bytes(path: Path) -> tuple[bytes, int]:
    """The JSON of a file's header, and the size of the file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConceptReviveError(
                f"cannot read {path} (not a regular file): give a .safetensors file"
            )
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            start = f.read(START)
            refuse_foreign(path, start)
            length = int.from_bytes(start[:8], "little")
            if len(start) < 8 or length < 2:
                raise ConceptReviveError(
                    f"{path} is no safetensors file ({size} bytes, no header): {AGAIN}"
                )
            if length > MAX_HEADER or 8 + length > size:
                raise ConceptReviveError(
                    f"{path}: its header claims {length} of the file's {size} bytes: {AGAIN}"
                )
            f.seek(8)
            return f.read(length), size
    except OSError as e:
        raise ConceptReviveError(
            f"cannot read {path} ({e.strerror or e}): give a .safetensors file"
        ) from e


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    out: dict[str, object] = {}
    for name, value in pairs:
        if name in out:
            raise ConceptReviveError(f"{quoted(name)} stands twice in the header")
        out[name] = value
    return out


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value
    )


def _entry(name: str, spec: object, offset: int, size: int) -> Entry:
    """One checked entry; raises ConceptReviveError without the file's name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConceptReviveError(
            f"tensor {quoted(name)} has a name that is not Unicode text"
        ) from None
    if not isinstance(spec, dict) or not {"dtype", "shape", "data_offsets"} <= spec.keys():
        raise ConceptReviveError(f"tensor {quoted(name)} lacks dtype, shape or data_offsets")
    dtype, shape, place = spec["dtype"], spec["shape"], spec["data_offsets"]
    if not is_dtype_name(dtype):
        raise ConceptReviveError(f"tensor {quoted(name)} has the unknown dtype {quoted(dtype)}")
    if not _are_sizes(shape):
        raise ConceptReviveError(f"tensor {quoted(name)} has the shape {str(shape)[:60]}")
    if not _are_sizes(place) or len(place) != 2 or place[0] > place[1]:
        raise ConceptReviveError(f"tensor {quoted(name)} has the data_offsets {str(place)[:60]}")
    start, end = offset + place[0], offset + place[1]
    if end > size:
        raise ConceptReviveError(
            f"tensor {quoted(name)} ends at byte {end} of a file of {size} bytes (was it cut off?)"
        )
    entry = Entry(name, dtype, tuple(shape), start, end)
    if dtype in BITS and entry.numel * BITS[dtype] != (end - start) * 8:
        raise ConceptReviveError(
            f"tensor {quoted(name)}: {dtype} {shape} does not fit its {end - start} bytes"
        )
    return entry


def _expect_side_by_side(entries: list[Entry], first: int, size: int) -> None:
    end = first
    for e in entries:
        if e.start != end:
            what = "overlaps the tensor before it" if e.start < end else "leaves a gap before it"
            raise ConceptReviveError(
                f"tensor {quoted(e.name)} {what} (bytes {min(end, e.start)}–{max(end, e.start)})"
            )
        end = e.end
    if end != size:
        raise ConceptReviveError(f"{size - end} bytes at its end belong to no tensor")
