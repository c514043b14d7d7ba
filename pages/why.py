"""Why a claim of the paper goes another way here, or is not decided: in words, claim by claim.

An explanation belongs to a verdict and is told only with it. A test fails where a claim that
differs or is not decided has none.
"""

from __future__ import annotations

from conceptrevive.experiments.reproduction.scorecard import Verdict

UNDECIDED: Verdict = "not decided"
SPARED = (
    "The paper's pruning costs the other concepts 0.13. This model's hardly touches them (the "
    "model card's table has more pictures of them)"
)
NOTHING = SPARED + ", so there is next to nothing to bring back."

WHY: dict[tuple[str, Verdict], str] = {
    ("spared", UNDECIDED): SPARED + ", which so few pictures cannot tell from nothing.",
    ("others, quantised", UNDECIDED): (
        "The paper's difference is 0.01, which takes thousands of pictures to tell from nothing."
    ),
    ("others, sample", UNDECIDED): NOTHING,
    ("others, average", UNDECIDED): NOTHING,
    ("others, max", UNDECIDED): NOTHING,
    ("quantising", UNDECIDED): (
        "Rounding keeps an exact zero: there is no revival to be found. The paper's 0.04 is what "
        "rounding all other weights does, and here there are too few pictures to see as little."
    ),
}
