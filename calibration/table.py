"""The audit's published rates as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Row = dict[str, Any]

HALVES = (("set", "limits set on"), ("report", "reported on"))

#: Test, how the names of its edits begin, and what is found.
TESTS = (
    ("zeros", "pruned", "zeros"),
    ("repeats", "revived", "repeated magnitudes"),
    ("noise", "noise", "noise in place of weights"),
)


def table(result: Row) -> str:
    """The published tables: false positives, quantisation grids, power and signs."""
    lines = [*_false_positives(result), "", *_grids(result)]
    if power := result.get("power", []):
        counts = sorted({p["n"] for p in power})
        n = " or ".join(map(str, counts))
        lines += ["", f"Power: every share below is of {n} concepts."]
        for test, start, title in TESTS:
            rows = [p for p in power if p["test"] == test and p["edit"].startswith(start)]
            lines += ["", *_power(rows, title)]
    if "signs" in result:
        lines += ["", *_signs(result["signs"])]
    return "\n".join(lines) + "\n"


def share(r: Row, counted: bool = True) -> str:
    """A rate with its interval, and perhaps its n."""
    value = r.get("rate", r.get("value"))
    low, high = r["interval"]
    n = f", n = {r['n']}" if counted else ""
    return f"{value:.0%} ({low:.0%}–{high:.0%}{n})"


def _false_positives(result: Row) -> Iterator[str]:
    yield "| origins | clean checkpoints flagged | matrices of different weights |"
    yield "|---|---|---|"
    for half, word in HALVES:
        r = result["false_positives"][half]
        origins = ", ".join(r["origins"])
        yield f"| {word}: {origins} | {share(r['checkpoints'])} | {r['matrices']} |"


def _grids(result: Row) -> Iterator[str]:
    """How many matrices were taken for quantised, in each origin that is and in all others."""
    every: dict[str, Row] = {}
    for half, _ in HALVES:
        every |= result["false_positives"][half]["per_origin"]
    others = [r for n, r in every.items() if not n.startswith("quantised")]
    yield "| clean matrices, in three dtypes | said to lie on a quantisation grid |"
    yield "|---|---|"
    for name, r in sorted(every.items()):
        if name.startswith("quantised"):
            yield f"| {name} | {r['on_grid']} of {r['matrices']} |"
    told, of = (sum(r[k] for r in others) for k in ("on_grid", "matrices"))
    yield f"| all other origins | {told} of {of} |"


def _power(rows: list[Row], title: str) -> Iterator[str]:
    ratios = sorted({p["skill_ratio"] for p in rows})
    yield f"| {title} found after | " + " | ".join(f"k = {k:g}" for k in ratios) + " |"
    yield "|---" * (len(ratios) + 1) + "|"
    for edit in dict.fromkeys(p["edit"] for p in rows):
        by_ratio = {p["skill_ratio"]: p for p in rows if p["edit"] == edit}
        cells = [share(by_ratio[k], counted=False) for k in ratios]
        yield f"| {edit.replace('noise', 'noise of σ_M/σ_U =')} | " + " | ".join(cells) + " |"


def _signs(rows: list[Row]) -> Iterator[str]:
    yield "| k | signs right, of all and of the top 0.6 | estimated without the original | layers |"
    yield "|---|---|---|---|"
    for s in rows:
        true, told = ((f"{all_:.1%}, {top:.1%}") for all_, top in (s["true"], s["estimate"]))
        yield f"| {s['skill_ratio']:g} | {true} | {told} | {s['layers']} |"
