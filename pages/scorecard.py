"""Write the scorecard: every claim of the paper beside what was measured (`make pages`).

    python -m pages.scorecard

Reads `results/laptop/`, writes `results/laptop/scorecard.json` and `book/generated/scorecard.md`.
What has not been measured is said to be so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from conceptrevive.experiments.provenance import write_json
from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS
from conceptrevive.experiments.reproduction.claims import CLAIMS
from conceptrevive.experiments.reproduction.contrasts import Contrast
from conceptrevive.experiments.reproduction.scorecard import (
    Line,
    Scorecard,
    read_studies,
    scorecard,
)
from pages.experiment_tables import whole
from pages.tables import GENERATED, ROOT, difference, table
from pages.why import WHY

RESULTS = ROOT / "results/laptop"
#: Every experiment that a claim is measured by, whether it is there yet or not.
NAMES = tuple(dict.fromkeys([*EXPERIMENTS, *(c.experiment for c in CLAIMS)]))
HEADER = ["claim", "direction", "paper", "here, and the difference"]


def paper(line: Line) -> str:
    """ "0.08 → 0.54 (1)": the paper's two numbers, or the sign of the difference it claims."""
    after, before = line.paper
    told = "+" if line.direction > 0 else "−"
    if before is not None:
        told = f"under {before:g} s" if after is None else f"{_short(before)} → {_short(after)}"
    return told + (" (1)" if line.single else "")


def here(ours: Contrast) -> str:
    """ "0.08 → 0.54", as the paper's numbers stand; a time alone."""
    if ours.draws == "timings":
        return f"{ours.after:.3g} s"
    return f"{_short(ours.before)} → {_short(ours.after)}"


def _short(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 10 else f"{value:.2f}"


def cells(line: Line) -> list[str]:
    """The row of a claim."""
    ours = line.ours
    if ours is None:
        return [line.what, line.verdict, whole(paper(line)), ""]
    agree, against = (ours.up, ours.down) if line.direction > 0 else (ours.down, ours.up)
    drawn = f"{ours.n} {ours.draws}"
    found = [
        whole(here(ours)),
        whole(difference((ours.difference, ours.interval))),
        drawn if ours.draws != "pictures" else f"{drawn}; {whole(f'{agree} : {against}')}",
    ]
    verdicts = [_verdict(line.verdict)]
    if line.corrected != line.verdict:
        verdicts.append(f"corrected: {_verdict(line.corrected)}")
    return [line.what, "<br>".join(verdicts), whole(paper(line)), "<br>".join(found)]


def _verdict(verdict: str) -> str:
    return verdict if verdict == "same" else f"**{verdict}**"


def summary(card: Scorecard) -> str:
    """How many claims go which way, and how much is compared."""
    measured = len(card.lines) - card.count("not measured")
    if not measured:
        return f"None of the {len(card.lines)} claims has been measured yet.\n"

    def told(corrected: bool) -> str:
        counts = [card.count(v, corrected) for v in ("same", "opposite", "not decided")]
        return "{} go the same way, {} the opposite way, {} are not decided".format(*counts)

    return (
        f"Of {len(card.lines)} claims {measured} are measured here. By their own 95 % intervals "
        f"{told(False)}; corrected for being so many, {told(True)}.\n"
    )


def comparisons(card: Scorecard) -> str:
    """What is corrected for, and what is not."""
    if not card.family:
        return ""
    return (
        f"Correction: {card.method} ({card.family} p-values). The experiments hold "
        f"{card.intervals} more intervals, which are not corrected: of so many about "
        f"{round(card.intervals / 20)} would miss what they estimate by chance alone.\n"
    )


def whys(lines: Sequence[Line]) -> str:
    """Why claims differ, or are not decided."""
    return "\n".join(
        f"{line.what} ({line.where}): {line.verdict}\n: {line.why}\n" for line in lines if line.why
    )


def page(card: Scorecard) -> str:
    """All claims, a table per table of the paper."""
    out = summary(card) + "\n" + comparisons(card)
    for where, lines in groupby(card.lines, key=lambda line: line.where):
        out += f"\n## {where}\n\n" + table(HEADER, [cells(line) for line in lines])
    if explained := whys(card.lines):
        out += "\n## Where they differ, and why\n\n" + explained
    return out + sources(card)


def sources(card: Scorecard) -> str:
    """Where the numbers come from, and which experiments are not there yet."""
    lines = [
        f"- {name}: {told['date']}, `{told['command']}`, {told['device']}, sampling "
        f"`{told['sampling']}`, seed {told['seed']}" + _commit(told["versions"])
        for name, told in card.sources.items()
    ]
    missing = [name for name in NAMES if name not in card.sources]
    if missing:
        lines.append(f"- Not measured yet: {', '.join(missing)}.")
    return "\n## Where the numbers come from\n\n" + "\n".join(lines) + "\n"


def _commit(versions: object) -> str:
    told = versions.get("commit") if isinstance(versions, dict) else None
    return f", commit `{told}`" if told else ""


def main(results: Path = RESULTS, out: Path | None = None) -> Scorecard:
    """Write the scorecard, beside the results if nowhere else, and its page."""
    card = scorecard(read_studies(results, NAMES), WHY)
    folder = out or results
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "scorecard.json", asdict(card))
    GENERATED.mkdir(parents=True, exist_ok=True)
    (GENERATED / "scorecard.md").write_text(page(card), encoding="utf-8")
    return card


if __name__ == "__main__":
    main()
