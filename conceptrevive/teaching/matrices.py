"""Matrices as pictures: one colour scale for all, and missing entries apart from zeros."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from conceptrevive.errors import ConceptReviveError

#: Blue through white to orange-brown: the two ends differ for every kind of colour vision.
COLOURS = "PuOr"
#: Of missing entries.
MISSING = (150, 150, 150)


def matrix_pictures(
    matrices: Sequence[Float[Tensor, "rows columns"]],
    missing: Sequence[Bool[Tensor, "rows columns"]] | None = None,
    limit: float | None = None,
    width: int = 480,
) -> list[Image.Image]:
    """One picture a matrix, negative entries orange, positive ones purple, missing ones grey.

    Args:
        missing: where entries are missing, one mask a matrix. NaN counts as missing too.
        limit: the magnitude at which the colour is full; None takes the 99th percentile of all.
        width: of a picture in pixels, at least; an entry is a square of whole pixels.

    Raises ConceptReviveError where shapes differ.
    """
    if not matrices:
        raise ConceptReviveError("no matrices: give at least one")
    values = [m.detach().double().cpu().numpy() for m in matrices]
    shapes = {v.shape for v in values}
    if len(shapes) != 1 or values[0].ndim != 2:
        raise ConceptReviveError(f"shapes {sorted(shapes)}: give matrices of one shape")
    if missing is not None and [tuple(m.shape) for m in missing] != [v.shape for v in values]:
        raise ConceptReviveError("missing needs one mask a matrix, of its shape")
    finite = np.abs(np.concatenate([v[np.isfinite(v)] for v in values]))
    full = limit or float(np.quantile(finite, 0.99) if finite.size else 1.0) or 1.0
    side = max(1, -(-width // values[0].shape[1]))
    pictures = []
    for i, value in enumerate(values):
        absent = ~np.isfinite(value)
        if missing is not None:
            absent = absent | missing[i].cpu().numpy()
        share = np.where(absent, 0.5, np.clip(0.5 + np.nan_to_num(value) / (2 * full), 0, 1))
        pixels = (matplotlib.colormaps[COLOURS](share)[..., :3] * 255).round().astype(np.uint8)
        pixels[absent] = MISSING
        pictures.append(Image.fromarray(pixels.repeat(side, 0).repeat(side, 1)))
    return pictures
