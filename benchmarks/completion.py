"""Completion: the closed form against the paper's loop, from the pocket model's shapes to SDXL's.

    python -m benchmarks.completion [--sets pocket sd15 sdxl] [--device cuda]

On one layer per width the loop runs to its stop once, in its Gram form; there signs are compared.
Then some sweeps of its forms, multiplied to that number (they agree to rounding), take turns with
ours; the SVD form by itself above 640 rows. All layers of a set are then completed by ours and
revived by the whole attack, in turns with the floor and with the loop, whose time for them is
extrapolated and labelled so. The floor is one Gram matrix and one inverse a layer, as torch
multiplies and inverts, layers side by side or one after the other, whichever is faster. Rows
already in the CSV, measured on the same machine with the same threads, torch, settings and code,
are kept, so an interrupted run goes on where it stopped; others are replaced. --fresh starts anew.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from benchmarks.common import (
    RESULTS,
    Run,
    alternate,
    device_name,
    matmul_rate,
    ratio,
    read_table,
    write_table,
)
from benchmarks.joint import complete_joint
from benchmarks.matrices import SHAPES, SPECTRUM, concept_mask, structured
from benchmarks.nuclear import complete_nuclear
from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.sources import code_digest, module_of
from conceptrevive.intervals import paired_difference
from conceptrevive.models.pipeline import parse_device
from conceptrevive.revival.attack import revive
from conceptrevive.revival.completion.problems import Completion, working_device
from conceptrevive.revival.completion.softimpute import soft_impute
from conceptrevive.revival.completion.solvers import complete, complete_matrix
from conceptrevive.revival.completion.threads import side_by_side

OURS: dict[str, Callable[..., Completion]] = {
    "conditional": partial(complete_matrix, solver="conditional"),
    "prior": partial(complete_matrix, solver="prior"),
    "nuclear": lambda weight, mask: complete_nuclear({"w": weight}, {"w": mask})["w"],
    "joint": lambda weight, mask: complete_joint({"w": weight}, {"w": mask})["w"],
}
#: Operations as they are carried out, a multiply-add counted as two; eigendecomposition 9 d³ (Golub
#: and Van Loan, §8).
FLOPS = {
    "conditional": lambda d, n: 2 * d * d * n + d**3,  # Gram matrix, its inverse by Cholesky
    "gram": lambda d, n: 6 * d * d * n + 9 * d**3,  # one sweep: Gram, Vᵀ X, V (…)
}


#: Of the floor's layers, on a processor.
TOGETHER = ", side by side"

#: Columns of the table: an attack's time over the floor's, median, least and largest of the turns.
FLOOR = ("times_floor", "times_floor_low", "times_floor_high")


def one_layer(name: str, d: int, n: int, args, device: torch.device) -> list[dict]:
    """Every solver on one layer of d × n, the loop to its stop."""
    truth = structured(d, n, args.seed)
    mask = concept_mask(truth, args.seed)
    weight, gaps, truth = truth.masked_fill(mask, 0).to(device), mask.to(device), truth.to(device)
    exact, where = weight.to(working_device(device)).double(), gaps.to(working_device(device))
    loop = alternate(
        {"paper": lambda: complete_matrix(weight, gaps, solver="paper", max_iterations=args.limit)},
        1,
        device,
        False,
    )
    done = loop["paper"].result
    sweeps = {
        f: lambda f=f: soft_impute(exact, where, args.sweeps, 1e-300, f) for f in ("gram", "svd")
    }
    slow = {} if d <= 640 else alternate({"svd": sweeps.pop("svd")}, 1, device, warm=False)
    turns = alternate(
        {s: partial(run, weight, gaps) for s, run in OURS.items()} | sweeps,
        args.repeats,
        device,
    )
    runs = {"paper": loop["paper"]} | {s: turns[s] for s in OURS}
    forms = {f: (turns | slow)[f] for f in ("gram", "svd")}
    signs = done.weight.sign()[gaps]
    right = {s: ((r.result.weight.sign() == truth.sign())[gaps]).tolist() for s, r in runs.items()}
    rows = []
    for solver, run in runs.items():
        gain, _ = paired_difference(
            right[solver], right["paper"]
        )  # of one layer: no interval, see `signs`
        row = _row(name, d, n, 1, solver, run, args, device) | {
            "iterations": run.result.iterations,
            "converged": run.result.converged,
            "pruned": len(right[solver]),
            "sign_accuracy": sum(right[solver]) / len(right[solver]),
            "minus_paper": gain,
            "same_signs": float((run.result.weight.sign()[gaps] == signs).double().mean()),
        }
        for form, other in forms.items():
            whole = other.median / args.sweeps * done.iterations
            row[f"speedup_{form}_extrapolated"] = whole / run.median
        rows.append(row)
    for form, run in forms.items():
        whole = Run(
            tuple(t / args.sweeps * done.iterations for t in run.seconds), run.peak_mb, None
        )
        rows.append(
            _row(name, d, n, 1, f"paper ({form})", whole, args, device)
            | {
                "iterations": done.iterations,
                "converged": done.converged,
                "extrapolated_from_sweeps": args.sweeps,
            }
        )
    return rows


def all_layers(name: str, args, device: torch.device, single: list[dict]) -> list[dict]:
    """All layers of a set at once, ours; the loop extrapolated from one layer per width, if any.

    Its Gram form is timed again here, a few sweeps of every layer; its SVD form is the sum over
    layers of one's time.
    """
    sweeps = {int(r["rows"]): int(r["iterations"]) for r in single if r["solver"] == "paper"}
    svd = {int(r["rows"]): float(r["seconds"]) for r in single if r["solver"] == "paper (svd)"}
    weights, masks = _layers(name, args.seed, device)

    def loop() -> None:
        for n, w in weights.items():
            there = working_device(device)
            soft_impute(w.to(there).double(), masks[n].to(there), args.sweeps, 1e-300)

    calls = {
        "conditional": lambda: complete(weights, masks),
        "attack": lambda: revive(weights, masks),
        "floor": lambda: floor(weights),
    }
    if device.type == "cpu":
        calls[f"floor{TOGETHER}"] = lambda: floor(weights, side_by_side)
    many = args.turns if sweeps else args.repeats
    turns = [(calls | ({"loop": loop} if sweeps else {}), many)]
    if name != "sdxl":
        prior = {"prior": lambda: complete(weights, masks, solver="prior")}
        turns.append((prior | ({"loop": loop} if sweeps else {}), args.repeats))
    total = sum(count for *_, count in SHAPES[name])
    rows: list[dict] = []
    for calls, repeats in turns:
        runs = _one_floor(alternate(calls, repeats, device))
        mine = {
            s: _row(name, "all", "all", total, s, r, args, device)
            for s, r in runs.items()
            if s != "loop"
        }
        for solver, row in mine.items():
            if "floor" in runs and solver != "floor":
                low_to_high = ratio(runs[solver], runs["floor"])
                row |= dict(zip(FLOOR, low_to_high, strict=True))
            if sweeps and solver != "floor":
                row |= _against_loop(name, runs[solver], runs["loop"], sweeps, svd, args)
        rows += mine.values()
        if sweeps and not any(r["solver"] == "paper (gram)" for r in rows):
            factor = _whole_loop(name, sweeps, args)
            whole = Run(tuple(t * factor for t in runs["loop"].seconds), runs["loop"].peak_mb, None)
            rows.append(
                _row(name, "all", "all", total, "paper (gram)", whole, args, device)
                | {"extrapolated_from_sweeps": args.sweeps}
            )
    return rows


def _one_floor(runs: dict[str, Run]) -> dict[str, Run]:
    """The runs with one floor, that of the way in which this machine is faster."""
    floors = [runs.pop(name) for name in ("floor", f"floor{TOGETHER}") if name in runs]
    return runs | ({"floor": min(floors, key=lambda run: run.median)} if floors else {})


def _layers(
    name: str, seed: int, device: torch.device
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """All pruned layers of a set, and their masks."""
    weights, masks = {}, {}
    for d, n, count in SHAPES[name]:
        for i in range(count):
            w = structured(d, n, seed + i)
            mask = concept_mask(w, seed + i)
            weights[f"{d}.{i}"], masks[f"{d}.{i}"] = (
                w.masked_fill(mask, 0).to(device),
                mask.to(device),
            )
    return weights, masks


def floor(weights: Mapping[str, torch.Tensor], turns: Callable = map) -> None:
    """What no attack by the columns' covariance goes without: its Gram matrix and its inverse.

    Args:
        turns: how layers follow one another: `map`, each on all threads, or `side_by_side`.
    """

    def one(z: torch.Tensor) -> None:
        c = z @ z.mT / z.shape[1]
        c.diagonal().add_(c.diagonal().mean())
        torch.cholesky_inverse(torch.linalg.cholesky_ex(c)[0])

    for _ in turns(one, list(weights.values())):
        pass


def _whole_loop(name: str, sweeps: Mapping[int, int], args) -> float:
    """The loop's time to its stop over that of the sweeps timed.

    Layers weigh by their arithmetic: sweeps differ from width to width.
    """
    work = {d: FLOPS["gram"](d, n) * count for d, n, count in SHAPES[name]}
    return sum(work[d] * sweeps[d] for d in work) / sum(work.values()) / args.sweeps


def _against_loop(
    name: str,
    run: Run,
    loop: Run,
    sweeps: Mapping[int, int],
    svd: Mapping[int, float],
    args,
) -> dict:
    """Ratios of the loop's time, to its stop, to a run's."""
    factor = _whole_loop(name, sweeps, args)
    middle, low, high = (factor * x for x in ratio(loop, run))
    return {
        "speedup_gram_extrapolated": middle,
        "speedup_low": low,
        "speedup_high": high,
        "speedup_svd_extrapolated": sum(svd[d] * count for d, _, count in SHAPES[name])
        / run.median,
    }


def _settings(args) -> str:
    """What rows depend on besides the machine: others are measured again."""
    solvers = (complete_matrix, complete_nuclear, complete_joint, soft_impute, revive)
    timed = {module_of(f) for f in (*solvers, structured, concept_mask)}
    return (
        f"seed {args.seed}, {args.repeats} repeats, {args.turns} turns, {args.sweeps} sweeps, "
        f"limit {args.limit}, code {code_digest(*sorted(timed))}"
    )


def _row(name, d, n, layers, solver: str, run: Run, args, device) -> dict:
    return {
        "set": name,
        "rows": d,
        "columns": n,
        "layers": layers,
        "solver": solver,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "machine": device_name(device),
        "torch": torch.__version__,
        "repeats": len(run.seconds),
        "seconds": run.median,
        "seconds_low": min(run.seconds),
        "seconds_high": max(run.seconds),
        "peak_mb": run.peak_mb,
        "settings": _settings(args),
    }


def main(argv=None) -> int:
    """Command line."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--sets", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--threads", type=int, default=None)
    ap.add_argument("--repeats", type=int, default=3)
    ap.add_argument(
        "--turns", type=int, default=7, help="repeats of all layers, the floor and the loop"
    )
    ap.add_argument(
        "--sweeps",
        type=int,
        default=5,
        help="sweeps of the loop timed where it does not run to its stop",
    )
    ap.add_argument("--limit", type=int, default=500, help="most sweeps of the loop")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--fresh", action="store_true", help="measure again what is there")
    ap.add_argument("--out", type=Path, default=RESULTS)
    args = ap.parse_args(argv)
    try:
        device = parse_device(args.device)
    except ConceptReviveError as e:
        print(f"completion: {e}", file=sys.stderr)
        return 2
    if args.threads:
        torch.set_num_threads(args.threads)
    name = "completion" if device.type == "cpu" else f"completion-{device.type}"
    same = {
        "threads": str(torch.get_num_threads()),
        "machine": device_name(device),
        "torch": torch.__version__,
        "settings": _settings(args),
    }
    found = [] if args.fresh else read_table(args.out / f"{name}.csv")
    rows: list[dict] = [r for r in found if {k: r.get(k) for k in same} == same]
    rates = {
        str(t).removeprefix("torch."): matmul_rate(
            working_device(device) if t == torch.float64 else device, t
        )
        for t in (torch.float32, torch.float64)
    }
    facts = {"spectrum": SPECTRUM, "matmul_flops_per_second": rates, "sweeps_timed": args.sweeps}

    def have(key: str, size) -> list[dict]:
        return [r for r in rows if r["set"] == key and str(r["rows"]) == str(size)]

    for key in args.sets:
        single = []
        for d, n, _ in SHAPES[key] if key != "sdxl" else ():
            if not have(key, d):
                rows += one_layer(key, d, n, args, device)
                write_table(name, rows, args.out, args.seed, device, **facts)
            single += have(key, d)
            _say(have(key, d))
        if not have(key, "all"):
            rows += all_layers(key, args, device, single)
            write_table(name, rows, args.out, args.seed, device, **facts)
        _say(have(key, "all"))
    return 0


def _say(rows: list[dict]) -> None:
    for r in rows:
        speed = r.get("speedup_gram_extrapolated")
        ratio_text = f"  {float(speed):8.1f}x the loop" if speed not in (None, "") else ""
        if r.get("speedup_low") not in (None, ""):
            ratio_text += f" [{float(r['speedup_low']):.1f}, {float(r['speedup_high']):.1f}]"
        over = r.get("times_floor")
        if over not in (None, ""):
            ratio_text += f"  {float(over):.2f}x the floor"
            ratio_text += (
                f" [{float(r['times_floor_low']):.2f}, {float(r['times_floor_high']):.2f}]"
            )
        right = r.get("sign_accuracy")
        sign = (
            f"  signs {float(right):.3f}"
            if right not in (None, "") and not math.isnan(float(right))
            else ""
        )
        peak = f"  {float(r['peak_mb']):7.0f} MiB" if r["peak_mb"] not in (None, "") else ""
        print(
            f"{r['set']:7} {r['rows']!s:>5} {r['solver']:14} {float(r['seconds']):9.3f} s"
            f"{peak}{sign}{ratio_text}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
