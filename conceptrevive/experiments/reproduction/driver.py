"""From an experiment's name to its results: `results/PROFILE/EXPERIMENT.json`, and a contact sheet.

Finished cells are kept beside the results, pictures once for all experiments: an interrupted run
goes on where it stopped, and several processes share the work, see `runner`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from conceptrevive.errors import ConceptReviveError, nearest
from conceptrevive.experiments.cells import Cell
from conceptrevive.experiments.laboratory import Laboratory
from conceptrevive.experiments.reproduction.bench import Bench, Experiment
from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS, get_experiments
from conceptrevive.experiments.reproduction.profiles import get_profile
from conceptrevive.experiments.reproduction.prompt_sets import read_sets
from conceptrevive.experiments.reproduction.sheet import write_sheet
from conceptrevive.experiments.reproduction.study import as_published
from conceptrevive.experiments.runner import check_out, is_first, parts_of, publish, run
from conceptrevive.models.pipeline import POCKET

#: Models to compare a misspelt name with.
KNOWN = (POCKET, "stable-diffusion-v1-5/stable-diffusion-v1-5")


def reproduce(
    experiment: str,
    *,
    profile: str = "smoke",
    model: str = POCKET,
    concepts: Sequence[str] | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    device: str | None = None,
    prompts: Sequence[str] = (),
    coco: str | Path | None = None,
) -> dict[str, dict[str, object]]:
    """Measure an experiment, or all, and publish each as soon as its last cell is measured.

    Args:
        experiment: a name of the catalogue, or "all". profile: how much is measured.
        model: `pocket`, a folder or a hub id. concepts: names or YAML files; None takes the
            profile's. out: a folder; None takes results/PROFILE. seed: of evaluation and locating.
        prompts: files of prompts for `unsafe`, SET=FILE, or a folder of them.
        coco: a folder of COCO's pictures and captions, which the FID of full-size models needs.

    Returns: per experiment its file, cells and seconds.

    Raises:
        ConceptReviveError: an unknown name; a file at its place that is no result; a judge that
            lacks a class; a concept of which nothing is pruned; FID without what it compares with.
    """
    names, chosen = get_experiments(experiment), get_profile(profile)
    if prompts and "unsafe" not in names:
        raise ConceptReviveError(f"{experiment!r} takes no --prompts: they are for 'unsafe'")
    if coco is not None and "styles" not in names:
        raise ConceptReviveError(f"{experiment!r} takes no --coco: it is for 'styles'")
    listed = read_sets(prompts)
    folder = Path(out or f"results/{profile}")
    files = {name: folder / f"{name}.json" for name in names}
    for file in files.values():
        _check_place(file)
    _check_model(model)
    lab = Laboratory(model, parts_of(folder / "pictures", device))
    bench = Bench(lab, chosen, concepts, seed, listed, coco)
    todo = {name: _load(name).cells(bench) for name in names}
    for name in names:
        _load(name).ready(bench)
    return {
        name: _measure(name, cells, bench, files[name], model, device)
        for name, cells in todo.items()
    }


def _load(name: str) -> Experiment:
    module = import_module(f"conceptrevive.experiments.reproduction.{name}")
    experiment: Experiment = module.EXPERIMENT
    return experiment


def _measure(
    name: str, cells: list[Cell], bench: Bench, file: Path, model: str, device: str | None
) -> dict[str, object]:
    began, experiment = time.monotonic(), _load(name)
    one = partial(experiment.measure, bench)
    results = run(cells, one, file, depends=bench.depends, device=device)
    said = {
        "experiment": name,
        "shows": EXPERIMENTS[name],
        "model": model,
        "summary": dict(experiment.summary(results)),
    }
    publish(
        file,
        as_published(results, bench, said, experiment.pooled),
        seed=bench.seed,
        device=device,
    )
    if is_first(device):
        write_sheet(results, file.with_suffix(".png"))
    seconds = round(time.monotonic() - began, 1)
    return {"out": str(file), "cells": len(cells), "seconds": seconds}


def _check_place(file: Path) -> None:
    """Raise ConceptReviveError where a result cannot be written, or would replace something."""
    check_out(file)
    sheet = file.with_suffix(".png")
    if sheet.exists() and not file.exists():
        raise ConceptReviveError(
            f"{sheet} belongs to no result: it is left as it is; name another folder, or move it "
            "away"
        )


def _check_model(model: str) -> None:
    """Raise ConceptReviveError for a word that is no folder and looks like no hub id."""
    if "/" not in model and model != POCKET and not Path(model).exists():
        raise ConceptReviveError(
            f"no model {model!r}{nearest(model, KNOWN)}: give 'pocket', a folder or a hub id "
            "(owner/name)"
        )
