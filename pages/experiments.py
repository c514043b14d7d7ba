"""Write the tables and figures of every published experiment (`make pages`).

    python -m pages.experiments

Reads `results/laptop/`, writes `book/generated/experiment-*.md` and `book/images/results-*.png`.
Nothing is typed by hand; an experiment that is not there is said to be not measured.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt

from conceptrevive.experiments.progress import in_words
from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS
from conceptrevive.experiments.reproduction.scorecard import read_studies
from conceptrevive.experiments.reproduction.study import Study
from conceptrevive.figures import theme
from pages import experiment_figures as figures
from pages import experiment_numbers as means
from pages import experiment_sections as sections
from pages.experiment_detections import detections
from pages.experiment_styles import styles
from pages.experiment_tables import by_concept, contact_sheet, figure, missing, pooled, provenance
from pages.scorecard import NAMES, RESULTS
from pages.tables import GENERATED, table

#: Seconds that the profile was cut to, for two processes.
MEANT = 3 * 3600
#: The page that shows an experiment.
PAGES = {
    "signs": "results-revival", "objects": "results-revival", "accuracy": "results-revival",
    "styles": "results-concepts", "unsafe": "results-concepts", "locators": "results-concepts",
    "several": "results-concepts", "defence": "results-defence",
    "stability": "results-stability", "cost": "results-stability",
}  # fmt: skip


def signs(study: Study) -> str:
    """Fig. 2."""
    alt = (
        "Differences of top-1 from the pruned model with intervals, a line an oracle, for pictures "
        "of the concept and of others. The numbers are in the table."
    )
    caption = "Oracles that know signs or magnitudes exactly: top-1 minus the pruned model's."
    shown = figure(figures.gains(study, "results-signs"), caption, alt)
    return pooled(study) + shown + by_concept(study)


def plain(study: Study) -> str:
    """An experiment that has no section of its own: its rows, and numbers of each."""
    return pooled(study) + means.every_number(study) + by_concept(study)


SECTIONS: dict[str, Callable[[Study], str]] = {
    "signs": signs,
    "objects": sections.objects,
    "accuracy": means.accuracy,
    "styles": styles,
    "locators": sections.locators,
    "defence": sections.defence,
    "several": sections.several,
    "unsafe": detections,
    "stability": means.stability,
    "cost": means.cost,
}


def section(name: str, study: Study | None, folder: Path) -> str:
    """What the book shows of one experiment."""
    if study is None:
        return missing(name)
    shown = SECTIONS.get(name, plain)(study)
    return shown + contact_sheet(name, folder) + provenance(study)


def overview(studies: dict[str, Study]) -> str:
    """Every experiment: what it shows, where, how much was measured, and how long it all took."""
    rows, seconds = [], 0.0
    for name in dict.fromkeys([*NAMES, *PAGES]):
        study = studies.get(name)
        told = "not yet"
        if study is not None:
            took = sum(e.seconds for e in study.entries)
            seconds += took
            told = f"{study.date[:10]}, {len(study.entries)} cells, {in_words(took)}"
        link = f"[{name}]({PAGES[name]}.md)" if name in PAGES else name
        shows = study.shows if study is not None else EXPERIMENTS.get(name, "")
        rows.append([link, shows, told])
    shown = table(["experiment", "shows", "measured, by one process"], rows)
    return shown + (
        f"\nAll together {in_words(seconds)} of one process, half of that at best for two that "
        f"share it. The profile `laptop` was meant for {in_words(MEANT)} of two cores.\n"
        if seconds
        else ""
    )


def main(results: Path = RESULTS) -> None:
    """Write the fragments and the figures."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys([*NAMES, *PAGES]))
    studies = read_studies(results, names)
    with plt.rc_context(theme()):
        for name in names:
            text = section(name, studies.get(name), results)
            (GENERATED / f"experiment-{name}.md").write_text(text, encoding="utf-8")
    (GENERATED / "experiments.md").write_text(overview(studies), encoding="utf-8")


if __name__ == "__main__":
    main()
