"""Why a claim of the paper goes another way here, or is not decided: in words, claim by claim.

An explanation belongs to a verdict and is told only with it. A test fails where a claim that
differs or is not decided has none.
"""

from __future__ import annotations

from conceptrevive.experiments.reproduction.scorecard import Verdict

FEW = (
    "At this size a cell looks at eight pictures of others, nearly the same for all concepts, so "
    "that few are drawn independently. Differences of less than about 0.2 cannot be seen, and the "
    "paper's is {}. The phenomenon's table in the model card looks at more."
)
UNDECIDED: Verdict = "not decided"

WHY: dict[tuple[str, Verdict], str] = {
    ("spared", UNDECIDED): FEW.format("0.13"),
    ("others, quantised", UNDECIDED): FEW.format("0.01"),
    ("others, sample", UNDECIDED): FEW.format("0.03"),
    ("others, average", UNDECIDED): FEW.format("0.04"),
    ("others, max", UNDECIDED): FEW.format("0.11"),
}
