"""Do two processes of one thread measure twice as much as one? What the runner adds by sharing.

    python -m benchmarks.processes

The same cells, pictures drawn and judged, are measured by one process and by two, with accelerate,
in turns. Timed is the measuring alone, from the first part's beginning to the last one's end: a
process loads its model once, however long it then works. Efficiency is one process's time over
twice that of two; what else runs on the machine lowers it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.common import RESULTS, write_table
from conceptrevive.concepts.presets import get_concept
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.laboratory import Laboratory
from conceptrevive.experiments.runner import parts_of, publish, run
from conceptrevive.models.precision import VARIABLE

#: Processes compared.
COUNTS = (1, 2)


class Drawing:
    """Draws pictures of one concept from a seed, and says when."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab

    def measure(self, cell: Cell) -> Found:
        """Pictures with the model's own weights."""
        began = time.time()
        concept = get_concept(cell.concept)
        right = self.lab.erased(concept, self.lab.original, cell.n, cell.seed).right
        return Found({"erased": right}, {"began": began, "ended": time.time()})


def work(out: Path, cells: int, pictures: int) -> None:
    """What each process runs: its share of the cells."""
    lab = Laboratory("pocket", parts_of(out, "cpu"))
    todo = [Cell("processes", "golf", str(i), pictures, i) for i in range(cells)]
    results = run(todo, Drawing(lab).measure, out, depends=lab.depends, device="cpu", quiet=True)
    began, ended = ([float(str(r.numbers[key])) for r in results] for key in ("began", "ended"))
    right = [list(r.outcomes["erased"]) for r in results]
    data = {"seconds": max(ended) - min(began), "outcomes": right}
    publish(out, data, seed=0, device="cpu")


def launch(processes: int, out: Path, args: argparse.Namespace) -> dict:
    """The cells measured by so many processes of one thread each."""
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--multi_gpu"] if processes > 1 else []  # which accelerate refuses for one
    command += ["--num_processes", str(processes), "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += ["-m", "benchmarks.processes", "--work", str(out)]
    command += ["--cells", str(args.cells), "--pictures", str(args.pictures)]
    # A way of drawing that is the same for all: none has to time it first.
    env = os.environ | {"OMP_NUM_THREADS": "1", VARIABLE: os.environ.get(VARIABLE, "own")}
    subprocess.run(command, env=env, check=True, stderr=subprocess.DEVNULL)
    return json.loads(out.read_text())


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--cells", type=int, default=12)
    ap.add_argument("--pictures", type=int, default=16, help="of each cell")
    ap.add_argument("--repeats", type=int, default=3)
    ap.add_argument("--work", type=Path, default=None, help=argparse.SUPPRESS)
    ap.add_argument("--out", type=Path, default=RESULTS)
    args = ap.parse_args(argv)
    if args.work:
        work(args.work, args.cells, args.pictures)
        return 0
    seconds: dict[int, list[float]] = {n: [] for n in COUNTS}
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(args.repeats):
            for n in COUNTS:
                found = launch(n, Path(folder) / f"{repeat}-{n}.json", args)
                seconds[n].append(found["seconds"])
                outcomes.append(found["outcomes"])
    each = [one / (2 * two) for one, two in zip(*seconds.values(), strict=True)]
    rows = [
        {
            "processes": n,
            "cells": args.cells,
            "pictures": args.pictures,
            "repeats": args.repeats,
            "seconds": statistics.median(seconds[n]),
            "seconds_low": min(seconds[n]),
            "seconds_high": max(seconds[n]),
        }
        for n in COUNTS
    ]
    rows[1] |= {
        "efficiency": statistics.median(each),
        "efficiency_low": min(each),
        "efficiency_high": max(each),
        "same_outcomes": all(o == outcomes[0] for o in outcomes),
    }
    write_table("processes", rows, args.out, 0, torch.device("cpu"))
    told = f"{rows[1]['efficiency']:.2f} [{min(each):.2f}, {max(each):.2f}]"
    print(f"two processes of one thread: {told} of twice one process")
    return 0


if __name__ == "__main__":
    sys.exit(main())
