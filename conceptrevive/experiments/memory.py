"""The most memory that a piece of work takes."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch


def reset_peak(device: torch.device) -> int | None:
    """Start a new peak measurement; bytes in use now, None where the system cannot say."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        # What earlier calls freed goes back first: a call that found it there would seem to need
        # nothing.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark (Linux)
        return _status("VmRSS")
    except (OSError, KeyError, AttributeError):
        return None


def peak_since(device: torch.device, before: int | None) -> float | None:
    """MiB above `before` at the peak."""
    if before is None:
        return None
    now = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")
    return max(0, now - before) / 2**20


def _status(key: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0]) * 1024
