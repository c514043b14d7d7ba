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
#: results/pocket/phenomenon.json has these styles' rows, also with the exact signs.
STYLES = (
    "Two of the five styles, pixel art and pointillism, outlast the pruning, so that there is "
    "little to bring back. Of the other three, sketch and stained glass do not come back, and not "
    "for want of signs: with the exact signs where K = 0.6 keeps one, and neuron max, the judge "
    "sees a sketch in 0.22 of 50 pictures and stained glass in none (sepia: 0.66; the table of "
    "the phenomenon). What keeps stained glass away are the places that stay zero (chapter "
    "*Reviving styles*)."
)

WHY: dict[tuple[str, Verdict], str] = {
    ("spared", UNDECIDED): SPARED + ", which so few pictures cannot tell from nothing.",
    ("others, quantised", UNDECIDED): (
        "The paper's difference is 0.01, which takes thousands of pictures to tell from nothing."
    ),
    ("others, sample", UNDECIDED): NOTHING,
    ("others, average", UNDECIDED): NOTHING,
    ("others, max", UNDECIDED): NOTHING,
    ("style, similarity", "opposite"): STYLES
    + " More than half of the fall is sepia's, of whose pictures no fewer are judged to be sepia.",
    ("style, max and quantising", UNDECIDED): STYLES,
    ("style, CLIP score", UNDECIDED): STYLES,
    ("style, FID", UNDECIDED): (
        "96 pictures a row are few: the interval reaches from almost the paper's fall of 2.5 to "
        "a rise."
    ),
    ("quantising", UNDECIDED): (
        "Rounding keeps an exact zero: there is no revival to be found. The paper's 0.04 is what "
        "rounding all other weights does, and here there are too few pictures to see as little."
    ),
    ("SalUn's places", UNDECIDED): (
        "Hardly anything was forgotten: SalUn's weights are few and lie in layers that every "
        "picture passes through, and as more of them are zeroed other pictures break along with "
        "the concept's (`results/pocket/budgets.json`). So there is little to bring back."
    ),
    ("large noise, forgetting", UNDECIDED): (
        "Half of the noise's signs are wrong, and such signs bring nothing back here, whatever the "
        "sizes (Fig. 2's row of random signs with exact magnitudes). At σ_U the noise adds a third "
        "to the disturbance by zeros (chapter *Gaussian obfuscation*): of what the zeros had left "
        "some objects lose more and some get a little back, and the interval reaches further "
        "towards forgetting more."
    ),
    ("large noise, quality", UNDECIDED): (
        "The others hardly suffer from zeros, and noise of σ_U disturbs only a third more. Their "
        "FID does not tell the two apart either."
    ),
}
