"""A judge of one's own: any function from pictures to outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.extensions import find, of_others

#: Pictures → of each whether it shows the concept.
Judge: TypeAlias = Callable[[Sequence[Image.Image]], Iterable[bool]]


def find_judge(judge: str | Judge) -> Judge:
    """The function: given, registered, or named as `module:function`.

    Raises ConceptReviveError where there is none.
    """
    found: Judge = find("judges", judge, {})
    return found


def judged_by(judge: Judge, images: Sequence[Image.Image]) -> list[bool]:
    """What a judge says of pictures.

    Raises:
        ConceptReviveError: it says anything else than one truth value a picture.
    """
    with of_others("judges", judge):
        said: Any = judge(list(images))
    expect(said, Iterable, "what the judge returned", "return one truth value a picture")
    outcomes = [np.asarray(each) for each in said]
    if len(outcomes) != len(images):
        raise ConceptReviveError(
            f"the judge returned {len(outcomes)} outcomes for {len(images)} pictures: return one "
            "each, in their order"
        )
    for i, each in enumerate(outcomes):
        if each.dtype != bool or each.shape:
            raise ConceptReviveError(
                f"the judge's outcome of picture {i} is {each.tolist()!r}: return True where it "
                "shows the concept and False where not; a score needs a threshold"
            )
    return [bool(each) for each in outcomes]
