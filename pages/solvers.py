"""The benchmark page's tables on the solvers' signs, and on what the pictures say."""

from __future__ import annotations

import math
from typing import Any

from pages.tables import folded, made_by, table

Result = dict[str, Any]
SOLVER = ["solver", "sign accuracy", "minus the loop's, 95 %", "converged", "n"]


def solvers(result: Result) -> str:
    """Sign accuracy by solver, calibration, and what the pictures say."""
    parts = (known_structure, other_weights, stages, every_concept, pictures)
    return "".join(part(result) for part in parts) + made_by(result)


def known_structure(result: Result) -> str:
    """Made-up matrices whose structure is known."""
    rows = [
        [
            f"{k['rows']}×{k['columns']}, {k['seeds']}",
            f"{k['noise']:g}",
            "yes" if k["counts"] else "no",
            *_accuracy(solver, v),
        ]
        for k in result["known_structure"]
        for solver, v in k["solvers"].items()
    ]
    if not rows:
        return ""
    text = (
        f"Structure: {result['spectrum']}; *noise* is the energy of the i.i.d. part relative to "
        "the rest's. Where the loop stays below 0.60 there is little to find, and the row does not "
        "count. Columns drawn from one covariance are what *conditional* assumes, so these "
        "matrices flatter it: trained weights, below, are the test."
    )
    header = ["shape, matrices", "noise", "counts", *SOLVER]
    found = folded("Solver by solver", table(header, rows))
    return f"\n### Matrices with known structure\n\n{text}\n\n{found}"


def other_weights(result: Result) -> str:
    """The package's other trained parts."""
    rows = [
        [
            f"{k['weights']}, {k['shape']}, {k['matrices']}",
            "yes" if k["counts"] else "no",
            *_accuracy(solver, v),
        ]
        for k in result["other_weights"]
        for solver, v in k["solvers"].items()
    ]
    if not rows:
        return ""
    text = (
        "The other parts that come with the package, pruned alike. *Wide* matrices have at least "
        "twice as many columns as rows; a feed-forward layer has four times as many. On *nearly "
        "square* ones the loop's threshold, the smallest singular value, is next to nothing: it "
        "stops almost where it started, and ours gain more than they would on the layers that are "
        "pruned."
    )
    header = ["part, shape, matrices", "counts", *SOLVER]
    found = folded("Solver by solver", table(header, rows))
    return f"\n### Weights trained on other tasks\n\n{text}\n\n{found}"


def stages(result: Result) -> str:
    """The pocket model's weights from earlier in its training."""
    rows = [
        [_trained(k["trained"]), *_accuracy(solver, v), f"{k['signs_top'][solver]['value']:.3f}"]
        for k in result.get("stages", [])
        for solver, v in k["signs"].items()
    ]
    if not rows:
        return ""
    names = ", ".join(result["stages"][0]["concepts"])
    text = f"The pocket model's own layers; masks of {names}."
    header = ["trained", *SOLVER, "top 0.6"]
    found = folded("Solver by solver", table(header, rows))
    return f"\n### At other stages of training\n\n{text}\n\n{found}"


def every_concept(result: Result) -> str:
    """All concepts' masks, and whether stated probabilities are right as often as they say."""
    if "signs" not in result:
        return ""
    one = result["signs"]["paper"]
    rows = [
        [
            *_accuracy(solver, v),
            f"{result['signs_top'][solver]['value']:.3f}",
            _gain(result["signs_top"][solver]),
        ]
        for solver, v in result["signs"].items()
    ]
    out = (
        f"\n### Every concept and layer\n\n{one['n']} signs, {one['layers']} layers, "
        f"{len(result['concepts'])} concepts.\n\n"
    )
    out += table([*SOLVER, "top 0.6", "minus the loop's, 95 %"], rows)
    rows = [
        [
            f"{r['low']:.2f} to {r['high']:.2f}",
            f"{r['stated']:.3f}",
            f"{r['value']:.3f} [{r['interval'][0]:.3f}, {r['interval'][1]:.3f}]",
            str(r["n"]),
        ]
        for r in result["reliability"]
        if r["n"]
    ]
    out += (
        "\n### Is a probability of 0.8 right 80 % of the time?\n\n"
        f"Probabilities that *{result['reliable']}* states, of all pruned entries of all "
        "concepts.\n\n"
    )
    return out + table(["stated between", "stated, mean", "right, 95 %", "n"], rows)


def pictures(result: Result) -> str:
    """What each solver revives, under each magnitude rule."""
    if "erased" not in result:
        return ""
    text = (
        "Each solver under each magnitude rule, K being the share of signs kept. Differences are "
        f"paired, from *{result['base']}*. {len(result['erased'])} rows are compared with one, "
        "each by its own 95 % interval: of so many, one may leave out 0 by chance."
    )
    kinds = ("erased", "retained")
    rows = [
        [name, *[cell for kind in kinds for cell in _picture(result[kind][name])]]
        for name in result["erased"]
    ]
    header = ["model", *[c for k in kinds for c in (f"{k} top-1", "minus base, 95 %")]]
    return f"\n### Do more signs revive more?\n\n{text}\n\n{table(header, rows)}"


def _accuracy(solver: str, v: Result) -> list[str]:
    return [
        solver,
        f"{v['value']:.3f}",
        "" if solver == "paper" else _gain(v),
        f"{v['converged']:.2f}",
        str(v["n"]),
    ]


def _trained(t: Result) -> str:
    return (
        "not stated"
        if t["pictures"] is None
        else f"{t['pictures']} pictures, total decay {t['total_decay']:.2f}"
    )


def _gain(v: Result) -> str:
    low, high = v["minus_paper_interval"]
    if math.isnan(low):  # one layer has no spread
        return f"{v['minus_paper']:+.3f}"
    return f"{v['minus_paper']:+.3f} [{low:+.3f}, {high:+.3f}]"


def _picture(v: Result) -> list[str]:
    gain, (low, high) = v["minus_base"]
    return [f"{v['value']:.2f}, n = {v['n']}", f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]"]
