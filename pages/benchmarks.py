"""Write the benchmark page's tables and figure from what was measured (`make bench`).

    python -m pages.benchmarks

Reads `results/benchmarks/`, writes `book/generated/benchmarks.md`, `book/generated/solvers.md` and
`book/images/benchmarks.png`. Nothing is typed by hand; what has not been measured is said to be so.
"""

from __future__ import annotations

import json
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.common import RESULTS, read_table
from benchmarks.completion import FLOOR, FLOPS
from conceptrevive.figures import PALETTE, save_figure, theme
from pages.processes import processes
from pages.solvers import solvers
from pages.tables import GENERATED, ROOT, folded, made_by, table

Facts = dict[str, Any]

FIGURE = "book/images/benchmarks.png"
COLOURS = {
    "conditional": PALETTE["revived"],
    "prior": PALETTE["original"],
    "nuclear": PALETTE["obfuscated"],
    "joint": PALETTE["retained"],
    "paper": PALETTE["control"],
    "paper (gram)": PALETTE["obfuscated_revived"],
    "paper (svd)": PALETTE["pruned"],
}
LABELS = {
    "paper": "the loop, to its stop",
    "paper (gram)": "the loop, Gram form ✱",
    "paper (svd)": "the loop, SVD form ✱",
}
SETS = {"pocket": "the pocket model", "sd15": "Stable Diffusion 1.5", "sdxl": "SDXL"}
WHERE = {"cpu": "", "cuda": "-cuda", "mps": "-mps"}


def number(row: Facts, key: str, form: str = "{:.3g}") -> str:
    """A cell; "" where there is nothing."""
    return form.format(float(row[key])) if row.get(key) not in (None, "") else ""


def spread(row: Facts, value: str, low: str, high: str, form: str = "{:.3g}") -> str:
    """ "1.2 [1.1, 1.4]"; the value alone if there is no spread."""
    if row.get(value) in (None, ""):
        return ""
    if row.get(low) in (None, ""):
        return number(row, value, form)
    return f"{number(row, value, form)} [{number(row, low, form)}, {number(row, high, form)}]"


def completion(rows: list[Facts], facts: Facts) -> str:
    """One table per set of shapes: single layers, then all of them."""
    out = ""
    for key, label in SETS.items():
        mine = [r for r in rows if r["set"] == key]
        if not mine:
            continue
        single = [r for r in mine if r["rows"] != "all"]
        every = [r for r in mine if r["rows"] == "all"]
        out += f"\n### Shapes of {label}\n\n"
        if single:
            header = [
                "layer",
                "solver",
                "seconds [least, most]",
                "peak MiB",
                "sign accuracy",
                "minus the loop's",
                "same signs as the loop",
                "× the loop (Gram)",
                "× the loop (SVD)",
            ]
            out += folded("Layer by layer", table(header, [_layer(r) for r in single])) + "\n"
        if every:
            header = [
                "layers",
                "solver",
                "seconds [least, most]",
                "peak MiB",
                "× the floor [least, most]",
                "× the loop (Gram) [least, most]",
                "× the loop (SVD)",
            ]
            cells = [
                [
                    r["layers"],
                    _solver(r),
                    spread(r, "seconds", "seconds_low", "seconds_high"),
                    number(r, "peak_mb", "{:.0f}"),
                    spread(r, *FLOOR, "{:.2f}"),
                    spread(r, "speedup_gram_extrapolated", "speedup_low", "speedup_high", "{:.0f}"),
                    number(r, "speedup_svd_extrapolated", "{:.0f}"),
                ]
                for r in every
            ]
            out += table(header, cells) + "\n"
    rates = ", ".join(
        f"{v / 1e9:.0f} GFLOP/s in {k}" for k, v in facts["matmul_flops_per_second"].items()
    )
    repeats = max(int(r["repeats"]) for r in rows)
    return (
        f"\nMatrices: {facts['spectrum']}. ✱: {facts['sweeps_timed']} sweeps timed, multiplied to "
        f"the number the loop needs to stop at that width. Repeats: {repeats}. Machine: "
        f"{facts['device_name']}; a matrix product reaches {rates}.\n" + out + made_by(facts)
    )


def _solver(row: Facts) -> str:
    return row["solver"] + (" ✱" if row.get("extrapolated_from_sweeps") else "")


def _layer(r: Facts) -> list[str]:
    return [
        f"{r['rows']}×{r['columns']}",
        _solver(r),
        spread(r, "seconds", "seconds_low", "seconds_high"),
        number(r, "peak_mb", "{:.0f}"),
        number(r, "sign_accuracy", "{:.3f}"),
        "" if r["solver"] == "paper" else number(r, "minus_paper", "{:+.3f}"),
        number(r, "same_signs", "{:.3f}"),
        number(r, "speedup_gram_extrapolated", "{:.0f}"),
        number(r, "speedup_svd_extrapolated", "{:.0f}"),
    ]


