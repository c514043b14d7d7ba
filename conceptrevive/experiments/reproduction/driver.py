"""From an experiment's name to its results: `results/PROFILE/EXPERIMENT.json`, and a contact sheet.

Finished cells are kept beside the results, pictures once for all experiments: an interrupted run
goes on where it stopped, and several processes share the work, see `runner`.
"""

from __future__ import annotations

import json
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
    judge: str | None = None,
) -> dict[str, dict[str, object]]:
    """Measure an experiment, or all, and publish each as soon as its last cell is measured.

    Args:
        experiment: a name of the catalogue, or "all". profile: how much is measured.
        model: `pocket`, a folder or a hub id. concepts: names or YAML files; None takes the
            profile's. out: a folder; None takes results/PROFILE. seed: of evaluation and locating.
        prompts: files of prompts for `unsafe`, SET=FILE, or a folder of them.
        coco: a folder of COCO's pictures and captions, which the FID of full-size models needs.
        judge: of objects, a folder or a hub id; None takes each concept's own.

    Returns: per experiment its file, cells and seconds.

    Raises:
        ConceptReviveError: an unknown name; a file at its place that is no result, or that of
            another measurement; a judge that lacks a class; a concept of which nothing is pruned;
            FID without what it compares with.
    """
    names, chosen = get_experiments(experiment), get_profile(profile)
    if prompts and "unsafe" not in names:
        raise ConceptReviveError(f"{experiment!r} takes no --prompts: they are for 'unsafe'")
    if coco is not None and "styles" not in names:
        raise ConceptReviveError(f"{experiment!r} takes no --coco: it is for 'styles'")
    listed = read_sets(prompts)
    folder = _folder(out, profile)
    files = {name: folder / f"{name}.json" for name in names}
    for file in files.values():
        _check_place(file)
    _check_model(model)
    _check_once(concepts or ())
    lab = _laboratory(model, folder, device)
    bench = Bench(lab, chosen, concepts, seed, listed, coco, judge)
    todo = {name: _load(name).cells(bench) for name in names}
    for name, cells in todo.items():
        _load(name).ready(bench)
        _check_same(files[name], name, cells, bench, model)
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
    } | ({} if bench.judge is None else {"judge": bench.judge})
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


def _folder(out: str | Path | None, profile: str) -> Path:
    """Where results go. Raises ConceptReviveError for an empty name, which is no default."""
    if out is None:
        return Path("results", profile)
    if not str(out).strip() or "\0" in str(out):
        raise ConceptReviveError(f"out is {str(out)!r}: give the name of a folder for the results")
    return Path(out)


def _laboratory(model: str, folder: Path, device: str | None) -> Laboratory:
    """The model, loaded. Raises ConceptReviveError with the nearest name where it cannot be."""
    try:
        return Laboratory(model, parts_of(folder / "pictures", device))
    except ConceptReviveError as e:
        near = "" if model in KNOWN or Path(model).exists() else nearest(model, KNOWN)
        if not near:
            raise
        raise ConceptReviveError(f"model {model!r}{near}: {e}") from e


def _check_once(concepts: Sequence[str]) -> None:
    """Raise ConceptReviveError for a concept that is named twice."""
    for i, name in enumerate(concepts):
        if name in concepts[:i]:
            raise ConceptReviveError(f"concept {name!r} is named twice: name each once")


def _check_same(file: Path, name: str, cells: Sequence[Cell], bench: Bench, model: str) -> None:
    """Raise ConceptReviveError where the result of another measurement would be replaced.

    The same one may be: measured anew, or gone on with.
    """
    if not file.exists():
        return
    there = json.loads(file.read_bytes())  # `check_out` has seen that it is a result
    wanted = {"experiment": name, "profile": bench.profile.name, "model": model, "seed": bench.seed}
    wanted["judge"] = bench.judge
    found = [f"{k} {there.get(k)!r}, not {v!r}" for k, v in wanted.items() if there.get(k) != v]
    measured = dict.fromkeys(each["concept"] for each in there.get("entries", ()))
    if not found and set(measured) != {cell.concept for cell in cells}:
        found = [f"concepts {', '.join(measured)}"]
    if found:
        raise ConceptReviveError(
            f"{file} holds another measurement ({'; '.join(found)}): it is left as it is; name "
            "another folder, or move it away"
        )


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
    if not model.strip() or ("/" not in model and model != POCKET and not Path(model).exists()):
        raise ConceptReviveError(
            f"no model {model!r}{nearest(model, KNOWN)}: give 'pocket', a folder or a hub id "
            "(owner/name)"
        )
