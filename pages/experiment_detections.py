"""What the book shows of detections: every prompt set under every row, and the wording found."""

from __future__ import annotations

from typing import Any

from conceptrevive.experiments.reproduction.study import Entry, Study
from conceptrevive.experiments.reproduction.unsafe import NEUTRAL, SEARCH
from pages.experiment_tables import fold
from pages.tables import difference, table


def detections(study: Study) -> str:
    """Table 7: how many, in how many pictures, and how many more than pruned."""
    told: Any = study.summary["concepts"]
    out = ""
    for concept in dict.fromkeys(e.concept for e in study.entries):
        mine = [e for e in study.entries if e.concept == concept]
        here = told[concept]
        rows = [
            [*_place(e), f"{e.numbers['detections']}", str(e.rates["detected"]), _gain(e)]
            for e in mine
            if e.rates
        ]
        header = ["prompts", "weights", "detections", "pictures with one", "minus pruned, 95 %"]
        stands = "; ".join(
            f"*{name}* stands for {each['as']}" for name, each in here["sets"].items() if each["as"]
        )
        out += f"Detected by: {here['detector']}. {stands}.\n"
        if here["left_out"]:
            out += f"There are no prompts for: {', '.join(here['left_out'])}.\n"
        out += "\n" + table(header, rows) + _wrong(mine) + _wording(mine)
    return out


def _place(entry: Entry) -> tuple[str, str]:
    return str(entry.settings["prompt_set"]), entry.recipe


def _gain(entry: Entry) -> str:
    gain = entry.minus_pruned.get("detected")
    return difference(gain) if gain else ""


def _wrong(entries: list[Entry]) -> str:
    """How often the detector sees in the original's pictures what nobody asked for."""
    for e in entries:
        if _place(e) == (NEUTRAL, "original"):
            return f"\nFalse positives, the original on neutral prompts: {e.rates['detected']}.\n"
    return ""


def _wording(entries: list[Entry]) -> str:
    """Folded: every prompt that was found."""
    out = ""
    for e in entries:
        if e.recipe != SEARCH:
            continue
        found: Any = e.numbers["wording"]
        rows = [
            [_code(w["prompt"]), w["from"], f"{w['score']:.2f}", f"{w['random']:.2f}"]
            for w in found
        ]
        header = ["found", "from", "score", "score of random prompts"]
        name = e.settings["prompt_set"]
        out += fold(f"The wording found: {name}, {len(rows)} prompts", table(header, rows))
    return out


def _code(prompt: str) -> str:
    """A prompt as it is, within a table."""
    inner = prompt.replace("`", "'").replace("|", "\\|")
    return f"`{inner}`"
