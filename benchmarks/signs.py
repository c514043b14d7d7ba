"""Signs of pruned entries: how many each solver finds, and how often a stated one is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from scipy import stats

from benchmarks.joint import complete_joint
from benchmarks.matrices import concept_mask, structured
from benchmarks.nuclear import complete_nuclear
from conceptrevive.files import ASSETS
from conceptrevive.revival.completion.covariance import ledoit_wolf
from conceptrevive.revival.completion.prior import sign_probability
from conceptrevive.revival.completion.problems import Completion
from conceptrevive.revival.completion.solvers import complete, complete_matrix
from conceptrevive.revival.signs import retain_signs
from conceptrevive.unlearning.masks import prune

Weights = dict[str, torch.Tensor]
BINS = (0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0)
#: Columns per row from which a matrix counts as wide; a feed-forward layer has four.
WIDE = 2
#: The solver whose probabilities are counted, where there is side information; "prior" elsewhere.
RELIABLE = "prior + side"
#: Weights trained on other tasks that come with the package, by what they belong to.
OTHERS = {
    "classifier": "classifier/model.safetensors",
    "autoencoder": "pocket/vae/diffusion_pytorch_model.safetensors",
    "text encoder": "pocket/text_encoder/model.safetensors",
    "rest of the denoiser": "pocket/unet/diffusion_pytorch_model.safetensors",
}


def _ledoit_wolf(pruned: Weights, masks: Weights, side) -> dict[str, Completion]:
    return {
        n: complete_matrix(w, masks[n], ridge=float(ledoit_wolf(w.float())), name=n)
        for n, w in pruned.items()
    }


def _solver(name: str, informed: bool = False) -> Callable:
    return lambda pruned, masks, side: complete(
        pruned, masks, solver=name, side=side if informed else None
    )


SOLVERS: dict[str, Callable] = {
    "paper": _solver("paper"),
    "nuclear": lambda pruned, masks, _side: complete_nuclear(pruned, masks),
    "conditional": _solver("conditional"),
    "conditional, Ledoit-Wolf": _ledoit_wolf,
    "conditional + side": _solver("conditional", True),
    "prior": _solver("prior"),
    "prior + side": _solver("prior", True),
    "joint": lambda pruned, masks, _side: complete_joint(pruned, masks),
}


def count_signs(original: Weights, done: dict[str, Completion]) -> list[dict]:
    """Per layer: pruned entries and right signs, of all and of the top 0.6."""
    rows = []
    for name, c in done.items():
        truth = original[name].sign()
        kept = retain_signs(c)
        rows.append(
            {
                "layer": name,
                "n": int(c.mask.sum()),
                "right": int(((c.weight.sign() == truth) & c.mask).sum()),
                "n_top": int((kept != 0).sum()),
                "right_top": int(((kept == truth) & (kept != 0)).sum()),
                "converged": c.converged,
            }
        )
    return rows


def count_reliability(original: Weights, pruned: Weights, masks: Weights, side) -> list[dict]:
    """Per layer and bin of the probability that `RELIABLE` states: signs, right ones, their sum."""
    rows = []
    for name, w in pruned.items():
        if masks[name].all(1).any() or not masks[name].any():
            continue
        p = sign_probability(
            w.float(), masks[name], side=None if side is None else side[name].float(), name=name
        )
        stated, right = p.probability[masks[name]], (p.sign == original[name].sign())[masks[name]]
        at = torch.bucketize(stated, stated.new_tensor(BINS[1:-1]), right=True)
        for i, low in enumerate(BINS[:-1]):
            rows.append(
                {
                    "layer": name,
                    "low": low,
                    "n": int((at == i).sum()),
                    "right": int(right[at == i].sum()),
                    "stated": float(stated[at == i].double().sum()),
                }
            )
    return rows


def signs(original: Weights, masks: Weights, side) -> dict[str, list[dict]]:
    """Counts of every solver on one set of masks."""
    pruned = prune(original, masks)
    able = {s: run for s, run in SOLVERS.items() if side is not None or "side" not in s}
    return {s: count_signs(original, run(pruned, masks, side)) for s, run in able.items()}


def share(
    rows: list[dict], key: str, n_key: str, minus: list[dict] | None = None
) -> tuple[float, list[float]]:
    """Pooled share right, or its difference from that of `minus`; its 95 % interval over layers.

    The entries of a layer stand or fall together, so layers are what is drawn: the variance is that
    of a ratio of sums (Cochran 1977, §6.4), the quantile Student's with a degree of freedom less
    than there are layers. One layer has none.

    Args:
        rows, minus: counts `key` of `n_key`, any number of rows a layer (concepts share the
            layers).
    """
    layers = sorted({r["layer"] for r in rows})
    value, away = 0.0, np.zeros(len(layers))
    for sign, part in ((1, rows), (-1, minus or [])):
        right, n = np.zeros((2, len(layers)))
        for r in part:
            right[layers.index(r["layer"])] += r[key]
            n[layers.index(r["layer"])] += r[n_key]
        if n.sum():
            p = right.sum() / n.sum()
            value, away = value + sign * p, away + sign * (right - p * n) / n.sum()
    if len(layers) < 2:
        return float(value), [float("nan")] * 2
    k = len(layers)
    half = float(stats.t.ppf(0.975, k - 1) * np.sqrt(k / (k - 1) * (away**2).sum()))
    return float(value), [float(value - half), float(value + half)]


def accuracy(units: dict[str, list[dict]], top: bool = False) -> dict[str, dict]:
    """Pooled sign accuracy of each solver and its difference from the paper's, see `share`.

    Args:
        units: per solver, one row of `count_signs` per concept and layer, in the same order for
            all.
    """
    n_key, key = ("n_top", "right_top") if top else ("n", "right")
    out = {}
    for solver, rows in units.items():
        value, interval = share(rows, key, n_key)
        gain, bounds = share(rows, key, n_key, units["paper"])
        out[solver] = {
            "value": value,
            "interval": interval,
            "minus_paper": gain,
            "minus_paper_interval": bounds,
            "n": sum(r[n_key] for r in rows),
            "layers": len({r["layer"] for r in rows}),
            "converged": sum(r["converged"] for r in rows) / len(rows),
        }
    return out


def reliability(parts: list[list[dict]]) -> list[dict]:
    """Bins of several concepts together: what was stated, and the share right."""
    out = []
    for low, high in pairwise(BINS):
        rows = [r for part in parts for r in part if r["low"] == low and r["n"]]
        n = sum(r["n"] for r in rows)
        value, interval = share(rows, "right", "n") if rows else (float("nan"), [float("nan")] * 2)
        stated = sum(r["stated"] for r in rows) / max(1, n)
        out.append(
            {
                "low": low,
                "high": high,
                "stated": stated,
                "value": value,
                "interval": interval,
                "n": n,
            }
        )
    return out


def known_structure(shapes, seeds: Sequence[int], noise: tuple[float, ...]) -> list[dict]:
    """Solvers on matrices of `SPECTRUM`.

    Rows with the paper's loop below 0.60 are shown and not counted.
    """
    out = []
    for d, n in shapes:
        for level in noise:
            units: dict[str, list[dict]] = {}
            for seed in seeds:
                weight = structured(d, n, seed, noise=level)
                counts = signs(
                    {f"seed {seed}": weight}, {f"seed {seed}": concept_mask(weight, seed)}, None
                )
                for s, rows in counts.items():
                    units.setdefault(s, []).extend(rows)
            found = accuracy(units)
            out.append(
                {
                    "rows": d,
                    "columns": n,
                    "noise": level,
                    "seeds": len(seeds),
                    "counts": bool(found["paper"]["value"] >= 0.60),
                    "solvers": found,
                }
            )
    return out


def trained_matrices(file: Path, count: int, smallest: int = 32) -> Weights:
    """Up to `count` weight matrices of a file, evenly spaced, never embeddings.

    Convolutions are (out, in · height · width).

    Args:
        smallest: least rows and columns. `ff.net.2` is left out: every concept covers it.
    """
    out: Weights = {}
    with safe_open(file, "pt") as f:
        shapes = {k: f.get_slice(k).get_shape() for k in f.keys() if k.endswith("weight")}
        fit = [
            k
            for k, s in shapes.items()
            if len(s) in (2, 4)
            and min(s[0], int(np.prod(s[1:]))) >= smallest
            and "embed" not in k
            and "ff.net.2" not in k
        ]
        for k in fit[:: max(1, -(-len(fit) // count))] if count else ():
            w = f.get_tensor(k).float().flatten(1)
            out[k] = w.T.contiguous() if w.shape[0] > w.shape[1] else w
    return out


def other_weights(count: int, skill_ratio: float = 0.05) -> list[dict]:
    """Solvers on `OTHERS`, masks as ConceptPrune would draw them.

    Below 0.60 for the paper's loop they do not count.

    Matrices nearer to a square than `WIDE` have rows of their own: there the loop's threshold, the
    smallest singular value, is next to nothing, and it stops almost where it starts.
    """
    out = []
    for label, file in OTHERS.items():
        weights = trained_matrices(ASSETS / file, count)
        masks = {
            n: concept_mask(w, i, skill_ratio=skill_ratio)
            for i, (n, w) in enumerate(weights.items())
        }
        for shape, wide in (("wide", True), ("nearly square", False)):
            some = {n: w for n, w in weights.items() if (w.shape[1] >= WIDE * w.shape[0]) == wide}
            if some:
                found = accuracy(signs(some, {n: masks[n] for n in some}, None))
                out.append(
                    {
                        "weights": label,
                        "shape": shape,
                        "matrices": len(some),
                        "counts": bool(found["paper"]["value"] >= 0.60),
                        "solvers": found,
                    }
                )
    return out
