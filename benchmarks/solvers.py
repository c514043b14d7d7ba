"""Which solver finds the most signs, and does that revive more? Every concept and layer of a model.

    python -m benchmarks.solvers --out results/benchmarks/solvers.json
    python -m benchmarks.solvers --images 0   # signs only, minutes
    python -m benchmarks.solvers --stages runs/early/pipeline   # and those of other pipelines

For each concept: sign accuracy of every solver against the paper's loop on the same entries, how
often a sign that is said to be right with some probability is right, and the pictures of every
solver under every magnitude rule, same seeds. Matrices with known structure come first, then
weights trained on other tasks that come with the package, then the model at other stages of its
training. What is finished is kept beside the output (`….parts/`) and not measured again.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.matrices import SPECTRUM
from benchmarks.sign_parts import count, files, known_cells, other_cells
from benchmarks.signs import RELIABLE, SOLVERS, accuracy, reliability
from benchmarks.solver_parts import PLAIN, RULES, Solvers, stage
from conceptrevive.concepts.presets import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.outcomes import retained_pictures
from conceptrevive.experiments.cells import Cell, Result
from conceptrevive.experiments.controls import CONCEPTS
from conceptrevive.experiments.laboratory import Laboratory
from conceptrevive.experiments.parts import Measure
from conceptrevive.experiments.runner import (
    Depends,
    check_out,
    nothing,
    parts_of,
    processes,
    publish,
    run,
)
from conceptrevive.intervals import Rate, paired_difference

#: Matrices of known structure by their rows: fewer where the loop takes minutes.
SEEDS = {128: 10, 320: 10, 640: 5, 1280: 3}


def compare(parts: list[dict], kind: str, base: str, clusters=None) -> dict[str, dict]:
    """Rates over all concepts, and paired differences from the pruned model and from `base`.

    Args:
        clusters: per outcome, a label that outcomes of one and the same picture share.
    """
    pooled = {name: [o for part in parts for o in part[name][kind]] for name in parts[0]}
    return {
        name: Rate.of(right).as_dict()
        | {
            "minus_pruned": paired_difference(right, pooled["pruned"], clusters=clusters),
            "minus_base": paired_difference(right, pooled[base], clusters=clusters),
        }
        for name, right in pooled.items()
    }


def main(argv=None) -> int:
    """Command line."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--model", default="pocket")
    ap.add_argument("--concepts", nargs="*", default=list(CONCEPTS), metavar="NAME")
    ap.add_argument(
        "--images", type=int, default=24, help="pictures of the concept per model; 0: signs only"
    )
    ap.add_argument("--retained", type=int, default=31, help="pictures of other objects per model")
    ap.add_argument(
        "--draw",
        nargs="*",
        default=["paper", "conditional", "prior", "prior + side"],
        choices=list(SOLVERS),
    )
    ap.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=None,
        help="matrices of known structure per size and noise: one number, or one for each of "
        "--rows; default: " + ", ".join(f"{n} of {d} rows" for d, n in SEEDS.items()),
    )
    ap.add_argument(
        "--rows",
        type=int,
        nargs="*",
        default=list(SEEDS),
        help="their rows; four times as many columns",
    )
    ap.add_argument("--noise", type=float, nargs="*", default=[0.3, 1.0, 4.0])
    ap.add_argument(
        "--others",
        type=int,
        default=12,
        help="matrices of each other part that comes with the package",
    )
    ap.add_argument(
        "--stages",
        nargs="*",
        default=[],
        help="pipeline folders of the model at other stages of training",
    )
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--device", default="cpu")
    ap.add_argument(
        "--locate-autocast",
        action="store_true",
        help="locate as pictures are drawn, as for the numbers published so far",
    )
    ap.add_argument("--out", default="results/benchmarks/solvers.json")
    args = ap.parse_args(argv)
    try:
        return measure_all(args)
    except ConceptReviveError as e:
        print(f"solvers: {e}", file=sys.stderr)
        return 2


def seeds_of(args) -> list[int]:
    """How many matrices of known structure there are of each size."""
    seeds = args.seeds or [SEEDS.get(d, min(SEEDS.values())) for d in args.rows]
    if args.seeds and len(seeds) not in (1, len(args.rows)):
        raise ConceptReviveError(
            f"{len(seeds)} --seeds for {len(args.rows)} --rows: give one, or one for each"
        )
    return seeds * len(args.rows) if len(seeds) == 1 else seeds


