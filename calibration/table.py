"""The audit's published rates as Markdown."""

from __future__ import annotations


def table(result: dict) -> str:
    """The published table, as Markdown for the book."""

    def share(r: dict, counted: bool = True) -> str:
        value, interval = r.get("rate", r.get("value")), r["interval"]
        return f"{value:.0%} ({interval[0]:.0%}–{interval[1]:.0%}" + (
            f", n = {r['n']})" if counted else ")"
        )

    lines = [
        "| origins | clean checkpoints flagged | matrices of different weights |",
        "|---|---|---|",
    ]
    for half, word in (("set", "limits set on"), ("report", "reported on")):
        r = result["false_positives"][half]
        lines.append(
            f"| {word}: {', '.join(r['origins'])} | {share(r['checkpoints'])} | {r['matrices']} |"
        )
    ratios = sorted({p["skill_ratio"] for p in result.get("power", [])})
    if counts := {p["n"] for p in result.get("power", [])}:
        lines += [
            "",
            f"Power: every share below is of {' or '.join(map(str, sorted(counts)))} concepts.",
        ]
    for test, start, title in (
        ("zeros", "pruned", "zeros"),
        ("repeats", "revived", "repeated magnitudes"),
        ("noise", "noise", "noise in place of weights"),
    ):
        rows = [
            p for p in result.get("power", []) if p["test"] == test and p["edit"].startswith(start)
        ]
        lines += [
            "",
            f"| {title} found after | " + " | ".join(f"k = {k:g}" for k in ratios) + " |",
            "|---" * (len(ratios) + 1) + "|",
        ]
        for edit in dict.fromkeys(p["edit"] for p in rows):
            cells = [
                share(p, False)
                for k in ratios
                for p in rows
                if p["edit"] == edit and p["skill_ratio"] == k
            ]
            lines.append(
                f"| {edit.replace('noise', 'noise of σ_M/σ_U =')} | " + " | ".join(cells) + " |"
            )
    if "signs" in result:
        lines += [
            "",
            "| k | signs right, of all and of the top 0.6 | estimated without the original | layers |",
            "|---|---|---|---|",
        ]
        for s in result["signs"]:
            lines.append(
                f"| {s['skill_ratio']:g} | {s['true'][0]:.1%}, {s['true'][1]:.1%} | {s['estimate'][0]:.1%}, {s['estimate'][1]:.1%} | {s['layers']} |"
            )
    return "\n".join(lines) + "\n"
