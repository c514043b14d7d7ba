"""The command that lists what there is: concepts."""

from __future__ import annotations

from conceptrevive.cli.options import AsJson
from conceptrevive.cli.output import show


def run_concepts(as_json: AsJson = False) -> None:
    """List the presets."""
    from conceptrevive.concepts.paper import paper_concepts
    from conceptrevive.concepts.pocket import pocket_concepts

    show({"pocket": list(pocket_concepts()), "paper": list(paper_concepts())}, as_json)
