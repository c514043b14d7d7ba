"""Where generated parts of the book are written, and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conceptrevive.experiments.table import Difference

ROOT = Path(__file__).parent.parent
GENERATED = ROOT / "book/generated"

#: What the attack is measured by: key of the results, words of the tables.
ATTACK = {
    "original": "original",
    "pruned": "pruned",
    "revived": "revived",
    "revived_paper": "revived, paper's solver",
    "retained_original": "others, original",
    "retained_pruned": "others, pruned",
    "retained_revived": "others, revived",
    "sign_accuracy": "signs right",
    "sign_accuracy_topk": "signs right, top 0.6",
    "pruned_fraction": "share pruned",
}
#: The same for its controls.
CONTROLS = {
    "pruned": "pruned",
    "revived": "revived",
    "neuron_average": "neuron average",
    "random_signs": "random signs",
    "exact_signs": "exact signs",
    "random_mask": "random mask",
    "other_mask": "another concept's mask",
}
LABELS = CONTROLS | ATTACK
#: What the whole model draws.
DRAWN = {
    "scenes": "scenes",
    "styles": "styles (the style itself)",
    "styled_objects": "styles (the object in them)",
    "held_out_pairs": "object and scene never seen together",
    "held_out_phrasings": "phrasings never seen",
    "judges_agree": "objects: classifier and CLIP name the same",
    "every_ff_zeroed": "objects, every `ff.net.2` set to zero",
}


def rate(r: Mapping[str, Any]) -> str:
    """ "0.94 [0.90, 0.97], n = 50"."""
    return f"{r['value']:.2f} [{r['interval'][0]:.2f}, {r['interval'][1]:.2f}], n = {r['n']}"


def difference(pair: Difference) -> str:
    """ "+0.31 [0.27, 0.35]"."""
    value, (low, high) = pair
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def folded(title: str, text: str) -> str:
    """A long table behind its title: a page stays short enough to be read."""
    return f":::{{dropdown}} {title}\n{text}:::\n"


def made_by(result: Mapping[str, Any]) -> str:
    """Where a table's numbers come from."""
    v = result["versions"]
    return (
        f"\nMeasured {result['date'][:10]} by `{result['command']}` on {result['device']} "
        f"(seed {result['seed']}, torch {v['torch']}, diffusers {v['diffusers']}).\n"
    )
