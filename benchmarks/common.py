"""Time, memory and arithmetic of a call; tables as CSV.

Both sides of a comparison run in one process, taking turns.
"""

from __future__ import annotations

import csv
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from conceptrevive.experiments.memory import peak_since, reset_peak
from conceptrevive.experiments.provenance import provenance, write_json
from conceptrevive.files import replacing

RESULTS = Path(__file__).parent.parent / "results/benchmarks"


@dataclass(frozen=True)
class Run:
    """Repeated timings of one call.

    Attributes:
        seconds: one per repeat. peak_mb: most memory the call added, MiB; None where it cannot be
        read. result: what the last call returned.
    """

    seconds: tuple[float, ...]
    peak_mb: float | None
    result: object

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)


def synchronize(device: torch.device) -> None:
    """Wait for queued work on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def alternate(
    calls: Mapping[str, Callable], repeats: int, device: torch.device, warm: bool = True
) -> dict[str, Run]:
    """Time several calls in turns, a, b, c, a, b, c, …: whatever else runs meets them all.

    Args:
        warm: run each once before, untimed, and once after, to measure its memory. Else it is
        measured while timed.
    """
    seconds, peaks, results = {n: [] for n in calls}, {}, {}
    for repeat in range(-1 if warm else 0, repeats):
        for name, call in calls.items():
            results.pop(name, None)
            if not warm:
                before = reset_peak(device)
            synchronize(device)
            start = time.perf_counter()
            results[name] = call()
            synchronize(device)
            if repeat >= 0:
                seconds[name].append(time.perf_counter() - start)
            if not warm:
                peaks[name] = peak_since(device, before)
    for name, call in calls.items() if warm else ():
        # Once more, untimed: memory that the allocator has to fetch again takes time.
        results.pop(name, None)
        before = reset_peak(device)
        results[name] = call()
        synchronize(device)
        peaks[name] = peak_since(device, before)
    return {n: Run(tuple(seconds[n]), peaks[n], results[n]) for n in calls}


def ratio(slow: Run, fast: Run) -> tuple[float, float, float]:
    """Median, least and largest ratio of the times of equal turns."""
    each = [a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)]
    return statistics.median(each), min(each), max(each)


def matmul_rate(
    device: torch.device, dtype: torch.dtype, size: int = 1024, repeats: int = 5
) -> float:
    """Floating-point operations a second of a square matrix product, the best of `repeats`."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    run = alternate({"matmul": lambda: a @ a}, repeats, device)["matmul"]
    return 2 * size**3 / min(run.seconds)


def device_name(device: torch.device) -> str:
    """Which device, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), model
        )
    except OSError:
        pass
    return f"{model}, {torch.get_num_threads()} threads"


def write_table(
    name: str, rows: Sequence[Mapping], out: Path, seed: int, device: torch.device, **facts
) -> None:
    """`<name>.csv` with one line per row, and `<name>.json` beside it saying how it came about."""
    keys = list(dict.fromkeys(k for row in rows for k in row))
    with replacing(out / f"{name}.csv") as temporary, open(temporary, "w", newline="") as f:
        writer = csv.DictWriter(f, keys)
        writer.writeheader()
        writer.writerows({k: _short(v) for k, v in row.items()} for row in rows)
    write_json(
        out / f"{name}.json",
        {**provenance(seed, str(device)), "device_name": device_name(device), **facts},
    )


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV; [] if there is none."""
    if not path.exists():
        return []
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else value
