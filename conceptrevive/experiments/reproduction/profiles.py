"""How much is measured: a profile says how many concepts, pictures and settings.

Free of torch and pydantic: the command line lists these.
"""

from __future__ import annotations

from dataclasses import dataclass

from conceptrevive.errors import ConceptReviveError, nearest
from conceptrevive.revival.defaults import Magnitude


@dataclass(frozen=True)
class Profile:
    """What every experiment measures.

    Attributes:
        name: of the profile. concepts: how many of the objects, in the order of Table 1.
        images, retained: pictures a cell, of the concept and of the others.
        bits: of Quant Recover. top_k: the shares of signs kept (K).
        sigmas: σ_M in units of σ_U. absolute: σ_M in units of the weights.
        together: how many concepts are pruned at once.
        located: how many concepts have the controls and the full methods beside other locators.
        examples: pictures of a concept, and of the rest, that gradients are taken on.
        training: most steps of a full method.
        locating_seeds: how many times a concept is located anew. phrasings: how many.
        asked: pictures a phrasing and locating seed.
        scales: factors of the denoising steps and of the guidance.
        styles: how many of the styles. style_images: pictures a style, of so many prompts as far as
            there are so many. neutral: pictures without the style, for FID.
        rules: the magnitude rules that styles are revived by.
        repeats: how often each step is timed. shown: pictures of a cell on the contact sheet.
        attacked: pictures of a prompt set that is said or searched for. listed: prompts of a file,
            from its first, each once; None takes all.
        rounds, generations: of the two searches for wording.
        steps: most denoising steps of a picture, τ being shortened with them; None takes every
            concept's own. layers: how many linear layers, and how many convolutions, other locators
            than ConceptPrune look in, spread over the model; None takes all.
    """

    name: str
    concepts: int
    images: int
    retained: int
    bits: tuple[int, ...]
    top_k: tuple[float, ...]
    sigmas: tuple[float, ...]
    absolute: tuple[float, ...]
    together: tuple[int, ...]
    located: int
    examples: int
    training: int
    locating_seeds: int
    phrasings: int
    asked: int
    scales: tuple[float, ...]
    styles: int
    style_images: int
    neutral: int
    rules: tuple[Magnitude, ...]
    repeats: int
    shown: int
    attacked: int
    listed: int | None
    rounds: int
    generations: int
    steps: int | None = None
    layers: int | None = None


TENTHS = tuple(k / 10 for k in range(1, 11))

#: Three minutes on two cores for all experiments together: does everything run?
SMOKE = Profile(
    "smoke",
    concepts=2,
    images=1,
    retained=1,
    bits=(4,),
    top_k=(0.6, 1.0),
    sigmas=(0.25,),
    absolute=(0.01,),
    together=(2,),
    located=1,
    examples=2,
    training=1,
    locating_seeds=2,
    phrasings=2,
    asked=1,
    scales=(0.5,),
    styles=1,
    style_images=2,
    neutral=4,
    rules=("max",),
    repeats=1,
    shown=1,
    attacked=1,
    listed=1,
    rounds=2,
    generations=2,
    steps=4,
    layers=6,
)

#: Meant for three hours on two cores; the book tells how many each experiment took.
LAPTOP = Profile(
    "laptop",
    concepts=12,
    images=16,
    retained=8,
    bits=(2, 3, 4, 8),
    top_k=TENTHS,
    sigmas=(0.1, 0.25, 0.5, 1.0),
    absolute=(0.01,),
    together=(2, 4, 6),
    located=4,
    examples=32,
    training=30,
    locating_seeds=5,
    phrasings=5,
    asked=4,
    scales=(0.5, 2.0),
    styles=5,
    style_images=50,
    neutral=96,
    rules=("average", "max"),
    repeats=5,
    shown=1,
    attacked=32,
    listed=32,
    rounds=40,
    generations=150,
)

#: As the paper: 500 pictures a class, each of the other twelve classes equally often; 50 prompts an
#: artist, and 30 000 captions of COCO a row.
PAPER = Profile(
    "paper",
    concepts=12,
    images=500,
    retained=12 * 500,
    bits=(2, 3, 4, 8),
    top_k=TENTHS,
    sigmas=(0.1, 0.25, 0.5, 1.0),
    absolute=(0.001, 0.005, 0.01, 0.05, 0.1),
    together=(2, 4, 6),
    located=6,
    examples=800,
    training=600,
    locating_seeds=5,
    phrasings=5,
    asked=100,
    scales=(0.5, 2.0),
    styles=5,
    style_images=50,
    neutral=30_000,
    rules=("sample", "average", "max"),
    repeats=5,
    shown=1,
    attacked=100,
    listed=None,
    rounds=1000,
    generations=3000,
)

PROFILES = {each.name: each for each in (SMOKE, LAPTOP, PAPER)}


def get_profile(name: str) -> Profile:
    """A profile by name. Raises ConceptReviveError with the nearest name and all there are."""
    if name not in PROFILES:
        raise ConceptReviveError(
            f"no profile {name!r}{nearest(name, PROFILES)}: choose one of {', '.join(PROFILES)}"
        )
    return PROFILES[name]
