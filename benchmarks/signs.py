"""Signs of pruned entries: how many each solver finds, and how often one that is said to be right is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from benchmarks.matrices import concept_mask, structured
from conceptrevive.completion import Completion, complete, complete_all
from conceptrevive.covariance import ledoit_wolf
from conceptrevive.masks import prune
from conceptrevive.models import ASSETS
from conceptrevive.prior import sign_probability
from conceptrevive.revival import retain_signs
from conceptrevive.statistics import Rate

Weights = dict[str, torch.Tensor]
BINS = (0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0)
RESAMPLES = 4000
#: Weights trained on other tasks that come with the package, by what they belong to.
OTHERS = {
    "classifier": "classifier/model.safetensors", "autoencoder": "pocket/vae/diffusion_pytorch_model.safetensors",
    "text encoder": "pocket/text_encoder/model.safetensors", "rest of the denoiser": "pocket/unet/diffusion_pytorch_model.safetensors",
}  # fmt: skip


def _ledoit_wolf(pruned: Weights, masks: Weights, side) -> dict[str, Completion]:
    return {n: complete(w, masks[n], ridge=float(ledoit_wolf(w.float())), name=n) for n, w in pruned.items()}


def _solver(name: str, informed: bool = False) -> Callable:
    return lambda pruned, masks, side: complete_all(pruned, masks, solver=name, side=side if informed else None)


SOLVERS: dict[str, Callable] = {
    "paper": _solver("paper"), "nuclear": _solver("nuclear"), "conditional": _solver("conditional"),
    "conditional, Ledoit-Wolf": _ledoit_wolf, "conditional + side": _solver("conditional", True),
    "prior": _solver("prior"), "prior + side": _solver("prior", True), "joint": _solver("joint"),
}  # fmt: skip


def count_signs(original: Weights, done: dict[str, Completion]) -> list[dict]:
    """Per layer: pruned entries and right signs, of all and of the top 0.6."""
    rows = []
    for name, c in done.items():
        truth = original[name].sign()
        kept = retain_signs(c)
        rows.append(
            {
                "layer": name, "n": int(c.mask.sum()), "right": int(((c.weight.sign() == truth) & c.mask).sum()),
                "n_top": int((kept != 0).sum()), "right_top": int(((kept == truth) & (kept != 0)).sum()),
                "converged": c.converged,
            }
        )  # fmt: skip
    return rows


def count_reliability(original: Weights, pruned: Weights, masks: Weights, side) -> list[dict]:
    """Per bin of the stated probability: signs, how many right, and the sum of what was stated."""
    rows = [{"low": a, "high": b, "n": 0, "right": 0, "stated": 0.0} for a, b in pairwise(BINS)]
    for name, w in pruned.items():
        if masks[name].all(1).any() or not masks[name].any():
            continue
        p = sign_probability(w.float(), masks[name], side=None if side is None else side[name].float(), name=name)
        stated, right = p.probability[masks[name]], (p.sign == original[name].sign())[masks[name]]
        at = torch.bucketize(stated, stated.new_tensor(BINS[1:-1]), right=True)
        for i, row in enumerate(rows):
            row["n"] += int((at == i).sum())
            row["right"] += int(right[at == i].sum())
            row["stated"] += float(stated[at == i].double().sum())
    return rows


def signs(original: Weights, masks: Weights, side) -> tuple[dict, dict[str, dict[str, Completion]]]:
    """Counts of every solver on one set of masks, and the completions."""
    pruned = prune(original, masks)
    done = {s: run(pruned, masks, side) for s, run in SOLVERS.items() if side is not None or "side" not in s}
    counts = {s: count_signs(original, c) for s, c in done.items()}
    return {"signs": counts, "reliability": count_reliability(original, pruned, masks, side)}, done


def accuracy(units: dict[str, list[dict]], top: bool = False, seed: int = 0) -> dict[str, dict]:
    """Pooled sign accuracy of each solver and its difference from the paper's, with 95 % bounds over layers.

    Args:
        units: per solver, one row of `count_signs` per concept and layer, in the same order for all.
    """
    n_key, key = ("n_top", "right_top") if top else ("n", "right")
    layers = sorted({r["layer"] for r in units["paper"]})
    draws = np.random.default_rng(seed).integers(0, len(layers), (RESAMPLES, len(layers)))

    def totals(rows: list[dict], which: str) -> np.ndarray:
        out = np.zeros(len(layers))
        for r in rows:
            out[layers.index(r["layer"])] += r[which]
        return out

    def shares(rows: list[dict]) -> tuple[float, np.ndarray]:
        right, n = totals(rows, key), totals(rows, n_key)
        return float(right.sum() / max(1, n.sum())), right[draws].sum(1) / np.maximum(1, n[draws].sum(1))

    base, base_drawn = shares(units["paper"])
    out = {}
    for solver, rows in units.items():
        value, drawn = shares(rows)
        out[solver] = {
            "value": value, "interval": np.percentile(drawn, [2.5, 97.5]).tolist(), "minus_paper": value - base,
            "minus_paper_interval": np.percentile(drawn - base_drawn, [2.5, 97.5]).tolist(),
            "n": int(totals(rows, n_key).sum()), "layers": len(layers),
            "converged": sum(r["converged"] for r in rows) / len(rows),
        }  # fmt: skip
    return out


def reliability(parts: list[list[dict]]) -> list[dict]:
    """Bins of several concepts together, with the share right and its Wilson interval."""
    out = []
    for rows in zip(*parts, strict=True):
        n, right = sum(r["n"] for r in rows), sum(r["right"] for r in rows)
        rate = Rate.of([True] * right + [False] * (n - right))
        stated = sum(r["stated"] for r in rows) / max(1, n)
        out.append({"low": rows[0]["low"], "high": rows[0]["high"], "stated": stated, **rate.as_dict()})
    return out


def known_structure(shapes, seeds: int, noise: tuple[float, ...]) -> list[dict]:
    """Solvers on matrices of `SPECTRUM`; rows with the paper's loop below 0.60 are shown and not counted."""
    out = []
    for d, n in shapes:
        for level in noise:
            units: dict[str, list[dict]] = {}
            for seed in range(seeds):
                weight = structured(d, n, seed, noise=level)
                counts, _ = signs({f"seed {seed}": weight}, {f"seed {seed}": concept_mask(weight, seed)}, None)
                for s, rows in counts["signs"].items():
                    units.setdefault(s, []).extend(rows)
            found = accuracy(units)
            out.append(
                {"rows": d, "columns": n, "noise": level, "seeds": seeds, "counts": bool(found["paper"]["value"] >= 0.60),
                 "solvers": found}
            )  # fmt: skip
    return out