def growth(rows: list[Facts], facts: Facts) -> bool:
    """Seconds a layer against its rows, over the arithmetic at the machine's matrix-product rate.

    False, and no figure, with one width.
    """
    single = [r for r in rows if r["rows"] != "all"]
    widths = sorted({int(r["rows"]) for r in single})
    if len(widths) < 2:
        return False
    fig, ax = plt.subplots(figsize=(7, 4.5))
    for i, (solver, colour) in enumerate(COLOURS.items()):
        mine = sorted(
            (int(r["rows"]), float(r["seconds"])) for r in single if r["solver"] == solver
        )
        if mine:
            ax.loglog(
                *zip(*mine, strict=True),
                "osv^DPX"[i] + "-",
                color=colour,
                label=LABELS.get(solver, solver),
                ms=5,
            )
    x = np.geomspace(widths[0], widths[-1], 50)
    rates = facts["matmul_flops_per_second"]
    ax.loglog(
        x,
        [FLOPS["conditional"](d, 4 * d) / rates["float32"] for d in x],
        "--",
        color="0.3",
        label="floor, conditional",
    )
    sweeps = {int(r["rows"]): float(r["iterations"]) for r in single if r["solver"] == "paper"}
    floor = [FLOPS["gram"](d, 4 * d) * sweeps[d] / rates["float64"] for d in widths if d in sweeps]
    ax.loglog(
        [d for d in widths if d in sweeps], floor, ":", color="0.3", label="floor, the loop (Gram)"
    )
    ax.set(
        xlabel="rows of the layer (four times as many columns)",
        ylabel="seconds a layer",
        xticks=widths,
    )
    ax.set_xticklabels(widths)
    ax.minorticks_off()
    ax.grid()
    ax.legend(fontsize=8, ncols=2)
    fig.tight_layout()
    save_figure(fig, ROOT / FIGURE)
    return True


def pipeline(rows: list[Facts], facts: Facts) -> str:
    """Locating, attacking, editing and drawing."""
    header = [
        "what",
        "how",
        "seconds [least, most]",
        "peak MiB",
        "ratio [least, most]",
        "grey values from the first, mean / most",
    ]
    cells = [
        [
            r["part"],
            r["name"],
            spread(r, "seconds", "seconds_low", "seconds_high"),
            number(r, "peak_mb", "{:.0f}"),
            spread(r, "ratio", "ratio_low", "ratio_high", "{:.2f}"),
            f"{number(r, 'grey_mean', '{:.2f}')} / {number(r, 'grey_max', '{:.0f}')}"
            if r.get("grey_mean")
            else "",
        ]
        for r in rows
    ]
    return (
        folded("Every step", table(header, cells))
        + "\nRatio: of editing, the memory added to the file's size; of locating, its time to "
        "plain sampling's, turn by turn; of the attack, the paper's loop's time to each solver's, "
        f"on masks that `locate` drew. Drawn as `{facts['sampling']}` but for the last rows. "
        f"Model: {rows[0]['model']}. Machine: {facts['device_name']}.\n" + made_by(facts)
    )


def benchmarks() -> str:
    """Everything timed, device by device."""
    out = ""
    for suffix in WHERE.values():
        rows = read_table(RESULTS / f"completion{suffix}.csv")
        path = RESULTS / f"completion{suffix}.json"
        if rows:
            facts = json.loads(path.read_text())
            out += f"\n## Completion on {facts['device_name']}\n" + completion(rows, facts)
            with plt.rc_context(theme()):
                drawn = not suffix and growth(rows, facts)
            if drawn:
                alt = (
                    "Seconds a layer against its rows, both axes logarithmic, for each solver, "
                    "with arithmetic floors."
                )
                out += f"\n```{{image}} images/benchmarks.png\n:alt: {alt}\n```\n"
    for path in sorted(RESULTS.glob("pipeline*.json")):
        facts = json.loads(path.read_text())
        out += f"\n## The rest, on {facts['device_name']}\n\n" + pipeline(
            read_table(path.with_suffix(".csv")), facts
        )
    rows = read_table(RESULTS / "processes.csv")
    if rows:
        facts = json.loads((RESULTS / "processes.json").read_text())
        out += f"\n## Several processes, on {facts['device_name']}\n" + processes(rows, facts)
    return out or "\nSpeed has not been measured on this version: `make bench` does.\n"


def main() -> None:
    """Write both pages and the figure."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    (GENERATED / "benchmarks.md").write_text(benchmarks())
    path = RESULTS / "solvers.json"
    text = "\nSigns have not been counted on this version: `make solvers` does.\n"
    (GENERATED / "solvers.md").write_text(
        solvers(json.loads(path.read_text())) if path.exists() else text
    )


if __name__ == "__main__":
    main()
