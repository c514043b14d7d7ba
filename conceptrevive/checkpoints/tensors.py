"""Tensors of safetensors files: read one, or write a file again without loading what stays.

Reading goes through a buffer and never through a memory map: a file that shrinks meanwhile is then
an error, not the end of the process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from conceptrevive.checkpoints.dtypes import TORCH, why_unread
from conceptrevive.checkpoints.formats import AGAIN
from conceptrevive.checkpoints.headers import Entry, Header, quoted
from conceptrevive.errors import ConceptReviveError

BUFFER = 1 << 20  # bytes


@contextmanager
def opened(header: Header) -> Iterator[BinaryIO]:
    """The file behind a checked header, unbuffered."""
    try:
        f = open(header.path, "rb", buffering=0)
    except OSError as e:
        raise ConceptReviveError(f"cannot read {header.path} ({e.strerror or e}): {AGAIN}") from e
    with f:
        yield cast(BinaryIO, f)


def fill(f: BinaryIO, start: int, buffer: memoryview) -> None:
    """Read len(buffer) bytes from byte `start` on."""
    try:
        f.seek(start)
        done = 0
        while done < len(buffer):
            count = f.readinto(buffer[done:])  # type: ignore[attr-defined]
            if not count:
                raise ConceptReviveError(f"{f.name} became shorter while it was read: {AGAIN}")
            done += count
    except OSError as e:
        raise ConceptReviveError(f"cannot read {f.name} ({e.strerror or e}): {AGAIN}") from e


def _dtype(header: Header, entry: Entry) -> torch.dtype:
    if entry.dtype not in TORCH:
        raise ConceptReviveError(
            f"{header.path}: tensor {quoted(entry.name)} is {entry.dtype} "
            f"({why_unread(entry.dtype)}), which cannot be read: "
            "give the model as it was before it was quantised"
        )
    return TORCH[entry.dtype]


def read_tensor(header: Header, name: str, file: BinaryIO | None = None) -> Tensor:
    """One tensor, in its own dtype and in memory of its own.

    Raises ConceptReviveError for a dtype that torch does not have, or a file that has changed.
    """
    if file is None:
        with opened(header) as f:
            return read_tensor(header, name, f)
    entry = header.entries[name]
    dtype = _dtype(header, entry)
    raw = np.empty(entry.end - entry.start, dtype=np.uint8)
    fill(file, entry.start, raw.data)
    if not raw.size:
        return torch.empty(entry.shape, dtype=dtype)
    return torch.from_numpy(raw).view(dtype).reshape(entry.shape)


def read_rows(header: Header, name: str, most: int, seed: int = 0) -> Tensor:
    """One tensor, or as many of its rows (seeded, in order) as hold `most` entries; at least 4."""
    entry = header.entries[name]
    if entry.numel <= most or len(entry.shape) < 2:
        return read_tensor(header, name)
    dtype = _dtype(header, entry)
    rows, width = entry.shape[0], (entry.end - entry.start) // entry.shape[0]
    count = max(4, min(rows, most * rows // entry.numel))
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    chosen = order[:count].sort().values.tolist()
    raw = np.empty((len(chosen), width), dtype=np.uint8)
    with opened(header) as f:
        for i, row in enumerate(chosen):
            fill(f, entry.start + row * width, memoryview(raw[i]))
    return torch.from_numpy(raw.reshape(-1)).view(dtype).reshape(len(chosen), *entry.shape[1:])


def rewrite(
    header: Header,
    target: str | os.PathLike[str],
    changed: Mapping[str, Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Write the file again to `target` with `changed` tensors and `metadata`.

    All other bytes and the order are kept.

    Args:
        changed: {tensor name: new value}, of the old one's shape; its dtype is kept.
    """
    raw = _new_header(header, metadata)
    buffer = memoryview(bytearray(BUFFER))
    with opened(header) as source, open(target, "wb") as out:
        out.write(len(raw).to_bytes(8, "little") + raw)
        for e in header.entries.values():
            if e.name in changed:
                out.write(_bytes_of(changed[e.name], header, e))
                continue
            for at in range(e.start, e.end, len(buffer)):
                part = buffer[: min(len(buffer), e.end - at)]
                fill(source, at, part)
                out.write(part)
        out.flush()
        os.fsync(out.fileno())


def _new_header(header: Header, metadata: Mapping[str, str]) -> bytes:
    table: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    first = min((e.start for e in header.entries.values()), default=0)
    for e in header.entries.values():
        table[e.name] = {
            "dtype": e.dtype,
            "shape": list(e.shape),
            "data_offsets": [e.start - first, e.end - first],
        }
    raw = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    return raw + b" " * (-len(raw) % 8)


def _bytes_of(value: Tensor, header: Header, entry: Entry) -> memoryview:
    if tuple(value.shape) != entry.shape:
        raise ConceptReviveError(f"{entry.name}: {tuple(value.shape)} does not fit {entry.shape}")
    new = value.detach().cpu().to(_dtype(header, entry)).contiguous()
    return new.reshape(-1).view(torch.uint8).numpy().data
