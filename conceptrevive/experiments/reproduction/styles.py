"""Table 2 and Fig. 4, styles: CLIP similarity, CLIP score, style accuracy and FID.

The outcomes of a cell are "erased" (the judge sees the style), "clip_score" (the cosine of picture
and prompt is lower than that of the original's picture of the same prompt and seed, as the paper
defines it; exactly 0 of the original) and, on the pocket model, "retained" (the neutral pictures
show their objects).

FID compares pictures of neutral prompts, without the style. On the pocket model a stand-in of COCO:
features are the shipped classifier's penultimate layer, and the reference is as many pictures by
the original under another seed. The original's own row is therefore the floor: FID of few pictures
is biased upwards, and no row is expected below it. Only differences between rows of equal n mean
something. At paper scale prompts are COCO's captions, the reference its pictures in the user's
folder, and the features Inception's.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from conceptrevive.concepts.styles import style_prompts, styles_of
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.frechet import Distances, difference, mean_distance
from conceptrevive.evaluation.judges import clip
from conceptrevive.evaluation.similarity import Mean, further, mean_of
from conceptrevive.experiments.cells import Cell, Found, Result
from conceptrevive.experiments.laboratory import encode, weights_digest
from conceptrevive.experiments.reproduction import objects
from conceptrevive.experiments.reproduction.bench import Bench, Experiment, Numbers
from conceptrevive.experiments.reproduction.profiles import Profile
from conceptrevive.experiments.reproduction.recipes import BASIS, ORIGINAL, PRUNED, Recipe
from conceptrevive.experiments.reproduction.views import (
    CLIPS,
    Seen,
    check_reference,
    reference_of,
    seen,
)
from conceptrevive.revival.defaults import TOP_K

BITS = 4


def recipes(profile: Profile) -> dict[str, Recipe]:
    """The table's rows; they are the objects' at 4 bits and K = 0.6."""
    made = objects.recipes(replace(profile, bits=(BITS,), top_k=(TOP_K,)))
    names = [f"quantised {BITS} bits", *(f"neuron {rule} {TOP_K:g}" for rule in profile.rules)]
    return BASIS | {name: made[name] for name in names}


def names(bench: Bench) -> tuple[str, ...]:
    """The concepts that were named, or the profile's number of styles."""
    return bench.concepts if bench.named else styles_of(bench.preset)[: bench.profile.styles]


def ready(bench: Bench) -> None:
    """Raise ConceptReviveError for a judge that lacks its classes, and FID without a reference."""
    clip(CLIPS[bench.preset], bench.lab.parts.device)
    check_reference(bench)
    for name in names(bench):
        concept = bench.concept(name)
        bench.check_judge(concept)
        if bench.preset == "pocket" and not concept.retained:
            raise ConceptReviveError(
                f"concept {name!r} retains nothing, so FID has no neutral prompts: give it "
                "`retained`, prompts without it and their labels"
            )


def cells(bench: Bench) -> list[Cell]:
    """Every style under every rule."""
    small, out = bench.preset == "pocket", []
    images, neutral = bench.profile.style_images, bench.profile.neutral
    for name in names(bench):
        said = style_prompts(bench.concept(name), bench.preset)[:images]
        out += [
            bench.cell(
                "styles",
                name,
                recipe,
                n=images,
                retained=neutral if small else 0,
                captions=0 if small else neutral,
                prompts=[*said],
                clip=CLIPS[bench.preset],
                **reference_of(bench),
            )
            for recipe in recipes(bench.profile)
        ]
    return out


def measure(bench: Bench, cell: Cell) -> Found:
    """All of one style under one rule, beside the original and the pruned model."""
    erased, concept = bench.erased_of(cell), bench.asked(cell)
    rows = recipes(bench.profile)
    recipe = rows[cell.recipe]
    weights = recipe.make(erased)
    mine = seen(bench, cell, concept, weights)
    against = {}
    for name in (ORIGINAL, PRUNED):
        # The pruned model is told against the original, not the other way about.
        if (cell.recipe, name) != (ORIGINAL, PRUNED):
            against[name] = seen(bench, cell, concept, rows[name].make(erased))
    outcomes = {"erased": mine.right}
    outcomes["clip_score"] = further(mine.cosines, against[ORIGINAL].cosines)
    if mine.neutral:
        outcomes["retained"] = mine.neutral
    numbers: Numbers = {
        **recipe.told,
        "pruned_fraction": erased.masks.fraction,
        "weights": weights_digest(weights),
        "pictures": [encode(image) for image in mine.shown],
        "cosines": [*mine.cosines],
        "fid_without": [*mine.fid.without],
        **compared([mine], {name: [other] for name, other in against.items()}, prompts(cell)),
    }
    return Found(outcomes, numbers)


def prompts(cell: Cell) -> list[Hashable]:
    """What each picture of a style was asked for by: the clusters that are resampled."""
    said = cell.settings["prompts"]
    assert isinstance(said, list)  # as `cells` made them
    return [(cell.concept, str(said[i % len(said)])) for i in range(cell.n)]


def compared(
    mine: Sequence[Seen], against: Mapping[str, Sequence[Seen]], clusters: Sequence[Hashable]
) -> Numbers:
    """Similarity and FID with their differences from other models; means where there are several.

    Args:
        mine: one per style. against: name → the same styles. clusters: see `mean_of`.
    """
    cosines = [x for each in mine for x in each.cosines]
    fid = mean_distance([each.fid for each in mine])
    out: Numbers = {"similarity": _told(mean_of(cosines, 1, clusters)), "fid": fid.value}
    for name, others in against.items():
        base = [x for each in others for x in each.cosines]
        gains = [a - b for a, b in zip(cosines, base, strict=True)]
        out[f"similarity_minus_{name}"] = _told(mean_of(gains, 2, clusters))
        value, interval = difference(fid, mean_distance([each.fid for each in others]))
        out[f"fid_minus_{name}"] = {"value": value, "interval": interval and [*interval]}
    return out


def _told(found: Mean) -> Numbers:
    return {"value": found.value, "interval": [*found.interval], "n": found.n}


def summary(results: Sequence[Result]) -> dict[str, JsonValue]:
    """Per rule, the table's row: similarity and mean FID over all styles, and their differences."""
    by_row: dict[str, dict[str, Result]] = {}
    for result in results:
        by_row.setdefault(result.cell.recipe, {})[result.cell.concept] = result
    rows = {name: [_back(r) for r in row.values()] for name, row in by_row.items()}
    clusters = [x for r in by_row[ORIGINAL].values() for x in prompts(r.cell)]
    out: dict[str, JsonValue] = {}
    for name, mine in rows.items():
        bases = (ORIGINAL,) if name == ORIGINAL else (ORIGINAL, PRUNED)
        out[name] = compared(mine, {base: rows[base] for base in bases}, clusters)
    return {"rows": out, "styles": len(by_row[ORIGINAL])}


def _back(result: Result) -> Seen:
    """What a cell's numbers say was seen; without pictures."""
    told, kept = result.numbers, {}
    for key in ("cosines", "fid_without"):
        values = told[key]
        assert isinstance(values, list)  # as `measure` wrote them
        kept[key] = tuple(float(str(x)) for x in values)
    fid = Distances(float(str(told["fid"])), kept["fid_without"])
    return Seen(kept["cosines"], result.outcomes["erased"], (), (), fid)


EXPERIMENT = Experiment(cells, measure, summary, ready=ready)
