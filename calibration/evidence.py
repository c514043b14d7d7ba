"""What the audit's rates are counted from: evidence on clean weights, and on edited ones.

One cell a clean checkpoint or a concept; see `conceptrevive.experiments.runner`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import cache

import torch

import conceptrevive as cr
from calibration.origins import origins
from conceptrevive.auditing.measurement import examine
from conceptrevive.auditing.recoverability import estimate_recoverability
from conceptrevive.checkpoints.contents import open_checkpoint
from conceptrevive.checkpoints.layers import find_layers, read_layers
from conceptrevive.checkpoints.selection import choose_layers
from conceptrevive.detectors.evidence import Evidence, as_matrix, testable
from conceptrevive.detectors.zeros import fingerprint
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.sources import short_hash
from conceptrevive.files import ASSETS
from conceptrevive.unlearning.conceptprune import wanda_mask
from conceptrevive.unlearning.recording import column_norms

FIRST_SEED = 300  # the tests were made looking at seeds below
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@cache
def shipped_weights() -> bytes:
    """Digest of every weight that comes with the package."""
    return short_hash(f.read_bytes() for f in sorted(ASSETS.rglob("*.safetensors"))).encode()


def depends(cell: Cell) -> tuple[bytes, ...]:
    """What a part depends on besides its cell and its code."""
    return (shipped_weights(),)


def clean_cells(seeds: int, steps: int) -> list[Cell]:
    """Every origin with every seed; origins that are not trained have one."""
    return [
        Cell("clean", name, seed=seed, settings={"steps": steps})
        for name, (_, seeded) in origins().items()
        for seed in range(FIRST_SEED, FIRST_SEED + (seeds if seeded else 1))
    ]


def clean(cell: Cell) -> Found:
    """Evidence of every testable matrix of one clean checkpoint, in every dtype."""
    make, _ = origins()[cell.concept]
    torch.manual_seed(cell.seed)
    matrices = [as_matrix(w) for w in make(cell.seed, int(str(cell.settings["steps"]))).values()]
    found = {}
    for name, dtype in DTYPES.items():
        each = [w.to(dtype) for w in matrices]
        found[name] = [plain(examine(w)) for w in each if testable(w)]
    return Found(numbers=found)


def edited_cells(
    concepts: Iterable[str], ratios: Sequence[float], sigmas: Sequence[float]
) -> list[Cell]:
    """The shipped model with every concept edited."""
    settings = {"skill_ratios": [*ratios], "sigmas": [*sigmas]}
    return [Cell("edited", concept, settings=settings) for concept in concepts]


def edited(cell: Cell) -> Found:
    """`concept_power` of one cell."""
    told = cell.settings
    return Found(numbers=concept_power(cell.concept, told["skill_ratios"], told["sigmas"]))


def plain(evidence) -> list:
    """Evidence of one matrix, JSON-ready."""
    return [[e.test, round(e.log_p, 3), e.effect] for e in evidence]


def read_back(rows) -> list[list[Evidence]]:
    """`plain` of every matrix, back."""
    return [[Evidence(*e) for e in each] for each in rows]


def masks_of(norms: dict, weights: dict, ratio: float) -> dict:
    """The masks `locate` makes, from column norms taken once."""
    out = {}
    for n, w in weights.items():
        out[n] = torch.zeros_like(w, dtype=torch.bool)
        for a, b in zip(*norms[n], strict=True):
            out[n] |= wanda_mask(w, a, b, ratio)
    return out


def concept_power(name: str, ratios, sigmas) -> dict:
    """Evidence on the candidates of the shipped model after every edit, and how well signs were
    estimated.
    """
    concept = cr.get_concept(name)
    pipe, s = cr.load_pipeline("pocket", device="cpu"), concept.settings
    run = dict(tau=s.tau, steps=s.steps, guidance=s.guidance, seed=0)
    norms = column_norms(pipe, (concept.target_prompts, concept.base_prompts), **run)
    model = open_checkpoint("pocket")
    weights = read_layers(find_layers(model, choose_layers(model).layers))
    rows, signs = [], []
    for ratio in ratios:
        masks = masks_of(norms, weights, ratio)
        pruned = cr.prune(weights, masks)
        edits = {"pruned": pruned}
        for rule, top_k in itertools.product(("max", "average", "sample"), (0.6, 1.0)):
            edits[f"revived {rule} {top_k:g}"] = cr.revive(
                pruned, masks, top_k=top_k, magnitude=rule
            )
        for sigma in sigmas:
            edits[f"noise {sigma:g}"] = cr.obfuscate(weights, masks, sigma=sigma, seed=0)
        g = torch.Generator().manual_seed(0)
        anywhere = {
            n: torch.rand(w.shape, generator=g) < masks[n].float().mean()
            for n, w in weights.items()
        }
        edits["pruned at random"] = cr.prune(weights, anywhere)
        small = cr.guess_masks(weights, {n: float(masks[n].float().mean()) for n in weights})
        edits["pruned by magnitude"] = cr.prune(weights, small)
        for edit, changed in edits.items():
            wanda = [fingerprint(w == 0)["wanda"] for w in changed.values()]
            rows.append(
                {
                    "skill_ratio": ratio,
                    "edit": edit,
                    "evidence": [plain(examine(w)) for w in changed.values()],
                    "wanda": wanda if edit.startswith("pruned") else None,
                }
            )
        done = cr.complete({n: w.float() for n, w in pruned.items()}, masks)
        for n, w in pruned.items():
            told = estimate_recoverability(w, masks[n])
            true = cr.sign_accuracy(weights, {n: done[n]})
            signs.append(
                {
                    "skill_ratio": ratio,
                    "true": true,
                    "estimate": [told.signs.value, told.kept.value],
                }
            )
    return {"concept": name, "rows": rows, "signs": signs}
