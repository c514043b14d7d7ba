"""`python -m mutation`: count the mutants that the tests notice; goes on where it stopped."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conceptrevive.experiments.provenance import provenance, write_json
from mutation import forks
from mutation.places import statement
from mutation.sample import Mutant, sample

FOLDERS = ("auditing", "revival", "unlearning")

#: Copied, so that no fault is ever put into the sources themselves.
COPIED = ("conceptrevive", "tests", "benchmarks", "calibration", "pages", "pyproject.toml")

WORK = Path("build/mutants")

#: Seconds a mutant's tests may take, and how much longer than without it.
LIMIT, SLOWER = 60, 4


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=240, help="mutants (default 240)")
    parser.add_argument("--seed", type=int, default=0, help="which sample (default 0)")
    parser.add_argument("--out", type=Path, default=Path("results/mutants.json"))
    args = parser.parse_args()
    paths = [str(p) for f in FOLDERS for p in sorted(Path("conceptrevive", f).rglob("*.py"))]
    mutants, places = sample(paths, args.count, args.seed)
    tree = _copy()
    forks.preload()
    traced = {folder: _trace(tree, folder) for folder in FOLDERS}
    outcomes: dict[str, Any] = _read(WORK / "outcomes.json")
    for i, mutant in enumerate(mutants, 1):
        if mutant.key not in outcomes:
            outcomes[mutant.key] = _try(tree, mutant, traced)
            write_json(WORK / "outcomes.json", outcomes)
        found = outcomes[mutant.key]["outcome"]
        print(f"{i}/{len(mutants)} {found:9} {mutant.path}:{mutant.start[0]}", flush=True)
    ours = [outcomes[m.key] for m in mutants]
    write_json(args.out, provenance(args.seed) | _result(mutants, ours, places))


def _copy() -> Path:
    """A copy of the code and its tests. What was found is forgotten where the code has changed;
    where only tests have, what they did not notice before is tried again.
    """
    state, now = _read(WORK / "state.json"), {c: _digest(c) for c in COPIED}
    changed = {c for c in COPIED if state.get(c) != now[c]}
    if changed - {"tests"}:
        shutil.rmtree(WORK, ignore_errors=True)
    elif changed:
        old = _read(WORK / "outcomes.json")
        noticed = {k: o for k, o in old.items() if o["outcome"] in ("killed", "timeout")}
        write_json(WORK / "outcomes.json", noticed)
        for folder in FOLDERS:
            (WORK / f"{folder}.json").unlink(missing_ok=True)
    tree = WORK.absolute() / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for c in COPIED:
        if Path(c).is_dir():
            shutil.copytree(c, tree / c, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(c, tree / c)
    write_json(WORK / "state.json", now)
    return tree


def _digest(place: str) -> str:
    """Of a file, or of the Python files in a folder."""
    path = Path(place)
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else {}


def _trace(tree: Path, folder: str) -> dict[str, Any]:
    out = WORK.absolute() / f"{folder}.json"
    if not out.exists():
        code = forks.run(
            lambda: forks.trace(f"tests/{folder}", f"conceptrevive.{folder}", out), tree, 1800
        )
        if code != 0:
            out.unlink(missing_ok=True)
            raise SystemExit(f"tests/{folder} fail without any fault: see {WORK}/log.txt")
    return dict(_read(out))


def _try(tree: Path, mutant: Mutant, traced: Mapping[str, Any]) -> dict[str, Any]:
    """What the tests say to a mutant."""
    told = traced[Path(mutant.path).parts[1]]
    tests = forks.choose(told, mutant.path, statement(mutant.source, mutant.start[0]))
    if not tests:
        return {"outcome": "not run", "tests": 0}
    limit = max(LIMIT, SLOWER * sum(told["seconds"][t] for t in tests))
    file = tree / mutant.path
    file.write_text(mutant.code or "")
    code = forks.run(lambda: forks.check(tests), tree, limit)
    file.write_text(mutant.source)
    outcome = "timeout" if code is None else "killed" if code else "survived"
    return {"outcome": outcome, "tests": len(tests)}


def _result(
    mutants: Sequence[Mutant], outcomes: Sequence[Mapping[str, Any]], places: int
) -> dict[str, Any]:
    """Counts, and every mutant that no test noticed; "not run": none of the folder reaches it."""
    counts: dict[str, Counter[str]] = {folder: Counter() for folder in FOLDERS}
    survivors = []
    for m, o in zip(mutants, outcomes, strict=True):
        counts[Path(m.path).parts[1]][o["outcome"]] += 1
        if o["outcome"] in ("survived", "not run"):
            before, after = m.change
            survivors.append({"at": f"{m.path}:{m.start[0]}", "before": before, "after": after} | o)
    total = sum(counts.values(), Counter())
    return {
        "tool": f"cosmic-ray {version('cosmic-ray')}",
        "places": places,
        "mutants": len(mutants),
        "outcomes": dict(total),
        "folders": {folder: dict(c) for folder, c in counts.items()},
        "survivors": survivors,
    }


if __name__ == "__main__":
    main()
