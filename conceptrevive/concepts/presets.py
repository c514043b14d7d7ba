"""A concept by name, from the tables there are, or from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.defaults import PRESETS
from conceptrevive.concepts.paper import paper_concepts
from conceptrevive.concepts.pocket import pocket_concepts
from conceptrevive.errors import ConceptReviveError, expect, nearest


def get_concept(name: str | os.PathLike[str], preset: str = PRESETS[0]) -> Concept:
    """A preset by name (`preset` "pocket" or "paper"), or a concept read from a .yaml file.

    Raises ConceptReviveError with the nearest name and all there are.
    """
    remedy = "give a preset's name or a .yaml file"
    expect(name, (str, os.PathLike), "name", remedy)
    expect(preset, str, "preset", "choose 'pocket' or 'paper'")
    if str(name).endswith((".yaml", ".yml")):
        return Concept.from_yaml(name)
    tables: dict[str, Any] = {"pocket": pocket_concepts, "paper": paper_concepts}
    if preset not in tables:
        raise ConceptReviveError(
            f"preset {preset!r} is unknown{nearest(preset, tables)}: choose 'pocket' or 'paper'"
        )
    presets: Mapping[str, Concept] = tables[preset]()
    if str(name) not in presets:
        near = nearest(name, presets)
        raise ConceptReviveError(
            f"no {preset} concept {str(name)!r}{near}: choose one of {', '.join(presets)}; "
            "or give a .yaml file with your own"
        )
    return presets[str(name)]
