"""Write the benchmark page's tables and figure from what was measured: `python -m pages.benchmarks` (`make bench`).

Reads `results/benchmarks/`, writes `book/generated/benchmarks.md`, `book/generated/solvers.md` and
`book/images/benchmarks.png`. Nothing is typed by hand; what has not been measured is said to be so.
"""

from __future__ import annotations

import json
import math

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.common import RESULTS, read_table
from benchmarks.completion import FLOPS
from conceptrevive.figures import PALETTE, save_figure
from pages.model_card import GENERATED, ROOT, made_by, table

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


def number(row: dict, key: str, form: str = "{:.3g}") -> str:
    """A cell; "" where there is nothing."""
    return form.format(float(row[key])) if row.get(key) not in (None, "") else ""


def spread(row: dict, value: str, low: str, high: str, form: str = "{:.3g}") -> str:
    """ "1.2 [1.1, 1.4]"; the value alone if there is no spread."""
    if row.get(value) in (None, ""):
        return ""
    if row.get(low) in (None, ""):
        return number(row, value, form)
    return f"{number(row, value, form)} [{number(row, low, form)}, {number(row, high, form)}]"


def completion(rows: list[dict], facts: dict) -> str:
    """One table per set of shapes: single layers, then all of them."""
    out = ""
    for key, label in SETS.items():
        mine = [r for r in rows if r["set"] == key]
        if not mine:
            continue
        single, every = (
            [r for r in mine if r["rows"] != "all"],
            [r for r in mine if r["rows"] == "all"],
        )
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
            out += table(header, [_layer(r) for r in single]) + "\n"
        if every:
            header = [
                "layers",
                "solver",
                "seconds [least, most]",
                "peak MiB",
                "× the loop (Gram) [least, most]",
                "× the loop (SVD)",
            ]
            cells = [
                [
                    r["layers"],
                    _solver(r),
                    spread(r, "seconds", "seconds_low", "seconds_high"),
                    number(r, "peak_mb", "{:.0f}"),
                    spread(r, "speedup_gram_extrapolated", "speedup_low", "speedup_high", "{:.0f}"),
                    number(r, "speedup_svd_extrapolated", "{:.0f}"),
                ]
                for r in every
            ]
            out += table(header, cells) + "\n"
    rates = ", ".join(
        f"{v / 1e9:.0f} GFLOP/s in {k}" for k, v in facts["matmul_flops_per_second"].items()
    )
    return (
        f"\nMatrices: {facts['spectrum']}. ✱: {facts['sweeps_timed']} sweeps timed, multiplied to the number the loop needs to "
        f"stop at that width. Repeats: {max(int(r['repeats']) for r in rows)}. Machine: {facts['device_name']}; a matrix product reaches {rates}.\n"
        + out
        + made_by(facts)
    )


def _solver(row: dict) -> str:
    return row["solver"] + (" ✱" if row.get("extrapolated_from_sweeps") else "")


def _layer(r: dict) -> list[str]:
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


def growth(rows: list[dict], facts: dict) -> bool:
    """Seconds a layer against its rows, with the arithmetic at the machine's matrix-product rate; False with one width."""
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
    ax.grid(color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, ncols=2)
    fig.patch.set_facecolor("white")
    fig.tight_layout()
    save_figure(fig, ROOT / FIGURE)
    return True


def pipeline(rows: list[dict], facts: dict) -> str:
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
        table(header, cells)
        + "\nRatio: of editing, the memory added to the file's size; of locating, its time to plain sampling's, turn by turn; "
        "of the attack, the paper's loop's time to each solver's, on masks that `locate` drew. Drawn as "
        f"`{facts['sampling']}` but for the last rows. Model: {rows[0]['model']}. Machine: {facts['device_name']}.\n"
        + made_by(facts)
    )


def benchmarks() -> str:
    """Everything timed, device by device."""
    out = ""
    for suffix in WHERE.values():
        rows, path = (
            read_table(RESULTS / f"completion{suffix}.csv"),
            RESULTS / f"completion{suffix}.json",
        )
        if rows:
            facts = json.loads(path.read_text())
            out += f"\n## Completion on {facts['device_name']}\n" + completion(rows, facts)
            if not suffix and growth(rows, facts):
                alt = "Seconds a layer against its rows, both axes logarithmic, for each solver, with arithmetic floors."
                out += f"\n```{{image}} images/benchmarks.png\n:alt: {alt}\n```\n"
    for path in sorted(RESULTS.glob("pipeline*.json")):
        facts = json.loads(path.read_text())
        out += f"\n## The rest, on {facts['device_name']}\n\n" + pipeline(
            read_table(path.with_suffix(".csv")), facts
        )
    return out or "\nSpeed has not been measured on this version: `make bench` does.\n"


