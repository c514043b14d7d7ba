"""The tables of concepts there are. Needs no pydantic, so that `--help` answers at once."""

from __future__ import annotations

from typing import Literal, get_args

Preset = Literal["pocket", "paper"]

PRESETS: tuple[Preset, ...] = get_args(Preset)

#: Models that draw no larger take the pocket model's concepts.
POCKET_PIXELS = 64


def preset_for(pixels: int) -> Preset:
    """The table meant for a model whose pictures have so many pixels on their longer side."""
    return "pocket" if pixels <= POCKET_PIXELS else "paper"
