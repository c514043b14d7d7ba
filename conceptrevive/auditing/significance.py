"""Which test results count: Holm's correction over the checkpoint, and effects beyond those of
clean weights.

Both limits are in assets/audit.json, written by the calibration from measurements.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from conceptrevive.detectors.evidence import GRID, Evidence
from conceptrevive.files import ASSETS


@cache
def calibration() -> dict[str, Any]:
    """Limits and measured rates, from assets/audit.json."""
    limits: dict[str, Any] = json.loads((ASSETS / "audit.json").read_text())
    return limits


def holm(log_p: Sequence[float], alpha: float, hypotheses: int) -> list[bool]:
    """Which p-values (log10) are rejected at family-wise error `alpha` among `hypotheses` (Holm
    1979).
    """
    order = sorted(range(len(log_p)), key=lambda i: log_p[i])
    out = [False] * len(log_p)
    for rank, i in enumerate(order):
        if log_p[i] > math.log10(alpha / max(1, hypotheses - rank)):
            break
        out[i] = True
    return out


def decide(
    evidence: Sequence[Sequence[Evidence]], matrices: int, limits: dict[str, Any] | None = None
) -> list[tuple[str, ...]]:
    """Per matrix, the tests that count: significant over the checkpoint, and larger than on clean
    weights.

    Args: evidence: per tested matrix. matrices: how many the checkpoint has; each was scanned for
        zeros at least. limits: `calibration()` by default.
    """
    limits = limits or calibration()
    flat = [(i, e) for i, each in enumerate(evidence) for e in each if e.test != GRID]
    hypotheses = max(matrices - len(evidence), 0) + len(flat)
    significant = holm([e.log_p for _, e in flat], limits["alpha"], hypotheses)
    out: list[list[str]] = [[] for _ in evidence]
    for (i, e), is_significant in zip(flat, significant, strict=True):
        if is_significant and e.effect > limits["effects"][e.test]:
            out[i].append(e.test)
    return [tuple(o) for o in out]
