"""What each step costs: seconds and memory, beside the paper's under seven minutes of an A100.

Times depend on the machine and on what else runs there; nothing else does.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from pydantic import JsonValue
from safetensors.torch import save_file

from conceptrevive.auditing.verdict import audit
from conceptrevive.defence.obfuscation import obfuscate
from conceptrevive.evaluation.outcomes import evaluate_images
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.memory import peak_since, reset_peak
from conceptrevive.experiments.reproduction.bench import Bench, Experiment
from conceptrevive.experiments.reproduction.recipes import Erased
from conceptrevive.revival.attack import revive
from conceptrevive.revival.completion.solvers import complete
from conceptrevive.unlearning.conceptprune import locate
from conceptrevive.unlearning.masks import prune

Step = Callable[[Bench, Erased, str], object]


def audited(bench: Bench, erased: Erased, name: str) -> object:
    """Candidate layers written to a file, and audited, every one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "candidates.safetensors"
        weights = {f"{n}.weight": w.cpu().contiguous() for n, w in erased.pruned.items()}
        save_file(weights, file)
        return audit(file, deep=True)


#: The steps, in the order in which they follow each other.
STEPS: dict[str, Step] = {
    "locate": lambda bench, erased, name: locate(bench.lab.pipe, bench.concept(name)),
    "prune": lambda bench, erased, name: prune(erased.original, erased.masks),
    "complete": lambda bench, erased, name: complete(erased.pruned, erased.masks),
    "complete as the paper": lambda bench, erased, name: complete(
        erased.pruned, erased.masks, solver="paper"
    ),
    "revive": lambda bench, erased, name: revive(erased.pruned, erased.masks),
    "obfuscate": lambda bench, erased, name: obfuscate(erased.original, erased.masks),
    "audit": audited,
    "draw a picture": lambda bench, erased, name: evaluate_images(
        bench.lab.pipe, bench.concept(name), n=1
    ),
}


def cells(bench: Bench) -> list[Cell]:
    """Every step, on the first concept."""
    first = bench.concepts[0]
    return [
        bench.cell("cost", first, step, n=0, retained=0, repeats=bench.profile.repeats)
        for step in STEPS
    ]


def measure(bench: Bench, cell: Cell) -> Found:
    """One step: once for its memory, which warms it up, then timed."""
    erased, step = bench.erased_of(cell), STEPS[cell.recipe]
    device = torch.device(bench.lab.parts.device)
    _ = erased.pruned  # computed outside of what is measured
    before = reset_peak(device)
    step(bench, erased, cell.concept)
    peak = peak_since(device, before)
    seconds: list[float] = []
    for _ in range(int(str(cell.settings["repeats"]))):
        began = time.perf_counter()
        step(bench, erased, cell.concept)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(round(time.perf_counter() - began, 4))
    told: dict[str, JsonValue] = {
        "pruned_fraction": erased.masks.fraction,
        "step_seconds": median(seconds),
        "step_seconds_range": [min(seconds), max(seconds)],
        "peak_mib": None if peak is None else round(peak, 1),
    }
    return Found(numbers=told)


EXPERIMENT = Experiment(cells, measure, pooled=False)
