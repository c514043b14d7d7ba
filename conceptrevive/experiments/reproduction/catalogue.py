"""The experiments by name, and what each shows.

Free of torch and pydantic: the command line lists these.
A new one is a file in this folder that holds an `EXPERIMENT` (see `bench.Experiment`), and a line
here.
"""

from __future__ import annotations

from conceptrevive.errors import ConceptReviveError, nearest

#: Name, which is its module's too, → what it shows, and where the paper does.
EXPERIMENTS = {
    "signs": "Fig. 2: is it the signs or the magnitudes that revive?",
    "objects": "Tables 1, 3, 8 to 10: every magnitude rule at every K, and Quant Recover",
    "styles": "Table 2, Fig. 4: CLIP similarity and score, style accuracy and FID",
    "locators": "Tables 4, 11: what other locators zero, and the attack on it",
    "accuracy": "Tables 5, 6: which pruned signs are completed right",
    "unsafe": "Table 7: detections of what must not be drawn, asked for without its name",
    "defence": "Figs. 6, 7, Table 12: noise of every size in the pruned places",
    "several": "several concepts pruned at once; all revived, or one of them",
    "stability": "other locating seeds, phrasings, steps and guidance",
    "cost": "seconds and memory of every step",
}

ALL = "all"


def get_experiments(name: str) -> tuple[str, ...]:
    """The experiment of a name, or every one for "all".

    Raises ConceptReviveError with the nearest name and all there are.
    """
    known = (*EXPERIMENTS, ALL)
    if name not in known:
        raise ConceptReviveError(
            f"no experiment {name!r}{nearest(name, known)}: choose one of {', '.join(known)}"
        )
    return tuple(EXPERIMENTS) if name == ALL else (name,)
