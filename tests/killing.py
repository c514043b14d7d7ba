"""Experiments that are killed while they write, once for every kind of file that they write."""

import multiprocessing
import os
import signal
from pathlib import Path

from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS

DRIVER = "conceptrevive.experiments.reproduction"


def kind_of(path: Path) -> str:
    """What is written: a part by its folder and first word, or weights, the result, the sheet."""
    if path.suffix == ".json" and path.parent.suffix == ".parts":
        return f"{path.parent.name}: {path.name.partition('-')[0]}"
    return path.name.partition("-")[0] + path.suffix if "-" in path.name else path.name


def killed_everywhere(name: str, options: dict, out: Path, middle: int, log: Path) -> list[str]:
    """Measure an experiment in processes that are killed, until one comes to the end.

    Each is killed at its first write of a kind that none was killed at before, and at that of a
    cell where `middle` cells are there already; the temporary file is half written then.

    Returns: the kinds, in order, which `log` keeps.
    """
    # Its processes are forks of one that has imported everything: none of them imports it again.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{DRIVER}.driver", *(f"{DRIVER}.{e}" for e in EXPERIMENTS)])
    log.touch()
    while True:
        process = context.Process(target=_measure, args=(name, options, out, middle, log))
        before = log.read_text()
        process.start()
        process.join()
        if process.exitcode == 0:
            return log.read_text().splitlines()
        assert process.exitcode == -signal.SIGKILL and log.read_text() != before


def _measure(name: str, options: dict, out: Path, middle: int, log: Path) -> None:
    import torch

    from conceptrevive.experiments.reproduction.driver import reproduce

    torch.set_num_threads(1)
    rename = os.replace

    def replace(source: str | Path, target: str | Path) -> None:
        path = Path(target)
        kind = kind_of(path)
        early = kind.startswith(f"{name}.json.parts") and len(_parts(path)) < middle
        if not early and kind not in log.read_text().splitlines():
            with log.open("a") as f:
                f.write(f"{kind}\n")
            os.truncate(source, Path(source).stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    os.replace = replace
    reproduce(name, out=out, **options)


def _parts(path: Path) -> list[Path]:
    return list(path.parent.glob("[!.]*.json"))
