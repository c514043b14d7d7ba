"""Everything an audit found, in plain words: marks, differences from a base, damage, and notes."""

from __future__ import annotations

from collections.abc import Sequence

from conceptrevive.auditing.difference import Difference
from conceptrevive.auditing.marks import Finding, find_marks
from conceptrevive.auditing.measurement import Measurement
from conceptrevive.auditing.unknowns import on_grids

ORDER = ("pruning", "revival", "damage", "note")

#: Kind of a difference → (kind of the finding, its title, what happened).
EDITS = {
    "zeroed": (
        "pruning",
        "zeroed since the base",
        "weights of the base are exactly 0 here, scattered, and all others as they were",
    ),
    "revived": (
        "revival",
        "raised since the base",
        "weights of the base were set to ± the largest of their row, and all others left",
    ),
    "replaced": (
        "pruning",
        "replaced since the base",
        "scattered weights of the base were replaced by unrelated ones, and all others left",
    ),
}


def find_all(a: Measurement) -> tuple[Finding, ...]:
    """Everything found, evidence first."""
    found = find_marks(a.layers) + _edits(a.differences or ()) + _damage(a)
    found += _other_differences(a) + _notes(a)
    return tuple(sorted(found, key=lambda f: ORDER.index(f.kind)))


def _edits(differences: Sequence[Difference]) -> list[Finding]:
    out = []
    for kind, (evidence, title, text) in EDITS.items():
        if found := [d for d in differences if d.kind == kind]:
            share = sum(d.changed for d in found) / sum(d.of for d in found)
            names = tuple(d.name for d in found)
            text = f"{share:.2%} of these layers: {text}."
            out.append(Finding(evidence, title, text, names, share, "of the weights"))
    return out


def _damage(a: Measurement) -> list[Finding]:
    bad = [s for s in a.scans if s.nonfinite]
    if not bad:
        return []
    rows = sum(s.nonfinite for s in bad)
    text = f"{rows} rows hold NaN or Inf: the file is damaged or training failed."
    return [Finding("damage", "NaN or Inf", text, tuple(s.name for s in bad))]


def _other_differences(a: Measurement) -> list[Finding]:
    return _noted(
        (
            "other differences from the base",
            "Changed as training or conversion changes weights.",
            [d.name for d in a.differences or () if d.changed and not d.kind],
        ),
        ("not in both", "Only one of checkpoint and base has these tensors.", a.unmatched),
    )


def _notes(a: Measurement) -> list[Finding]:
    def flagged(word: str) -> list[str]:
        return [x.name for x in a.layers if any(e.detail.get(word) for e in x.evidence)]

    return _noted(
        (
            "all zeros",
            "Zero-initialised or unused tensors; nothing was removed from among others.",
            [s.name for s in a.scans if s.zeros == s.numel and s.numel > 1],
        ),
        (
            "rows of zeros",
            "Whole rows are 0: padding, tokens never seen, or units removed on purpose.",
            [s.name for s in a.scans if s.dead_rows and s.zeros < s.numel and s.is_matrix],
        ),
        (
            "blocks of zeros",
            "Zeros in blocks or triangles belong to the architecture (masks, grouped layers).",
            flagged("structured"),
        ),
        (
            "quantisation grid",
            "Weights were rounded to few levels, as quantisation does.",
            on_grids(a),
        ),
        (
            "clipped",
            "One magnitude is shared by most rows: clipping, or a table such as sinusoids.",
            flagged("clipped"),
        ),
    )


def _noted(*notes: tuple[str, str, Sequence[str]]) -> list[Finding]:
    return [Finding("note", title, text, tuple(names)) for title, text, names in notes if names]
