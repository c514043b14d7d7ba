"""The tables of concepts there are. Needs no pydantic, so that `--help` answers at once."""

from __future__ import annotations

from typing import Literal, get_args

Preset = Literal["pocket", "paper"]

PRESETS: tuple[Preset, ...] = get_args(Preset)
