"""One runner for everything that is measured: cells → kept parts → results.

A table or a figure of the paper is one new file in this folder. It says which cells it has, how one
is measured, and what is written; the runner does the rest. It keeps each finished cell beside the
output (`….parts/`), goes on where an interrupted run stopped, shares the cells among processes, and
tells how long it still takes. A whole experiment:

    from random import Random

    from conceptrevive.experiments.cells import Cell, Found
    from conceptrevive.experiments.runner import publish, run

    def measure(cell: Cell) -> Found:
        coin = Random(cell.seed)
        return Found(outcomes={"heads": tuple(coin.random() < 0.5 for _ in range(cell.n))})

    cells = [Cell("coins", name, n=20, seed=i) for i, name in enumerate(("penny", "dime"))]
    results = run(cells, measure, "coins.json")
    publish("coins.json", {r.cell.concept: r.rate("heads").as_dict() for r in results}, seed=0)

With models, a `Laboratory` draws and judges pictures, each once, and its `depends` tells the runner
what a part depends on besides its cell and its code: weights, judges, way of drawing; see
`phenomenon`. The code is found without help: the module that `measure` is in, and all that is
imported from there. When any of these changes the cell is measured again, and never otherwise.

Several GPUs: `accelerate launch -m conceptrevive.experiments.phenomenon …`. Several processes on a
processor: `accelerate launch --multi_gpu --num_processes 2 -m …`; by that flag accelerate starts
more than one process, whatever they run on.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.cells import Cell, Result
from conceptrevive.experiments.parts import Measure, Parts, key_of
from conceptrevive.experiments.progress import Clock
from conceptrevive.experiments.provenance import provenance, write_json
from conceptrevive.models.pipeline import parse_device

Depends = Callable[[Cell], Iterable[bytes]]


def processes(device: str | None = None) -> PartialState:
    """Which of how many processes this is, as `accelerate` (or torchrun) started it."""
    return PartialState(cpu=parse_device(device).type in ("cpu", "mps"))


def device_of(device: str | None = None) -> str:
    """Where this process measures: `device`, or its own GPU of several, or the best there is."""
    state, chosen = processes(device), parse_device(device)
    shared = chosen.type in ("cpu", "mps") or chosen.index is not None
    return str(chosen if shared or state.num_processes == 1 else state.device)


def parts_of(out: str | os.PathLike[str], device: str | None = None) -> Parts:
    """The folder of kept parts beside the output."""
    return Parts(Path(f"{os.fspath(out)}.parts"), device_of(device))


def nothing(cell: Cell) -> tuple[bytes, ...]:
    """A cell that depends on itself and on its code alone."""
    return ()


def run(
    cells: Sequence[Cell],
    measure: Measure,
    out: str | os.PathLike[str],
    *,
    depends: Depends = nothing,
    device: str | None = None,
    quiet: bool = False,
) -> list[Result]:
    """Measure every cell that is not kept yet, and return the results of all, in order.

    Several processes share the cells: each takes the next that no other has begun, and all return
    the same.

    Args:
        cells: of one experiment, all different.
        measure: what one is measured by: a function or a method.
        out: the file that the results will go to; parts are kept in a folder beside it.
        depends: per cell, what a part depends on besides the cell and the code of `measure`.
        device: where to measure; None takes this process's GPU, if there is one.
        quiet: tell nothing of the progress.

    Raises:
        ConceptReviveError: `out` holds something else than a result, a part is damaged, or the
            place is not writable.
    """
    check_out(out)
    state, parts = processes(device), parts_of(out, device)
    named = [(cell, key_of(cell, measure, depends(cell))) for cell in cells]
    if len({key for _, key in named}) < len(named):
        raise ConceptReviveError("two cells are the same: give them different concepts or settings")

    def finished() -> int:
        return sum(parts.path(cell, key).exists() for cell, key in named)

    # Each process begins somewhere else: neighbouring cells share work, such as locating a concept.
    start = state.process_index * len(cells) // max(1, state.num_processes)
    todo = [*named[start:], *named[:start]]
    title = cells[0].experiment if cells else ""
    with Clock(title, len(cells), finished(), quiet=quiet or not state.is_main_process) as clock:
        for take in (parts.claim, parts.keep):  # what others had begun comes last
            for cell, key in todo:
                if parts.read(cell, key) is None and take(cell, key, measure) is not None:
                    clock.tell(finished(), str(cell))
    return [parts.keep(cell, key, measure) for cell, key in named]


def check_out(out: str | os.PathLike[str]) -> None:
    """Raise ConceptReviveError where `out` cannot be written or is something else than a result."""
    path = Path(out)
    if path.is_dir():
        raise ConceptReviveError(f"{path} is a folder: name a file for the result")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = json.loads(path.read_bytes()) if path.exists() else {"versions": {}}
    except ValueError:
        there = None
    except OSError as e:
        raise ConceptReviveError(
            f"cannot write {path} ({e.strerror}): choose a writable place"
        ) from e
    if not (isinstance(there, dict) and "versions" in there):
        raise ConceptReviveError(
            f"{path} is no result: it is left as it is; name another file, or move it away"
        )


def publish(
    out: str | os.PathLike[str],
    data: Mapping[str, Any],
    *,
    seed: int | None,
    device: str | None = None,
    since: float | None = None,
) -> dict[str, Any]:
    """Write `data` and its provenance to `out`, in the first process alone; what is written.

    Args:
        since: when the work began (`time.time()`), to tell how many seconds it took.
    """
    whole = {**data, **provenance(seed, device_of(device))}
    if since is not None:
        whole["seconds"] = round(time.time() - since, 1)
    if is_first(device):
        write_json(out, whole)
    return whole


def is_first(device: str | None = None) -> bool:
    """Whether this is the process that writes."""
    return bool(processes(device).is_main_process)


def discard(out: str | os.PathLike[str], device: str | None = None) -> None:
    """Remove the kept parts of `out`, once every process has read them."""
    processes(device).wait_for_everyone()
    if is_first(device):
        shutil.rmtree(parts_of(out, device).folder, ignore_errors=True)
