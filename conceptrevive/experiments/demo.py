"""The main job in one call: erase a concept, revive it from the zeros, hide the scar, attack again.

Writes a picture and its numbers. What is drawn is kept until the end, so that an interrupted demo
goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.presets import get_concept
from conceptrevive.defence.obfuscation import obfuscate
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.outcomes import retained_probes
from conceptrevive.experiments.cells import Cell, Found, Result
from conceptrevive.experiments.laboratory import Laboratory, decode, encode
from conceptrevive.experiments.runner import discard, is_first, parts_of, publish, run
from conceptrevive.models.layers import denoiser
from conceptrevive.models.weights import Weights
from conceptrevive.revival.attack import revive
from conceptrevive.revival.completion.solvers import complete
from conceptrevive.revival.positions import guess_masks
from conceptrevive.revival.signs import sign_accuracy
from conceptrevive.unlearning.masks import prune

#: The concept whose revival is nearest the median of the paper's twelve stand-ins that were erased
#: to ≤ 0.2.
DEFAULT_CONCEPT = "candle"

ROWS = ("original", "pruned", "revived", "obfuscated", "obfuscated_revived")
#: In the numbers alone: the attacker knows where was pruned.
KNOWN = "obfuscated_revived_known"

IMAGES, RETAINED = 24, 47
#: Called with (row, pictures done, pictures in all).
Progress = Callable[[str, int, int], None]


class Demo:
    """Measures the demo's rows.

    Args:
        lab: the model. concept: what is erased. images, retained: pictures per row.
    """

    def __init__(
        self,
        lab: Laboratory,
        concept: Concept,
        images: int,
        retained: int,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self.lab, self.concept, self.seed = lab, concept, seed
        self.images, self.retained, self.progress = images, retained, progress

    @cached_property
    def made(self) -> tuple[dict[str, Weights], dict[str, JsonValue]]:
        """Weights of every row, and the numbers about the weights themselves."""
        original = self.lab.original
        masks = self.lab.masks(self.concept, self.seed)
        pruned = prune(original, masks)
        hidden = obfuscate(original, masks, seed=self.seed)
        share = {n: float(masks[n].float().mean()) for n in masks}
        weights = {
            "original": original,
            "pruned": pruned,
            "revived": revive(pruned, seed=self.seed),
            "obfuscated": hidden,
            "obfuscated_revived": revive(hidden, guess_masks(hidden, share), seed=self.seed),
            KNOWN: revive(hidden, masks, seed=self.seed),
        }
        all_signs, kept_signs = sign_accuracy(original, complete(pruned))
        total = sum(p.numel() for p in denoiser(self.lab.pipe).parameters())
        return weights, {
            "sign_accuracy": all_signs,
            "sign_accuracy_topk": kept_signs,
            "pruned_fraction": masks.fraction,
            "pruned_fraction_model": masks.count / total,
        }

    def measure(self, cell: Cell) -> Found:
        """Outcomes of one row, and the pictures that are shown of it."""
        weights, numbers = self.made
        rows, each = list(weights), self.images + self.retained
        done = rows.index(cell.recipe) * each

        def tick(count: int) -> None:
            nonlocal done
            done += count
            if self.progress:
                self.progress(cell.recipe, done, len(rows) * each)

        self.lab.drawn = tick
        mine = self.lab.erased(
            self.concept, weights[cell.recipe], self.images, self.seed, shown(self.images, 5)
        )
        others = self.lab.retained(
            self.concept, weights[cell.recipe], self.retained, self.seed, spread(self.retained)
        )
        outcomes = {"erased": mine.right, "retained": others.right}
        pictures: list[JsonValue] = [encode(image) for image in mine.shown + others.shown]
        return Found(outcomes, {"weights": numbers, "pictures": pictures})


def shown(count: int, most: int) -> range:
    """The first pictures, `most` of them."""
    return range(min(most, count))


def spread(count: int) -> range:
    """Four pictures, evenly spread over all."""
    return range(0, count, max(1, count // 4))[:4]


def draw_figure(out: Path, results: dict[str, Result], columns: Sequence[str]) -> None:
    """`demo.png`: a row of pictures for each of `ROWS`."""
    from conceptrevive.figures import picture_rows, save_figure

    pictures, captions = [], []
    for row in ROWS:
        result = results[row]
        kept = result.numbers["pictures"]
        pictures.append([decode(str(p)) for p in kept] if isinstance(kept, list) else [])
        erased, others = result.rate("erased").value, result.rate("retained").value
        captions.append(f"{row.replace('_', ' ')}\n{erased:.2f} / {others:.2f}")
    save_figure(picture_rows(pictures, captions, columns), out / "demo.png")


def demo(
    out: str | Path,
    *,
    concept: str = DEFAULT_CONCEPT,
    model: str = "pocket",
    images: int = IMAGES,
    retained: int = RETAINED,
    seed: int = 0,
    device: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run the demo and write `demo.png` and `demo.json` into `out`.

    Args:
        images, retained: pictures per row of the erased and of the retained concepts.
        progress: called with (row, pictures done, pictures in all).

    Returns: what `demo.json` holds.
    """
    if images < 1 or retained < 1:
        raise ConceptReviveError(
            f"images is {images} and retained is {retained}: draw at least one of each"
        )
    start, file = time.time(), Path(out) / "demo.json"
    chosen = get_concept(concept)
    lab = Laboratory(model, parts_of(file, device))
    todo = [
        Cell("demo", concept, row, images, seed, {"retained": retained}) for row in (*ROWS, KNOWN)
    ]
    one = Demo(lab, chosen, images, retained, seed, progress)
    found = run(
        todo, one.measure, file, depends=lab.depends, device=device, quiet=progress is not None
    )
    results = {r.cell.recipe: r for r in found}
    numbers = found[0].numbers["weights"]
    probes = retained_probes(chosen, retained)
    columns = [concept] * len(shown(images, 5))
    columns += [probes[i].labels[0].split(":")[-1] for i in spread(retained)]
    data = {
        "concept": concept,
        "model": str(model),
        "images": images,
        "retained_images": retained,
        "erased_top1": {r: v.rate("erased").value for r, v in results.items()},
        "erased_interval": {r: v.rate("erased").interval for r, v in results.items()},
        "retained_top1": {r: v.rate("retained").value for r, v in results.items()},
        "retained_interval": {r: v.rate("retained").interval for r, v in results.items()},
        **(numbers if isinstance(numbers, dict) else {}),
        "sampling": lab.sampling,
    }
    if is_first(device):
        draw_figure(Path(out), results, columns)
    written = publish(file, data, seed=seed, device=device, since=start)
    discard(file, device)
    return written
