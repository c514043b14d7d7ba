"""Safetensors files, checked in plain Python before a tensor is read, and rewritten without loading what stays.

Format: 8 bytes header length, a JSON header {name: dtype, shape, data_offsets}, then the tensors' bytes without gaps
(https://github.com/huggingface/safetensors#format). Reading goes through a buffer and never through a memory map: a
file that shrinks meanwhile is then an error, not the end of the process.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from conceptrevive.errors import ConceptReviveError

#: Safetensors' own limit.
MAX_HEADER = 100_000_000

AGAIN = "the file is damaged, download it again"

CONVERT = "load it where you trust it and save it with save_pretrained(…, safe_serialization=True)"

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")

#: Format's name → (torch dtype, bytes per entry).
DTYPES = {
    "F64": (torch.float64, 8), "F32": (torch.float32, 4), "F16": (torch.float16, 2), "BF16": (torch.bfloat16, 2),
    "F8_E4M3": (torch.float8_e4m3fn, 1), "F8_E5M2": (torch.float8_e5m2, 1), "BOOL": (torch.bool, 1),
    "U8": (torch.uint8, 1), "I8": (torch.int8, 1), "I16": (torch.int16, 2), "I32": (torch.int32, 4),
    "I64": (torch.int64, 8), "U16": (torch.uint16, 2), "U32": (torch.uint32, 4), "U64": (torch.uint64, 8),
}  # fmt: skip


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
        """Whether its values are floating-point numbers."""
        return self.dtype in DTYPES and DTYPES[self.dtype][0].is_floating_point


@dataclass(frozen=True)
class Header:
    """What a safetensors file holds, in the order of its bytes."""

    path: Path
    entries: dict[str, Entry]
    metadata: dict[str, str]


def refuse_pickle(path: Path, start: bytes = b"") -> None:
    """Raise ConceptReviveError for pickle checkpoints, by suffix or by their first bytes; they run code when loaded."""
    if (
        path.suffix in PICKLES
        or start[:4] == b"PK\x03\x04"
        or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5")
    ):
        raise ConceptReviveError(
            f"{path} is a pickle checkpoint, which runs code when it is loaded: {CONVERT}"
        )


def quoted(name: object) -> str:
    """A name for a message: in quotes, on one line, not longer than a line."""
    text = repr(name)
    return text if len(text) <= 120 else f"{text[:117]}…{text[0]}"


def _unique(pairs: list[tuple[str, object]]) -> dict:
    out: dict = {}
    for name, value in pairs:
        if name in out:
            raise ConceptReviveError(f"{quoted(name)} stands twice in the header")
        out[name] = value
    return out


def _natural(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _entry(name: str, spec, offset: int, size: int) -> Entry:
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
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ConceptReviveError(f"tensor {quoted(name)} has the unknown dtype {quoted(dtype)}")
    if not isinstance(shape, list) or not all(map(_natural, shape)):
        raise ConceptReviveError(f"tensor {quoted(name)} has the shape {str(shape)[:60]}")
    if (
        not isinstance(place, list)
        or len(place) != 2
        or not all(map(_natural, place))
        or place[0] > place[1]
    ):
        raise ConceptReviveError(f"tensor {quoted(name)} has the data_offsets {str(place)[:60]}")
    if offset + place[1] > size:
        raise ConceptReviveError(
            f"tensor {quoted(name)} ends at byte {offset + place[1]} of a file of {size} bytes (was it cut off?)"
        )
    entry = Entry(name, dtype, tuple(shape), offset + place[0], offset + place[1])
    if entry.numel * DTYPES[dtype][1] != entry.end - entry.start:
        raise ConceptReviveError(
            f"tensor {quoted(name)}: {dtype} {list(entry.shape)} does not fit its {entry.end - entry.start} bytes"
        )
    return entry


def read_header(path: str | os.PathLike) -> Header:
    """Read and check a file's header: sizes, dtypes, shapes, and that the tensors lie side by side in the file.

    Raises:
        ConceptReviveError: names the file, the tensor and what to do, for anything but a sound safetensors file.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConceptReviveError(
                f"cannot read {path} (not a regular file): give a .safetensors file"
            )
        with open(path, "rb") as f:
            size, first = os.fstat(f.fileno()).st_size, f.read(8)
            refuse_pickle(path, first)
            if first.startswith(b"version "):
                raise ConceptReviveError(
                    f"{path} is a Git LFS pointer, not the weights: run `git lfs pull`"
                )
            length = int.from_bytes(first, "little")
            if len(first) < 8 or length < 2:
                raise ConceptReviveError(
                    f"{path} is no safetensors file ({size} bytes, no header): {AGAIN}"
                )
            if length > MAX_HEADER or 8 + length > size:
                raise ConceptReviveError(
                    f"{path}: its header claims {length} of the file's {size} bytes: {AGAIN}"
                )
            raw = f.read(length)
    except OSError as e:
        raise ConceptReviveError(
            f"cannot read {path} ({e.strerror or e}): give a .safetensors file"
        ) from e
    try:
        table = json.loads(raw, object_pairs_hook=_unique)
        if not isinstance(table, dict):
            raise ConceptReviveError("the header is not a JSON object")
        metadata = table.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise ConceptReviveError("__metadata__ is not a table of texts")
        entries = sorted(
            (_entry(n, s, 8 + length, size) for n, s in table.items()),
            key=lambda e: (e.start, e.end),
        )
        end = 8 + length
        for e in entries:
            if e.start != end:
                what = (
                    "overlaps the tensor before it" if e.start < end else "leaves a gap before it"
                )
                raise ConceptReviveError(
                    f"tensor {quoted(e.name)} {what} (bytes {min(end, e.start)}–{max(end, e.start)})"
                )
            end = e.end
        if end != size:
            raise ConceptReviveError(f"{size - end} bytes at its end belong to no tensor")
    except (ValueError, RecursionError) as e:
        reason = (
            e if isinstance(e, ConceptReviveError) else f"the header is no JSON ({str(e)[:80]})"
        )
        raise ConceptReviveError(f"{path}: {reason}: {AGAIN}") from e
    return Header(path, {e.name: e for e in entries}, metadata)


