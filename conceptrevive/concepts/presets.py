"""A concept by name, from the tables there are, or from a file."""

from __future__ import annotations

import os

from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.paper import paper_concepts
from conceptrevive.concepts.pocket import pocket_concepts
from conceptrevive.errors import ConceptReviveError


def get_concept(name: str | os.PathLike, preset: str = "pocket") -> Concept:
    """A preset by name (`preset` "pocket" or "paper"), or a concept read from a .yaml file.

    Raises ConceptReviveError listing the names there are.
    """
    if str(name).endswith((".yaml", ".yml")):
        return Concept.from_yaml(name)
    tables = {"pocket": pocket_concepts, "paper": paper_concepts}
    if preset not in tables:
        raise ConceptReviveError(f"preset {preset!r} is unknown: choose 'pocket' or 'paper'")
    presets = tables[preset]()
    if name not in presets:
        raise ConceptReviveError(
            f"no {preset} concept {str(name)!r}: choose one of {', '.join(presets)}; or give a .yaml file with your own"
        )
    return presets[name]