def solvers(result: dict) -> str:
    """Sign accuracy by solver, calibration, and what the pictures say."""
    rows = [
        [
            f"{k['rows']}×{k['columns']}, {k['seeds']}",
            f"{k['noise']:g}",
            "yes" if k["counts"] else "no",
            *_accuracy(s, v),
        ]
        for k in result["known_structure"]
        for s, v in k["solvers"].items()
    ]
    header = ["solver", "sign accuracy", "minus the loop's, 95 %", "converged", "n"]
    out = ""
    if rows:
        out += "\n### Matrices with known structure\n\n" + (
            f"Structure: {result['spectrum']}; *noise* is the energy of the i.i.d. part relative to the rest's. Where the loop stays "
            "below 0.60 there is little to find, and the row does not count. Columns drawn from one covariance are what "
            "*conditional* assumes, so these matrices flatter it: trained weights, below, are the test.\n\n"
        )
        out += table(["shape, matrices", "noise", "counts", *header], rows)
    rows = [
        [
            f"{k['weights']}, {k['shape']}, {k['matrices']}",
            "yes" if k["counts"] else "no",
            *_accuracy(s, v),
        ]
        for k in result["other_weights"]
        for s, v in k["solvers"].items()
    ]
    if rows:
        out += "\n### Weights trained on other tasks\n\n" + (
            "The other parts that come with the package, pruned alike. *Wide* matrices have at least twice as many columns as rows; a "
            "feed-forward layer has four times as many. On *nearly square* ones the loop's threshold, the smallest singular value, is "
            "next to nothing: it stops almost where it started, and ours gain more than they would on the layers that are pruned.\n\n"
        )
        out += table(["part, shape, matrices", "counts", *header], rows)
    rows = [
        [_trained(k["trained"]), *_accuracy(s, v), f"{k['signs_top'][s]['value']:.3f}"]
        for k in result.get("stages", [])
        for s, v in k["signs"].items()
    ]
    if rows:
        names = ", ".join(result["stages"][0]["concepts"])
        out += f"\n### At other stages of training\n\nThe pocket model's own layers; masks of {names}.\n\n"
        out += table(["trained", *header, "top 0.6"], rows)
    if "signs" in result:
        rows = [
            [
                *_accuracy(s, v),
                f"{result['signs_top'][s]['value']:.3f}",
                _gain(result["signs_top"][s]),
            ]
            for s, v in result["signs"].items()
        ]
        one = result["signs"]["paper"]
        out += f"\n### Every concept and layer\n\n{one['n']} signs, {one['layers']} layers, {len(result['concepts'])} concepts.\n\n"
        out += table([*header, "top 0.6", "minus the loop's, 95 %"], rows)
        out += "\n### Is a probability of 0.8 right 80 % of the time?\n\n" + (
            f"Probabilities that *{result['reliable']}* states, of all pruned entries of all concepts.\n\n"
        )
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
        out += table(["stated between", "stated, mean", "right, 95 %", "n"], rows)
    if "erased" in result:
        out += "\n### Do more signs revive more?\n\n" + (
            f"Each solver under each magnitude rule, K being the share of signs kept. Differences are paired, from *{result['base']}*. "
            f"{len(result['erased'])} rows are compared with one, each by its own 95 % interval: of so many, one may leave out 0 by chance.\n\n"
        )
        rows = [
            [
                name,
                *[cell for kind in ("erased", "retained") for cell in _picture(result[kind][name])],
            ]
            for name in result["erased"]
        ]
        out += table(
            ["model", "erased top-1", "minus base, 95 %", "retained top-1", "minus base, 95 %"],
            rows,
        )
    return out + made_by(result)


def _accuracy(solver: str, v: dict) -> list[str]:
    return [
        solver,
        f"{v['value']:.3f}",
        "" if solver == "paper" else _gain(v),
        f"{v['converged']:.2f}",
        str(v["n"]),
    ]


def _trained(t: dict) -> str:
    return (
        "not stated"
        if t["pictures"] is None
        else f"{t['pictures']} pictures, total decay {t['total_decay']:.2f}"
    )


def _gain(v: dict) -> str:
    low, high = v["minus_paper_interval"]
    if math.isnan(low):  # one layer has no spread
        return f"{v['minus_paper']:+.3f}"
    return f"{v['minus_paper']:+.3f} [{low:+.3f}, {high:+.3f}]"


def _picture(v: dict) -> list[str]:
    gain, (low, high) = v["minus_base"]
    return [f"{v['value']:.2f}, n = {v['n']}", f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]"]


def main() -> None:
    GENERATED.mkdir(parents=True, exist_ok=True)
    (GENERATED / "benchmarks.md").write_text(benchmarks())
    path = RESULTS / "solvers.json"
    text = "\nSigns have not been counted on this version: `make solvers` does.\n"
    (GENERATED / "solvers.md").write_text(
        solvers(json.loads(path.read_text())) if path.exists() else text
    )


if __name__ == "__main__":
    main()
