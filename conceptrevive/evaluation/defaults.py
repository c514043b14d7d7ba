"""Defaults of an evaluation. Needs no torch, so that `--help` answers at once."""

from __future__ import annotations

#: Pictures of the erased concept.
IMAGES = 50
