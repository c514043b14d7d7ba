"""A denoiser's arguments for several pictures, taken apart picture by picture and put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def row_of(value: Any, index: int, of: int) -> Any:
    """One picture's part of a denoiser's arguments."""
    if isinstance(value, Tensor):
        return value[index : index + 1] if value.ndim and len(value) == of else value
    if isinstance(value, dict):
        return {k: row_of(v, index, of) for k, v in value.items()}
    return [row_of(v, index, of) for v in value] if isinstance(value, list) else value


def joined(values: Sequence[Any]) -> Any:
    """`row_of`'s parts together again."""
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values)) if first.ndim and len(first) == 1 else first
    if isinstance(first, dict):
        return {k: joined([v[k] for v in values]) for k in first}
    if isinstance(first, list):
        return [joined(parts) for parts in zip(*values, strict=True)]
    return first
