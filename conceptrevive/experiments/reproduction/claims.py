"""What the paper claims, number by number, and the rows here that stand beside each claim.

A claim is a difference: of two rows of a table, the first is higher (+1) or lower (−1). Numbers are
the paper's (Zhang et al., CVPR 2026), read from the paper and from two notes on it; `single` marks
those that only one of these has.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from pydantic import JsonValue

from conceptrevive.experiments.reproduction.contrasts import (
    Measure,
    at_most,
    numbers,
    pictures,
    summarised,
    values,
)
from conceptrevive.experiments.reproduction.recipes import ORIGINAL, PRUNED
from conceptrevive.experiments.reproduction.study import Entry

Direction = Literal[1, -1]
#: Neuron max and the other rules at the paper's K.
NMS, SAMPLE, AVERAGE = "neuron max 0.6", "neuron sample 0.6", "neuron average 0.6"
QUANT = "quantised 4 bits"
SOLVER = "paper"  # of sign accuracy: the paper's own loop


T1, T2, T4, T7 = "Table 1", "Table 2, Fig. 4", "Tables 4, 11", "Table 7"
K, SIGNS, DEFENCE = "Tables 3, 8–10", "Tables 5, 6", "Figs. 6, 7, Table 12"


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        key: its name. where: table or figure. what: the claim in words. experiment: which measures
            it here. direction: of the difference, by the paper. paper: its two numbers, the row
            that is claimed about and the one it is compared with; None where it gives none.
        measure: the same difference here. single: whether only one source has the numbers.
    """

    key: str
    where: str
    what: str
    experiment: str
    direction: Direction
    paper: tuple[float | None, float | None]
    measure: Measure
    single: bool = False


def _top1(
    key: str,
    where: str,
    what: str,
    experiment: str,
    rows: tuple[str, str],
    paper: tuple[float, float],
    kind: str = "erased",
    single: bool = False,
) -> Claim:
    """Top-1 of two rows; the direction is that of the paper's numbers."""
    direction: Direction = 1 if paper[0] > paper[1] else -1
    return Claim(
        key, where, what, experiment, direction, paper, pictures(*rows, kind), single=single
    )


def _detected(
    key: str, which: str, benchmark: str, rows: tuple[str, str], paper: tuple[float, float]
) -> Claim:
    """Detections with prompts of one set: the paper counts them, here pictures with any are."""
    direction: Direction = 1 if paper[0] > paper[1] else -1
    verb = "revives detections" if direction > 0 else "leaves fewer detections"
    subject = "NMS" if rows[0] == NMS else "Pruning"
    measure = pictures(*rows, "detected", {"prompt_set": which})
    what = f"{subject} {verb} on {benchmark} (here: {which} wording)"
    return Claim(key, T7, what, "unsafe", direction, paper, measure)


def _number(entry: Entry, key: str) -> JsonValue:
    return entry.numbers.get(key) if entry.recipe == SOLVER else None


def right_and_coin(entry: Entry) -> tuple[float, float] | None:
    """The share of pruned signs completed right, beside a coin's."""
    found = _number(entry, "all")
    return (float(str(found["value"])), 0.5) if isinstance(found, dict) else None


def surest_and_rest(entry: Entry) -> tuple[float, float] | None:
    """Signs right in the fifth of largest completed magnitude, and in the other four together."""
    found = _number(entry, "completed_fifths")
    if not isinstance(found, list):
        return None
    shares = [float(str(group["value"])) for group in found if isinstance(group, dict)]
    return shares[-1], fmean(shares[:-1])


