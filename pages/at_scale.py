"""Write the estimates and scripts of the page on many GPUs (`make pages`).

    python -m pages.at_scale

Counts pictures from the profile's own cells and operations from the model's layers, writes
`book/generated/at-scale.md`, `efficiency.md` and `cluster.md`. Hours are estimates; what they
assume stands beside them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from benchmarks.common import RESULTS as BENCHMARKS
from benchmarks.common import read_table
from conceptrevive.concepts.presets import get_concept
from conceptrevive.experiments.operations import (
    A100,
    H100,
    LEAST,
    MOST,
    UTILISATION,
    Card,
    Model,
    seconds,
    stable_diffusion,
)
from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS
from conceptrevive.experiments.reproduction.plan import Plan
from conceptrevive.experiments.reproduction.profiles import PAPER
from pages.experiment_tables import whole
from pages.operations import Work, longest, work
from pages.processes import processes
from pages.tables import GENERATED, ROOT, table

CARDS = (A100, H100)
COUNTS = (1, 8, 64)


def hours(operations: float, card: Card, utilisation: float = UTILISATION) -> float:
    """GPU-hours of so many operations."""
    return seconds(operations, card, utilisation) / 3600


def wall(work: Sequence[Work], card: Card, gpus: int, efficiency: float) -> float:
    """Hours until all experiments are done, one after the other, each shared out cell by cell.

    Args:
        efficiency: of several processes beside one alone, whatever their number.
    """
    whole = sum(hours(longest(each.operations, gpus), card) for each in work)
    return whole / (efficiency if gpus > 1 else 1.0)


def efficiency() -> float:
    """Of two processes on this package's own benchmark."""
    return float(read_table(BENCHMARKS / "processes.csv")[-1]["efficiency"])


def locating(plan: Plan, model: Model) -> float:
    """Operations of locating every concept with every seed that is asked for."""
    out = 0.0
    for name in plan.concepts:
        concept = get_concept(name, plan.preset)
        prompts = len(concept.target_prompts) + len(concept.base_prompts)
        out += prompts * 2 * concept.settings.tau * model.denoiser
    return out * plan.profile.locating_seeds


def tables(works: Sequence[Work]) -> str:
    """Pictures and GPU-hours of each experiment."""
    rows = [
        [
            w.name,
            f"{w.cells:,}",
            f"{w.pictures:,}",
            f"{w.total / 1e18:,.1f}",
            *(_range(w.total, card) for card in CARDS),
        ]
        for w in [*works, together(works)]
    ]
    header = ["experiment", "cells", "pictures drawn", "10¹⁸ operations"]
    return table([*header, *(f"{card.name}: GPU-hours, estimated" for card in CARDS)], rows)


def _range(operations: float, card: Card) -> str:
    """ "805<br>503 to 1,342": the estimate, and its range."""
    low, high = (_hours(hours(operations, card, share)) for share in (MOST, LEAST))
    return f"{_hours(hours(operations, card))}<br>{whole(f'{low} to {high}')}"


def together(works: Sequence[Work]) -> Work:
    """All experiments as one row."""
    return Work(
        "**all**",
        sum(w.cells for w in works),
        sum(w.asked for w in works),
        sum(w.pictures for w in works),
        tuple(x for w in works for x in w.operations),
    )


def _hours(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def clusters(works: Sequence[Work], shared: float) -> str:
    """Hours until everything is done on 1, 8 and 64 GPUs, and how long GPUs are held."""
    rows = []
    for gpus in COUNTS:
        cells = [str(gpus)]
        for card in CARDS:
            took = wall(works, card, gpus, shared)
            cells += [_hours(took), _hours(took * gpus)]
        rows.append(cells)
    header = ["GPUs"]
    for card in CARDS:
        header += [f"{card.name}: hours, estimated", f"{card.name}: GPU-hours held, estimated"]
    return table(header, rows)


def page(works: Sequence[Work], model: Model, plan: Plan) -> str:
    """The arithmetic, with what it assumes."""
    steps = get_concept(plan.concepts[0], plan.preset).settings.steps
    picture = model.picture(steps)
    shared = efficiency()
    peaks = ", ".join(f"{c.name} {c.peak / 1e12:.0f}" for c in CARDS)
    each = ", ".join(f"{seconds(picture, c):.2f} s ({c.name})" for c in CARDS)
    located = locating(plan, model)
    whole = together(works).total
    return (
        "Every hour below is an **estimate**. Counted are operations: "
        f"{model.denoiser / 1e9:.1f} · 10⁹ for one call of the denoiser at 512 × 512 (a "
        "multiplication and its addition are two), counted layer by layer, and "
        f"{model.decoder / 1e9:.1f} · 10⁹ for decoding; {steps} steps under guidance, two calls "
        f"each, make {picture / 1e12:.1f} · 10¹² a picture. Counted too are pictures: those of the "
        f"profile's own cells, {together(works).asked:,} that are looked at, each drawn once "
        "however many cells look at it. Assumed is the rate: "
        f"{UTILISATION:g} of the card's float16 peak (10¹² a second: {peaks}), that is "
        f"{each} a picture; the range is for {MOST:g} to {LEAST:g}. "
        "No GPU was timed for this.\n\n"
        + table_of(works)
        + "\nNot counted: judging, completion, audits, gradients of other locators, reading and "
        f"writing. Locating every concept with {plan.profile.locating_seeds} seeds is "
        f"{located / whole:.3%} of the above.\n\n"
        "With several GPUs, experiments follow one another; within one, each process takes the "
        "next cell when it is free, so the last cell decides. The hours are those of this order, "
        f"divided by {shared:.2f}, the efficiency measured with two processes (above), which is "
        "assumed to hold for more.\n\n" + clusters(works, shared)
    )


def table_of(works: Sequence[Work]) -> str:
    """The experiments that draw; those that do not are named."""
    idle = [w.name for w in works if not w.pictures]
    out = tables([w for w in works if w.pictures])
    return out + (
        f"\nThese draw no pictures, or next to none: {', '.join(idle)}.\n" if idle else ""
    )


def scripts() -> str:
    """The job and the image, as they are in the repository."""
    job = (ROOT / "cluster/reproduce.sbatch").read_text(encoding="utf-8")
    image = (ROOT / "cluster/Dockerfile").read_text(encoding="utf-8")
    return (
        f"`cluster/reproduce.sbatch`:\n\n```bash\n{job}```\n\n"
        f"`cluster/Dockerfile`:\n\n```docker\n{image}```\n"
    )


def main() -> None:
    """Write the page's generated parts."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    plan, model = Plan(PAPER, "paper"), stable_diffusion()
    works = work(EXPERIMENTS, plan, model)
    facts = json.loads((BENCHMARKS / "processes.json").read_text())
    parts = {
        "at-scale": page(works, model, plan),
        "efficiency": processes(read_table(BENCHMARKS / "processes.csv"), facts),
        "cluster": scripts(),
    }
    for name, text in parts.items():
        (GENERATED / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
