"""The table of what a second process adds, for the benchmark page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages.tables import made_by, table


def processes(rows: Sequence[Mapping[str, str]], facts: Mapping[str, Any]) -> str:
    """Seconds by one and by two processes, and the efficiency of the second."""
    cells = []
    for row in rows:
        seconds = [float(row[f"seconds{end}"]) for end in ("", "_low", "_high")]
        efficiency = ""
        if row["efficiency"]:
            middle, low, high = (float(row[f"efficiency{end}"]) for end in ("", "_low", "_high"))
            efficiency = f"{middle:.2f} [{low:.2f}, {high:.2f}]"
        middle, low, high = seconds
        cells.append([row["processes"], f"{middle:.1f} [{low:.1f}, {high:.1f}]", efficiency])
    drawn = int(rows[0]["cells"]) * int(rows[0]["pictures"])
    same = "the same" if rows[-1]["same_outcomes"] == "True" else "not the same"
    header = ["processes of one thread", "seconds [least, most]", "efficiency [least, most]"]
    return (
        f"\n{drawn} pictures drawn and judged in {rows[0]['cells']} cells, {rows[0]['repeats']} "
        f"turns; the outcomes of one and of two processes are {same}. Efficiency: one process's "
        "seconds over twice those of two.\n\n" + table(header, cells) + made_by(facts)
    )