def trained_matrices(file: Path, count: int, smallest: int = 32) -> Weights:
    """Up to `count` weight matrices of a file, evenly spaced; convolutions as (out, in · height · width), never embeddings.

    Args:
        smallest: least rows and columns. `ff.net.2` is left out: every concept covers it.
    """
    out: Weights = {}
    with safe_open(file, "pt") as f:
        shapes = {k: f.get_slice(k).get_shape() for k in f.keys() if k.endswith("weight")}
        fit = [
            k for k, s in shapes.items()
            if len(s) in (2, 4) and min(s[0], int(np.prod(s[1:]))) >= smallest and "embed" not in k and "ff.net.2" not in k
        ]  # fmt: skip
        for k in fit[:: max(1, -(-len(fit) // count))] if count else ():
            w = f.get_tensor(k).float().flatten(1)
            out[k] = w.T.contiguous() if w.shape[0] > w.shape[1] else w
    return out


def other_weights(count: int, skill_ratio: float = 0.05) -> list[dict]:
    """Solvers on `OTHERS`, masks as ConceptPrune would draw them; below 0.60 for the paper's loop they do not count."""
    out = []
    for label, file in OTHERS.items():
        weights = trained_matrices(ASSETS / file, count)
        masks = {n: concept_mask(w, i, skill_ratio=skill_ratio) for i, (n, w) in enumerate(weights.items())}
        if weights:
            found = accuracy(signs(weights, masks, None)[0]["signs"])
            out.append({"weights": label, "matrices": len(weights), "counts": bool(found["paper"]["value"] >= 0.60),
                        "solvers": found})  # fmt: skip
    return out