@contextmanager
def opened(header: Header) -> Iterator[BinaryIO]:
    """The file behind a checked header, unbuffered."""
    try:
        f = open(header.path, "rb", buffering=0)
    except OSError as e:
        raise ConceptReviveError(f"cannot read {header.path} ({e.strerror or e}): {AGAIN}") from e
    with f:
        yield f


def fill(f: BinaryIO, start: int, buffer: memoryview) -> None:
    """Read len(buffer) bytes from byte `start` on."""
    try:
        f.seek(start)
        done = 0
        while done < len(buffer):
            count = f.readinto(buffer[done:])
            if not count:
                raise ConceptReviveError(f"{f.name} became shorter while it was read: {AGAIN}")
            done += count
    except OSError as e:
        raise ConceptReviveError(f"cannot read {f.name} ({e.strerror or e}): {AGAIN}") from e


def read_tensor(header: Header, name: str, file: BinaryIO | None = None) -> torch.Tensor:
    """One tensor, in its own dtype and in memory of its own."""
    if file is None:
        with opened(header) as f:
            return read_tensor(header, name, f)
    entry = header.entries[name]
    raw = np.empty(entry.end - entry.start, dtype=np.uint8)
    fill(file, entry.start, memoryview(raw))
    dtype = DTYPES[entry.dtype][0]
    return (
        torch.from_numpy(raw).view(dtype).reshape(entry.shape)
        if raw.size
        else torch.empty(entry.shape, dtype=dtype)
    )


def read_rows(header: Header, name: str, most: int, seed: int = 0) -> torch.Tensor:
    """One tensor, or as many of its rows (seeded, in order) as hold at most `most` entries; at least 4."""
    entry = header.entries[name]
    if entry.numel <= most or len(entry.shape) < 2:
        return read_tensor(header, name)
    rows, width = entry.shape[0], (entry.end - entry.start) // entry.shape[0]
    count = max(4, min(rows, most * rows // entry.numel))
    chosen = (
        torch.randperm(rows, generator=torch.Generator().manual_seed(seed))[:count]
        .sort()
        .values.tolist()
    )
    raw = np.empty((len(chosen), width), dtype=np.uint8)
    with opened(header) as f:
        for i, row in enumerate(chosen):
            fill(f, entry.start + row * width, memoryview(raw[i]))
    return (
        torch.from_numpy(raw.reshape(-1))
        .view(DTYPES[entry.dtype][0])
        .reshape(len(chosen), *entry.shape[1:])
    )


def rewrite(
    header: Header,
    target: str | os.PathLike,
    changed: Mapping[str, torch.Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Write the file again to `target` with `changed` tensors and `metadata`; all other bytes and the order are kept.

    Args:
        changed: {tensor name: new value}, of the old one's shape; its dtype is kept.
    """
    table: dict = {"__metadata__": dict(metadata)} if metadata else {}
    first = next(iter(header.entries.values())).start if header.entries else 0
    for e in header.entries.values():
        table[e.name] = {
            "dtype": e.dtype,
            "shape": list(e.shape),
            "data_offsets": [e.start - first, e.end - first],
        }
    raw = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % 8)
    buffer = memoryview(bytearray(1 << 20))
    with opened(header) as source, open(target, "wb") as out:
        out.write(len(raw).to_bytes(8, "little") + raw)
        for e in header.entries.values():
            if e.name in changed:
                if tuple(changed[e.name].shape) != e.shape:
                    raise ConceptReviveError(
                        f"{e.name}: {tuple(changed[e.name].shape)} does not fit {e.shape}"
                    )
                new = changed[e.name].detach().cpu().to(DTYPES[e.dtype][0]).contiguous()
                out.write(memoryview(new.reshape(-1).view(torch.uint8).numpy()))
                continue
            for at in range(e.start, e.end, len(buffer)):
                part = buffer[: min(len(buffer), e.end - at)]
                fill(source, at, part)
                out.write(part)
        out.flush()
        os.fsync(out.fileno())
