"""The main job in one call: erase a concept, revive it from the zeros, hide the scar, attack again; picture and numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.presets import get_concept
from conceptrevive.defence.obfuscation import obfuscate
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.judges import classifier
from conceptrevive.evaluation.outcomes import (
    evaluate_images,
    judge_concept,
    retained_images,
    retained_probes,
)
from conceptrevive.experiments.provenance import provenance, write_json
from conceptrevive.intervals import Rate
from conceptrevive.models.generation import fastest
from conceptrevive.models.layers import denoiser
from conceptrevive.models.pipeline import load_pipeline
from conceptrevive.models.weights import read_weights, swapped
from conceptrevive.revival.attack import revive
from conceptrevive.revival.completion.solvers import complete
from conceptrevive.revival.positions import guess_masks
from conceptrevive.revival.signs import sign_accuracy
from conceptrevive.unlearning.conceptprune import locate
from conceptrevive.unlearning.masks import prune

#: The concept whose revival is nearest the median of the paper's twelve stand-ins that were erased to ≤ 0.2.
DEFAULT_CONCEPT = "parachute"

ROWS = ("original", "pruned", "revived", "obfuscated", "obfuscated_revived")

IMAGES, RETAINED = 24, 47


def variants(model, concept: Concept, seed: int) -> tuple[dict, dict]:
    """Weights of every row of the demo, and the numbers about the weights themselves."""
    original = read_weights(model)
    masks = locate(model, concept, seed=seed)
    pruned = prune(original, masks)
    hidden = obfuscate(original, masks, seed=seed)
    share = {n: float(masks[n].float().mean()) for n in masks}
    weights = {
        "original": original,
        "pruned": pruned,
        "revived": revive(pruned, seed=seed),
        "obfuscated": hidden,
        "obfuscated_revived": revive(hidden, guess_masks(hidden, share), seed=seed),
        "obfuscated_revived_known": revive(hidden, masks, seed=seed),
    }
    all_signs, kept_signs = sign_accuracy(original, complete(pruned))
    total = sum(p.numel() for p in denoiser(model).parameters())
    return weights, {
        "sign_accuracy": all_signs,
        "sign_accuracy_topk": kept_signs,
        "pruned_fraction": masks.fraction,
        "pruned_fraction_model": masks.count / total,
    }


def _first_equal(weights: dict, row: str) -> str:
    """The first row whose weights equal those of `row`: an attacker who knows the mask revives the same through a defence."""
    return next(
        r for r in weights if all(torch.equal(w, weights[row][n]) for n, w in weights[r].items())
    )


def demo(
    out: str | Path,
    *,
    concept: str = DEFAULT_CONCEPT,
    model: str = "pocket",
    images: int = IMAGES,
    retained: int = RETAINED,
    seed: int = 0,
    device: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict:
    """Run the demo and write `demo.png` and `demo.json` into `out`.

    Args:
        images, retained: pictures per row of the erased and of the retained concepts.
        progress: called with (row, pictures done, pictures in all).

    Returns: what `demo.json` holds.
    """
    from conceptrevive.figures import picture_rows, save_figure

    if images < 1 or retained < 1:
        raise ConceptReviveError(
            f"images is {images} and retained is {retained}: draw at least one of each"
        )
    start = time.time()
    chosen = get_concept(concept)
    pipe = load_pipeline(model, device=device)
    weights, numbers = variants(pipe, chosen, seed)
    first = {row: _first_equal(weights, row) for row in weights}
    total, done = len(set(first.values())) * (images + retained), 0
    erased, kept, pictures = {}, {}, {}
    probes = retained_probes(chosen, retained)
    for row, w in weights.items():
        if first[row] != row:  # the same weights draw the same pictures
            erased[row], kept[row], pictures[row] = (
                d[first[row]] for d in (erased, kept, pictures)
            )
            continue

        def tick(n: int, row: str = row) -> None:
            nonlocal done
            done += n
            if progress:
                progress(row, done, total)

        with swapped(pipe, w):
            mine = evaluate_images(pipe, chosen, n=images, seed=seed, progress=tick)
            others = retained_images(pipe, chosen, n=retained, seed=seed, progress=tick)
        erased[row] = Rate.of(judge_concept(chosen, mine))
        kept[row] = Rate.of(classifier(chosen.judge).correct(others, [p.labels for p in probes]))
        pictures[row] = mine[:5] + others[:: max(1, retained // 4)][:4]
    columns = [concept] * min(5, images) + [
        p.labels[0].split(":")[-1] for p in probes[:: max(1, retained // 4)][:4]
    ]
    device_name = str(next(denoiser(pipe).parameters()).device)
    result = {
        "concept": concept,
        "model": str(model),
        "images": images,
        "retained_images": retained,
        "erased_top1": {r: v.value for r, v in erased.items()},
        "erased_interval": {r: v.interval for r, v in erased.items()},
        "retained_top1": {r: v.value for r, v in kept.items()},
        "retained_interval": {r: v.interval for r, v in kept.items()},
        **numbers,
        "sampling": str(fastest(pipe)),
        **provenance(seed, device_name),
        "seconds": round(time.time() - start, 1),
    }
    captions = {
        r: f"{r.replace('_', ' ')}\n{erased[r].value:.2f} / {kept[r].value:.2f}" for r in ROWS
    }
    figure = picture_rows([pictures[r] for r in ROWS], [captions[r] for r in ROWS], columns)
    save_figure(figure, Path(out) / "demo.png")
    write_json(Path(out) / "demo.json", result)
    return result
