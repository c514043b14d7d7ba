"""Rows of the phenomenon's table taken together: means over concepts, and which concept stands for them."""

from __future__ import annotations

from statistics import median

from conceptrevive.concepts import world as W
from conceptrevive.concepts.presets import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.outcomes import retained_pictures
from conceptrevive.intervals import Rate, paired_difference


def pooled(rows: dict[str, dict], seed: int = 0) -> dict:
    """Over the paper's objects among `rows`: mean top-1, and paired differences from the pruned model.

    The intervals are those of the pictures, for these very concepts; they say nothing about other concepts. A retained
    picture that several concepts share counts as one draw.
    """
    names = [o for o in W.PAPER_OBJECTS if o in rows]
    mine = [rows[o] for o in names]
    out: dict = {"concepts": len(mine)}
    shared = [
        x
        for o in names
        for x in retained_pictures(
            get_concept(o), len(rows[o]["retained_outcomes"]["pruned"]), seed
        )
    ]
    for kind, prefix in (("outcomes", ""), ("retained_outcomes", "retained_")):
        for name in mine[0][kind] if mine else ():
            right = [x for row in mine for x in row[kind][name]]
            out[prefix + name] = Rate.of(right).value
            if name not in ("original", "pruned"):
                pruned = [x for row in mine for x in row[kind]["pruned"]]
                clusters = shared if prefix else None
                out[f"{prefix}{name}_minus_pruned"] = paired_difference(
                    right, pruned, clusters=clusters
                )
    return out


def representative(result: dict, most: float = 0.2) -> str:
    """The concept a reader should see first: neither the best nor the worst.

    Of the paper's objects erased to top-1 ≤ `most`, the one whose revived top-1 is nearest their median (the earlier
    in `PAPER_OBJECTS` of two as near). Raises ConceptReviveError if none was erased so far.
    """
    revived = {
        o: result["concepts"][o]["revived"]
        for o in W.PAPER_OBJECTS
        if o in result["concepts"] and result["concepts"][o]["pruned"] <= most
    }
    if not revived:
        raise ConceptReviveError(f"no object was erased to top-1 ≤ {most}: there is none to show")
    middle = median(revived.values())
    return min(
        revived, key=lambda o: round(abs(revived[o] - middle), 9)
    )  # rounding must not break a tie