def measure_all(args) -> int:
    """Measure what is not there yet and write the result."""
    check_out(args.out)
    seeds = seeds_of(args)
    # A model that cannot be loaded is known now, not after hours.
    lab = None
    if args.concepts or args.stages:
        lab = Laboratory(args.model, parts_of(args.out, args.device))
    known = known_cells(args.rows, seeds, args.noise, args.seed)
    counted = measure(args, known, count)
    others = measure(args, other_cells(args.others, args.seed), count, files)
    result = {
        "spectrum": SPECTRUM,
        "known_structure": [row for r in counted for row in r.numbers["rows"]],
        "other_weights": others[0].numbers["rows"],
    }
    done = [*counted, *others]
    if lab is not None:
        found, more = of_the_model(args, lab)
        result, done = result | found, done + more
    dates = sorted(str(r.made["date"]) for r in done)
    result |= {"workers": processes(args.device).num_processes, "measured": [dates[0], dates[-1]]}
    publish(args.out, result, seed=args.seed, device=args.device)
    return 0


def measure(args, cells: list[Cell], by: Measure, depends: Depends = nothing) -> list[Result]:
    """`run` with the options of the command line."""
    return run(cells, by, args.out, depends=depends, device=args.device)


def of_the_model(args, lab: Laboratory) -> tuple[dict, list[Result]]:
    """What is measured of the model itself: other stages of its training, signs, pictures."""
    solvers, result = Solvers(lab), {}
    settings = {"locate_autocast": args.locate_autocast}
    stages = [Cell("stages", folder, seed=args.seed, settings=settings) for folder in args.stages]
    done = measure(args, stages, stage, solvers.stage_files)
    if stages:
        result["stages"] = [r.numbers for r in done]
    cells = [Cell("signs", c, seed=args.seed, settings=settings) for c in args.concepts]
    counted = measure(args, cells, solvers.count, lab.depends)
    if counted:
        result |= sign_tables(counted) | {"sampling": lab.sampling}
    drawn = [PLAIN, *args.draw] if args.images else []
    settings |= {"retained": args.retained}
    cells = [
        Cell("solvers", c, solver, args.images, args.seed, settings)
        for c in args.concepts
        for solver in drawn
    ]
    pictures = measure(args, cells, solvers.draw, lab.depends)
    if pictures:
        result |= picture_tables(args, pictures)
    return result, [*done, *counted, *pictures]


def sign_tables(counted: list[Result]) -> dict:
    """Sign accuracy of each solver over all concepts, and how reliable probabilities are."""
    found = {r.cell.concept: r.numbers for r in counted}
    units = {s: [row for f in found.values() for row in f["signs"][s]] for s in SOLVERS}
    return {
        "signs": accuracy(units),
        "signs_top": accuracy(units, top=True),
        "reliability": reliability([f["reliability"] for f in found.values()]),
        "reliable": RELIABLE,
        "concepts": {
            n: {s: v["value"] for s, v in accuracy(f["signs"]).items()} for n, f in found.items()
        },
    }


def picture_tables(args, pictures: list[Result]) -> dict:
    """Rates of every solver under every rule, erased and retained, beside one of them."""
    first = "conditional" if "conditional" in args.draw else args.draw[0]
    base = f"{first} · max, K = {RULES['max']:g}"
    parts: dict[str, dict] = {c: {} for c in args.concepts}
    for r in pictures:
        for key, right in r.outcomes.items():
            kind, _, name = key.partition(" · ")
            row = name if r.cell.recipe == PLAIN else f"{r.cell.recipe} · {name}"
            parts[r.cell.concept].setdefault(row, {})[kind] = right
    shared = [
        x
        for c in args.concepts
        for x in retained_pictures(get_concept(c), args.retained, args.seed)
    ]
    return {
        "erased": compare(list(parts.values()), "erased", base),
        "retained": compare(list(parts.values()), "retained", base, shared),
        "base": base,
        "images": args.images,
        "retained_images": args.retained,
    }


if __name__ == "__main__":
    sys.exit(main())
