"""How far the pocket model has come: one row of probes appended to a CSV.

    python -m training.progress --model runs/v8/pipeline --out results/pocket/progress.csv

Three probes look for the cause of erasing: do neurons belong to a concept (`energy_selective`), do
gates open and close (`gate_*`), does the concept pass through the feed-forward layers
(`scaled_*`)? Then original, pruned and preserved accuracy at three skill ratios, on six of the
twelve objects. Nothing here looks at revived pictures, so nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from conceptrevive.concepts.concept import Concept, Settings
from conceptrevive.concepts.pocket import POCKET_SETTINGS
from conceptrevive.concepts.presets import get_concept
from conceptrevive.concepts.world import PAPER_OBJECTS
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.outcomes import evaluate
from conceptrevive.files import replacing
from conceptrevive.models.pipeline import load_pipeline
from conceptrevive.models.weights import read_weights, swapped
from conceptrevive.unlearning.conceptprune import concept_masks
from conceptrevive.unlearning.masks import MaskSet, prune
from conceptrevive.unlearning.recording import column_norms
from training.checkpoints import Past

SIX = PAPER_OBJECTS[::2]
SKILL_RATIOS = (0.05, 0.1, 0.2)
SCALES = (0.5, 0.25, 0.0)
SELECTIVE = 1.5  # times the base's norm
SEED = 5


def selective_energy(norms: Mapping[str, Tensor]) -> float:
    """Share of the target's activation energy in columns that the concept has to itself.

    These are the columns whose norm is more than 1.5 times the base's at the middle step; the
    share is averaged over layers.

    Args:
        norms: {module name: (2, steps, columns)} of target and base prompts.
    """
    shares = []
    for norm in norms.values():
        target, base = norm[:2, norm.shape[1] // 2]
        energy = target.square()
        shares.append(float(energy[target > SELECTIVE * base].sum() / energy.sum()))
    return fmean(shares)


@contextmanager
def recorded_gates(unet: nn.Module) -> Iterator[dict[str, list[float]]]:
    """Mean, standard deviation and share above 0 of the gates' inputs, one of each per call."""
    found: dict[str, list[float]] = {"gate_mean": [], "gate_std": [], "gate_open": []}

    def record(module: nn.Module, args: Any, out: Tensor) -> None:
        gate = out.detach().float().chunk(2, -1)[1]
        found["gate_mean"].append(gate.mean().item())
        found["gate_std"].append(gate.std().item())
        found["gate_open"].append((gate > 0).float().mean().item())

    layers = [m for n, m in unet.named_modules() if n.endswith("ff.net.0.proj")]
    if not layers:
        raise ConceptReviveError("no GEGLU layer (`ff.net.0.proj`): there are no gates to look at")
    hooks = [layer.register_forward_hook(record) for layer in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def drawn(
    pipe: StableDiffusionPipeline,
    concepts: Sequence[Concept],
    weights: Mapping[str, Tensor],
    images: int,
) -> float:
    """Mean top-1 on the concepts with these weights."""
    with swapped(pipe, weights):
        rates = [evaluate(pipe, c, n=images, retained=0, seed=SEED).erased for c in concepts]
    return fmean(r.value for r in rates)


def erasing(
    pipe: StableDiffusionPipeline,
    concept: Concept,
    norms: Mapping[str, Tensor],
    skill_ratios: Sequence[float],
    images: int,
    retained: int,
) -> dict[str, float]:
    """Share pruned, accuracy on the concept and on the others, per skill ratio."""
    original, found = read_weights(pipe), {}
    for k in skill_ratios:
        masks = MaskSet(concept_masks(original, norms, k))
        with swapped(pipe, prune(original, masks)):
            outcomes = evaluate(pipe, concept, n=images, retained=retained, seed=SEED)
        found[f"share_{k:g}"] = masks.fraction
        found[f"pruned_{k:g}"] = outcomes.erased.value
        found[f"preserved_{k:g}"] = outcomes.retained.value
    return found


def probe(
    pipe: StableDiffusionPipeline,
    objects: Sequence[str] = PAPER_OBJECTS,
    six: Sequence[str] = SIX,
    settings: Settings = POCKET_SETTINGS,
    skill_ratios: Sequence[float] = SKILL_RATIOS,
    images: int = 12,
    retained: int = 24,
) -> dict[str, float]:
    """One row of numbers, each the mean over objects.

    Args:
        objects: drawn with every `ff.net.2` scaled. six: located and erased.
        images, retained: pictures of the concept and of the others in each cell.
    """
    concepts = {o: replace(get_concept(o), settings=settings) for o in [*objects, *six]}
    original = read_weights(pipe)
    run = {"tau": settings.tau, "steps": settings.steps, "guidance": settings.guidance}
    energy, erased = [], []
    with recorded_gates(pipe.unet) as gates:
        norms = {
            o: column_norms(
                pipe, (concepts[o].target_prompts, concepts[o].base_prompts), seed=0, **run
            )
            for o in six
        }
    for o in six:
        energy.append(selective_energy(norms[o]))
        erased.append(erasing(pipe, concepts[o], norms[o], skill_ratios, images, retained))
    row = {"energy_selective": fmean(energy)}
    row |= {key: fmean(values) for key, values in gates.items()}
    twelve = [concepts[o] for o in objects]
    row["original_twelve"] = drawn(pipe, twelve, original, images)
    for scale in SCALES:
        scaled = {name: w * scale for name, w in original.items()}
        row[f"scaled_{scale:g}"] = drawn(pipe, twelve, scaled, images)
    row["original_six"] = drawn(pipe, [concepts[o] for o in six], original, images)
    return row | {key: fmean(e[key] for e in erased) for key in erased[0]}


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a CSV whose header has the same keys; the file appears whole or not at all.

    Raises ConceptReviveError where the header differs.
    """
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if list(reader.fieldnames or ()) != list(row):
                raise ConceptReviveError(
                    f"{path} has other columns than this version writes: give another --out"
                )
            rows = list(reader)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerows([*rows, dict(row)])


def main(argv: list[str] | None = None) -> None:
    """Probe a pipeline that training wrote, and append the row."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--model", type=Path, required=True, help="the pipeline's folder")
    ap.add_argument("--out", type=Path, default=Path("results/pocket/progress.csv"))
    ap.add_argument("--images", type=int, default=12)
    ap.add_argument("--retained", type=int, default=24)
    ap.add_argument("--threads", type=int, default=0)
    args = ap.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        past = Past.read(args.model / "training.json")
        pipe = load_pipeline(args.model, device="cpu")
        row = probe(pipe, images=args.images, retained=args.retained)
        stage = past.current["name"] if past.stages else ""
        known = {"stage": stage, "step": past.step, "pictures": past.pictures}
        row = known | {key: round(value, 4) for key, value in row.items()}
        append(args.out, row)
    except ConceptReviveError as e:
        raise SystemExit(str(e)) from e
    print(row)


if __name__ == "__main__":
    main()
