"""What is seen of one model in one style: similarity, style, distance from a reference (FID)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import version as installed
from pathlib import Path

from PIL import Image

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.coco import WHERE, Coco
from conceptrevive.evaluation.features import inception
from conceptrevive.evaluation.frechet import Distances
from conceptrevive.evaluation.outcomes import (
    erased_pictures,
    evaluation_seed,
    retained_pictures,
    retained_probes,
)
from conceptrevive.experiments.cells import Cell
from conceptrevive.experiments.laboratory import Told
from conceptrevive.experiments.reproduction.bench import Bench
from conceptrevive.experiments.reproduction.looking import (
    INCEPTION,
    Values,
    featured,
    incepted,
    kept_distances,
    look,
    look_at_files,
    styled,
)
from conceptrevive.experiments.sources import short_hash
from conceptrevive.models.weights import Weights

#: What tells similarity, by the table of concepts.
CLIPS = {"pocket": "pocket", "paper": "openai/clip-vit-base-patch32"}
#: Whose penultimate layer is compared, or what else, by the table of concepts.
FEATURES = {"pocket": "pocket", "paper": INCEPTION}


def check_reference(bench: Bench) -> None:
    """Raise ConceptReviveError where FID has nothing to compare with, or nothing to see it by."""
    if bench.preset == "pocket":
        if bench.coco is not None:
            raise ConceptReviveError(
                f"{bench.coco}: a model of small pictures is compared with its own, not with "
                "COCO's; leave out --coco"
            )
        return
    if bench.coco is None:
        raise ConceptReviveError(
            "FID of full-size models compares with COCO's pictures: give their folder by --coco; "
            f"{WHERE}"
        )
    _coco(bench)
    inception(bench.lab.parts.device)


def reference_of(bench: Bench) -> Told:
    """What FID compares with, and by what."""
    if bench.preset == "pocket":
        return own_reference(bench)
    reference = "COCO"
    if bench.coco is not None:  # a plan of what would be drawn has none
        real = _coco(bench)
        pairs = zip(real.files, real.captions, strict=True)
        known = short_hash(f"{file.name} {caption}\n".encode() for file, caption in pairs)
        reference = f"{len(real.files)} pictures of COCO ({known})"
    return {"fid_reference": reference, **_told(bench)}


def own_reference(bench: Bench) -> Told:
    """What FID compares with where the original's own pictures are the reference."""
    seed = evaluation_seed(bench.seed + 1)
    reference = f"the original on the same prompts, seeds from {seed}"
    return {"fid_reference": reference, **_told(bench)}


def _told(bench: Bench) -> Told:
    small = bench.preset == "pocket"
    return {
        "fid_features": "penultimate, classifier" if small else INCEPTION,
        "fid_by": f"torchmetrics {installed('torchmetrics')}",
    }


def _coco(bench: Bench) -> Coco:
    assert bench.coco is not None  # asked for only where there is one
    return _read(bench.coco, bench.profile.neutral, bench.seed)


@lru_cache(maxsize=1)
def _read(folder: Path, n: int, seed: int) -> Coco:
    return Coco.read(folder, n, seed)


@dataclass(frozen=True)
class Seen:
    """What was seen of one model.

    Attributes:
        cosines: of the style's pictures. right: whether each shows the style. shown: the first.
        neutral: whether each neutral picture shows its object; empty where none is judged.
        fid: the distance of the neutral pictures from the reference.
    """

    cosines: tuple[float, ...]
    right: tuple[bool, ...]
    shown: tuple[Image.Image, ...]
    neutral: tuple[bool, ...]
    fid: Distances


def seen(bench: Bench, cell: Cell, concept: Concept, weights: Weights) -> Seen:
    """Pictures of the style and of neutral prompts, drawn with `weights`, if they are not kept."""
    jobs = erased_pictures(concept, cell.n, cell.seed)
    judge, device = CLIPS[bench.preset], bench.lab.parts.device
    see = partial(styled, concept=concept, prompts=[p for p, _ in jobs], judge=judge, device=device)
    told: Told = {"labels": [*concept.labels], "clip": [*(concept.clip_pair or ())]}
    show = range(min(int(str(cell.settings["shown"])), cell.n))
    judges = [judge, concept.judge]
    mine = look(bench.lab, weights, jobs, concept.settings, see, judges, told, show)
    right = tuple(bool(x) for x in mine.values[:, 1])
    cosines = tuple(map(float, mine.values[:, 0]))
    features, reference, neutral = _compared(bench, cell, concept, weights)
    fid = kept_distances(bench.lab, features, reference)
    return Seen(cosines, right, mine.shown, neutral, fid)


def _compared(
    bench: Bench, cell: Cell, concept: Concept, weights: Weights
) -> tuple[Values, Values, tuple[bool, ...]]:
    """Features of the neutral pictures and of the reference, and which neutral ones are right."""
    lab, device = bench.lab, bench.lab.parts.device
    if bench.coco is not None:
        real, first = _coco(bench), evaluation_seed(cell.seed)
        jobs = [(caption, first + i) for i, caption in enumerate(real.captions)]
        view = partial(incepted, device=device)
        drawn = look(lab, weights, jobs, concept.settings, view, [INCEPTION], {})
        files = look_at_files(lab, real.files, view, [INCEPTION], {})
        return drawn.values, files.values, ()
    others = of_others(bench, cell, concept, weights)
    return others.features, others.reference, others.right


@dataclass(frozen=True)
class Others:
    """What was seen of the pictures of what is retained.

    Attributes:
        right: whether each shows its object. features: of each.
        reference: of the original's pictures of the same prompts under another seed.
    """

    right: tuple[bool, ...]
    features: Values
    reference: Values


def of_others(bench: Bench, cell: Cell, concept: Concept, weights: Weights) -> Others:
    """Retained pictures, drawn with `weights`, and the reference, if they are not kept."""
    lab, device, n = bench.lab, bench.lab.parts.device, int(str(cell.settings["retained"]))
    labels, features = [p.labels for p in retained_probes(concept, n)], FEATURES[bench.preset]
    see = partial(featured, labels=labels, judge=concept.judge, features=features, device=device)
    told: Told = {"labels": [[*x] for x in labels]}
    mine, other = (
        look(
            lab,
            w,
            retained_pictures(concept, n, seed),
            concept.settings,
            see,
            [features, concept.judge],
            told,
        )
        for w, seed in ((weights, cell.seed), (lab.original, cell.seed + 1))
    )
    right = tuple(bool(x) for x in mine.values[:, -1])
    return Others(right, mine.values[:, :-1], other.values[:, :-1])