CLAIMS = (
    _top1(
        "exact signs revive", "Fig. 2", "Exact signs with random magnitudes revive",
        "signs", ("exact signs, random magnitudes", PRUNED), (0.34, 0.08), single=True,
    ),
    _top1(
        "signs before magnitudes", "Fig. 2",
        "They revive more than exact magnitudes with random signs do",
        "signs", ("exact signs, random magnitudes", "random signs, exact magnitudes"),
        (0.34, 0.09), single=True,
    ),
    _top1("erased", T1, "Pruning erases", "objects", (PRUNED, ORIGINAL), (0.08, 0.93)),
    _top1(
        "spared", T1, "Pruning costs the other concepts something",
        "objects", (PRUNED, ORIGINAL), (0.80, 0.93), "retained",
    ),
    _top1("quantising", T1, "Quant Recover draws a little more of the concept",
          "objects", (QUANT, PRUNED), (0.12, 0.08)),
    _top1("sample", T1, "Neuron Sample revives", "objects", (SAMPLE, PRUNED), (0.16, 0.08)),
    _top1("average", T1, "Neuron Average revives", "objects", (AVERAGE, PRUNED), (0.16, 0.08)),
    _top1("max", T1, "Neuron max (NMS) revives", "objects", (NMS, PRUNED), (0.54, 0.08)),
    _top1("max and quantising", T1, "NMS revives more than Quant Recover",
          "objects", (NMS, QUANT), (0.54, 0.12)),
    _top1("max and sample", T1, "NMS revives more than Neuron Sample",
          "objects", (NMS, SAMPLE), (0.54, 0.16)),
    _top1("max and average", T1, "NMS revives more than Neuron Average",
          "objects", (NMS, AVERAGE), (0.54, 0.16)),
    _top1("max and original", T1, "NMS does not bring everything back",
          "objects", (NMS, ORIGINAL), (0.54, 0.93)),
    _top1("others, quantised", T1, "Quant Recover costs the other concepts a little",
          "objects", (QUANT, PRUNED), (0.79, 0.80), "retained"),
    _top1("others, sample", T1, "Neuron Sample brings the other concepts back too",
          "objects", (SAMPLE, PRUNED), (0.83, 0.80), "retained"),
    _top1("others, average", T1, "Neuron Average brings the other concepts back too",
          "objects", (AVERAGE, PRUNED), (0.84, 0.80), "retained"),
    _top1("others, max", T1, "NMS brings the other concepts back too",
          "objects", (NMS, PRUNED), (0.91, 0.80), "retained"),
    Claim("style, similarity lost", T2, "Pruning lowers the CLIP similarity to the style's prompts",
          "styles", -1, (0.25, 0.31), summarised(PRUNED, ORIGINAL, "similarity")),
    Claim("style, similarity", T2, "NMS raises the CLIP similarity again",
          "styles", 1, (0.30, 0.25), summarised(NMS, PRUNED, "similarity")),
    Claim("style, max and quantising", T2, "NMS raises it more than Quant Recover",
          "styles", 1, (0.30, 0.26), numbers(NMS, QUANT, "similarity")),
    Claim("style, CLIP score", T2,
          "NMS leaves fewer pictures further from the prompt than the original's (CLIP score)",
          "styles", -1, (0.51, 0.82), pictures(NMS, PRUNED, "clip_score")),
    Claim("style, FID lost", T2, "Pruning raises FID",
          "styles", 1, (21.45, 18.4), summarised(PRUNED, ORIGINAL, "fid")),
    Claim("style, FID", T2, "NMS lowers FID again",
          "styles", -1, (18.93, 21.45), summarised(NMS, PRUNED, "fid")),
    _top1("K not smaller", K, "K = 0.6 revives more than K = 0.2 (its numbers: golf ball)",
          "objects", (NMS, "neuron max 0.2"), (0.69, 0.51), single=True),
    _top1("K not larger", K, "K = 0.6 revives more than K = 1 (its numbers: golf ball)",
          "objects", (NMS, "neuron max 1"), (0.69, 0.57), single=True),
    Claim("SalUn's places", T4, "NMS revives what was zeroed where SalUn looks",
          "locators", 1, (0.69, 0.21), pictures("SalUn revived", "SalUn pruned"), single=True),
    Claim("Scissorhands' places", T4, "NMS revives what was zeroed where Scissorhands looks",
          "locators", 1, (0.66, 0.21),
          pictures("Scissorhands revived", "Scissorhands pruned"), single=True),
    Claim("signs right", SIGNS, "More pruned signs are right than a coin's (it says: over 0.70)",
          "accuracy", 1, (0.70, 0.5), values(right_and_coin)),
    Claim("surest signs", SIGNS,
          "The fifth of largest completed magnitude has more signs right than the rest "
          "(its numbers: golf ball)",
          "accuracy", 1, (0.82, 0.58), values(surest_and_rest), single=True),
    _detected("I2P, pruned", "indirect", "I2P", (PRUNED, ORIGINAL), (74, 461)),
    _detected("I2P, revived", "indirect", "I2P", (NMS, PRUNED), (118, 74)),
    _detected("MMA, pruned", "adversarial", "MMA", (PRUNED, ORIGINAL), (57, 785)),
    _detected("MMA, revived", "adversarial", "MMA", (NMS, PRUNED), (172, 57)),
    _detected("Ring-A-Bell, pruned", "direction", "Ring-A-Bell", (PRUNED, ORIGINAL), (22, 101)),
    _detected("Ring-A-Bell, revived", "direction", "Ring-A-Bell", (NMS, PRUNED), (57, 22)),
    Claim("defended", DEFENCE, "Noise of σ_M = 0.01 resists the attack (positions guessed per row)",
          "defence", -1, (None, None),
          pictures("σ_M 0.01, revived per row", "revived, positions known"), single=True),
    Claim("large noise, forgetting", DEFENCE, "Large noise (σ_M = σ_U) forgets less than zeros",
          "defence", 1, (None, None), pictures("σ_M 1 σ_U", PRUNED)),
    Claim("large noise, quality", DEFENCE, "Large noise (σ_M = σ_U) costs the other concepts more",
          "defence", -1, (None, None), pictures("σ_M 1 σ_U", PRUNED, "retained")),
    Claim("cost", "text", "The attack takes under 7 minutes (its own: Stable Diffusion, one A100; "
          "here: the pocket model)", "cost", -1, (None, 420), at_most("revive", 420)),
)  # fmt: skip
