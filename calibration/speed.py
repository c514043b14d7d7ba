"""Time the audit on a large file: first pass against plain reading, matrix tests, and the peak of
memory.

    python -m calibration.speed --gigabytes 4 --out results/audit/speed.json

Plain reading and first pass take turns, so that both meet the same load; medians are given. Both
read from the page cache where the file fits into memory, the case that flatters reading most. The
book's sentence goes to book/generated/audit-speed.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

import torch

from conceptrevive.auditing.scan import scan
from conceptrevive.auditing.verdict import audit
from conceptrevive.checkpoints.headers import read_header
from conceptrevive.experiments.provenance import provenance, write_json

SHAPE = (1280, 5120)  # the largest feed-forward layers of Stable Diffusion 1.5


def make(path: Path, gigabytes: float) -> None:
    """A checkpoint of random float16 matrices, written without holding it."""
    size = 2 * SHAPE[0] * SHAPE[1]
    names = [f"blocks.{i}.ff.net.2.weight" for i in range(max(1, round(gigabytes * 1e9 / size)))]
    table = {
        n: {"dtype": "F16", "shape": SHAPE, "data_offsets": [i * size, (i + 1) * size]}
        for i, n in enumerate(names)
    }
    text = json.dumps(table).encode()
    g = torch.Generator().manual_seed(0)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for _ in names:
            f.write((0.02 * torch.randn(SHAPE, generator=g)).half().numpy().tobytes())


def plain(path: Path, block: int = 1 << 24) -> float:
    """Seconds to read a file in blocks and do nothing with them."""
    began = time.perf_counter()
    with open(path, "rb", buffering=0) as f:
        while f.read(block):
            pass
    return time.perf_counter() - began


def told(r: dict) -> str:
    """The result in the book's words."""
    speed = r["gigabytes_per_second"]
    times = zip(r["times"]["plain"], r["times"]["scan"], strict=True)
    share = [plain / scan for plain, scan in times]
    return (
        f"A file of {r['gigabytes']:g} GB, read from memory, {len(share)} turns: the first pass "
        f"reads {speed['scan']:g} GB a second, plainly reading it {speed['plain']:g}, a share of "
        f"{r['share']:.2f} [{min(share):.2f}, {max(share):.2f}]. The whole audit takes "
        f"{r['audit_seconds']:g} s, {r['matrices_tested']} matrices tested among it, and "
        f"{r['peak_gigabytes']:g} GB of memory at its peak, Python and its libraries included "
        f"({r['threads']} threads).\n\n"
        f"Measured {r['date'][:10]} by `{r['command']}` on {r['device']}.\n"
    )


def main() -> None:
    """Write the file, time, remove it."""
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--gigabytes", type=float, default=4)
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument(
        "--folder",
        default=None,
        help="where to write the file; default: the system's for temporary files",
    )
    ap.add_argument("--out", default="results/audit/speed.json")
    a = ap.parse_args()
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        path = Path(folder) / "model.safetensors"
        make(path, a.gigabytes)
        size, header, threads = (
            path.stat().st_size / 1e9,
            read_header(path),
            min(2, torch.get_num_threads()),
        )
        times: dict[str, list[float]] = {"plain": [], "scan": []}
        plain(path)
        for _ in range(a.rounds):
            times["plain"].append(plain(path))
            began = time.perf_counter()
            scan(header, threads)
            times["scan"].append(time.perf_counter() - began)
        began = time.perf_counter()
        report = audit(path)
        seconds = time.perf_counter() - began
    speed = {k: round(size / statistics.median(v), 2) for k, v in times.items()}
    result = {
        "gigabytes": round(size, 2),
        "gigabytes_per_second": speed,
        "share": round(speed["scan"] / speed["plain"], 3),
        "audit_seconds": round(seconds, 1),
        "matrices_tested": len(report.measured.layers),
        "verdict": report.verdict,
        "peak_gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "times": times,
    }
    result |= provenance(0)
    write_json(a.out, result)
    Path("book/generated/audit-speed.md").write_text(told(result))
    print(json.dumps({k: v for k, v in result.items() if k != "times"}))


if __name__ == "__main__":
    main()
