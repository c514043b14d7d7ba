"""What the book shows of styles: Table 2 as the paper has it, then every style."""

from __future__ import annotations

from typing import Any

from conceptrevive.experiments.reproduction.study import Study
from pages.experiment_tables import by_concept, by_number, fold
from pages.tables import difference, table


def styles(study: Study) -> str:
    """Table 2: each row over all styles, then every style."""
    told: Any = study.summary["rows"]
    rows = []
    for name, row in told.items():
        rates, gains = study.pooled[name].rates, study.pooled[name].minus_pruned
        cells = [f"{rates['erased']:.2f}", f"{row['similarity']['value']:.3f}"]
        cells += [moved(row.get("similarity_minus_pruned"), 3)]
        cells += [f"{rates['clip_score']:.2f}"]
        cells += [difference(gains["clip_score"]) if "clip_score" in gains else ""]
        cells += [f"{row['fid']:.1f}", moved(row.get("fid_minus_pruned"), 1)]
        rows.append([name, *cells])
    header = ["weights", "style, top-1", "CLIP similarity", "minus pruned, 95 %", "CLIP score"]
    header += ["minus pruned, 95 %", "FID", "minus pruned, 95 %"]
    keys = {"similarity": "CLIP similarity", "fid": "FID"}
    each = "".join(
        fold(f"Every style: {words}", by_number(study, key, 3 if key != "fid" else 1))
        for key, words in keys.items()
    )
    asked = study.entries[0].settings
    n = asked["retained"] or asked["captions"]
    note = (
        "\n*CLIP score*: the share of pictures further from their prompt than the original's; the "
        f"lower, the better revived. FID of {n} neutral pictures a row, from "
        f"{asked['fid_reference']}."
    )
    if study.preset == "pocket":
        note += " Of so few it is biased upwards; the original's own row is the floor."
    return table(header, rows) + note + "\n" + each + by_concept(study)


def moved(gain: Any, digits: int) -> str:
    """A difference with its interval, if it has one."""
    if gain is None or gain["interval"] is None:
        return ""
    low, high = gain["interval"]
    return f"{gain['value']:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
