"""Pictures drawn once and looked at closely: numbers per picture; `Laboratory` keeps outcomes.

What is looked at is kept in pieces, by the weights the pictures are drawn with, their prompts,
seeds and settings, and by what looks, so that rows and concepts which share pictures draw them
once, and an interrupted run goes on within a row.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from pydantic import JsonValue
from torch import Tensor

from conceptrevive.concepts.concept import Concept, Settings
from conceptrevive.evaluation.features import inception_features, penultimate
from conceptrevive.evaluation.frechet import Distances, distances
from conceptrevive.evaluation.judges import classifier, clip
from conceptrevive.evaluation.outcomes import judge_concept
from conceptrevive.evaluation.similarity import cosines
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.laboratory import (
    Laboratory,
    Picture,
    Told,
    decode,
    encode,
    judge_digest,
    weights_digest,
)
from conceptrevive.experiments.parts import key_of
from conceptrevive.experiments.sources import code_digest, module_of, short_hash
from conceptrevive.models.generation import generate
from conceptrevive.models.weights import Weights, swapped

Values = Float[Tensor, "pictures values"]
#: Pictures and their places among all → numbers of each.
See = Callable[[list[Image.Image], range], Values]
#: Pictures a kept piece.
PIECE = 250
#: What FID is seen by at paper scale.
INCEPTION = "inception-v3-compat"


@dataclass(frozen=True)
class Looked:
    """What was seen.

    Attributes:
        values: per picture. shown: the pictures that were asked for.
    """

    values: Values
    shown: tuple[Image.Image, ...] = ()


def look(
    lab: Laboratory,
    weights: Weights,
    jobs: Sequence[Picture],
    settings: Settings,
    see: See,
    judges: Sequence[str],
    told: Told,
    show: Sequence[int] = (),
) -> Looked:
    """Draw pictures with `weights`, and look at each.

    Args:
        jobs: a prompt and a noise seed each. settings: their steps and guidance.
        see: what looks. judges: by name, what it looks with. told: all else that it depends on.
        show: which of the pictures to keep.
    """

    def draw(at: range) -> list[Image.Image]:
        with swapped(lab.pipe, weights):
            return generate(
                lab.pipe,
                [jobs[i][0] for i in at],
                seed=[jobs[i][1] for i in at],
                steps=settings.steps,
                guidance=settings.guidance,
                progress=lab.drawn,
            )

    def asked(at: range) -> Told:
        return {
            "steps": settings.steps,
            "guidance": settings.guidance,
            "prompts": [jobs[i][0] for i in at],
            "seeds": [jobs[i][1] for i in at],
        }

    drawn_with = weights_digest(weights)
    return _pieces(lab, drawn_with, len(jobs), draw, asked, see, judges, told, show)


def look_at_files(
    lab: Laboratory, files: Sequence[Path], see: See, judges: Sequence[str], told: Told
) -> Looked:
    """The same of pictures in files; they are told apart by path, size and date."""

    def read(at: range) -> list[Image.Image]:
        return [Image.open(files[i]).convert("RGB") for i in at]

    def named(at: range) -> Told:
        return {"files": [[str(files[i]), *_stat(files[i])] for i in at]}

    return _pieces(lab, "files", len(files), read, named, see, judges, told, ())


def _stat(path: Path) -> tuple[int, int]:
    known = path.stat()
    return known.st_size, known.st_mtime_ns


def _pieces(
    lab: Laboratory,
    source: str,
    n: int,
    make: Callable[[range], list[Image.Image]],
    asked: Callable[[range], Told],
    see: See,
    judges: Sequence[str],
    told: Told,
    show: Sequence[int],
) -> Looked:
    values, shown = [], []
    for first in range(0, n, PIECE):
        at = range(first, min(n, first + PIECE))
        here = [i for i in show if i in at]

        def measure(cell: Cell, at: range = at, here: Sequence[int] = here) -> Found:
            images = make(at)
            pictures = [encode(images[i - at.start]) for i in here]
            return Found(numbers={**packed(see(images, at)), "shown": [*pictures]})

        settings: Told = {**told, **asked(at), "show": [*here], "judges": [*judges]}
        cell = Cell("looked", source, n=len(at), settings=settings)
        depends = [*lab.ground(), code_digest(module_of(see)).encode(), *map(judge_digest, judges)]
        found = lab.parts.keep(cell, key_of(cell, measure, depends), measure)
        values.append(unpacked(found.numbers))
        kept = found.numbers["shown"]
        shown += [decode(str(text)) for text in kept] if isinstance(kept, list) else []
    return Looked(torch.cat(values), tuple(shown))


def packed(values: Values) -> Told:
    """Numbers as text, without loss of single precision."""
    array = np.ascontiguousarray(values.detach().cpu().numpy(), dtype="<f4")
    return {"values": base64.b64encode(array.tobytes()).decode(), "width": array.shape[1]}


def unpacked(numbers: Mapping[str, JsonValue]) -> Values:
    """What `packed` made text of: the same numbers, one row a picture."""
    array = np.frombuffer(base64.b64decode(str(numbers["values"])), dtype="<f4")
    return torch.from_numpy(array.reshape(-1, int(str(numbers["width"]))).copy())


def kept_distances(lab: Laboratory, one: Values, other: Values) -> Distances:
    """`distances` of features, kept: minutes where they have thousands of dimensions."""

    def measure(cell: Cell) -> Found:
        found = asdict(distances(one, other))
        return Found(numbers={"value": found["value"], "without": [*found["without"]]})

    digests = [short_hash([x.numpy().tobytes()]) for x in (one, other)]
    cell = Cell("distances", digests[0], n=len(one), settings={"from": digests[1]})
    numbers = lab.parts.keep(cell, key_of(cell, measure), measure).numbers
    without = numbers["without"]
    each = without if isinstance(without, list) else []
    return Distances(float(str(numbers["value"])), tuple(float(str(x)) for x in each))


def styled(
    images: list[Image.Image],
    at: range,
    *,
    concept: Concept,
    prompts: Sequence[str],
    judge: str,
    device: str,
) -> Values:
    """Cosine of each picture with its prompt by the CLIP `judge`; whether it shows the concept."""
    similarity = cosines(clip(judge, device), images, [prompts[i] for i in at])
    right = judge_concept(concept, images, device)
    return torch.stack([similarity, torch.tensor(right).to(similarity)], -1)


def featured(
    images: list[Image.Image],
    at: range,
    *,
    labels: Sequence[Sequence[str]],
    judge: str,
    features: str,
    device: str,
) -> Values:
    """Features of each picture; last, whether the classifier `judge` sees the labels.

    Args:
        features: INCEPTION, or a classifier, whose penultimate layer is meant.
    """
    if features == INCEPTION:
        seen = inception_features(images, device)
    else:
        seen = penultimate(classifier(features, device), images)
    right = classifier(judge, device).correct(images, [labels[i] for i in at])
    return torch.cat([seen, torch.tensor(right).to(seen)[:, None]], -1)


def incepted(images: list[Image.Image], at: range, *, device: str) -> Values:
    """Inception's features."""
    return inception_features(images, device)
