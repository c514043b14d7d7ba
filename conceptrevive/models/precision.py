"""How this processor draws fastest: number format and memory layout.

Found by a short timing, once a process and model.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.layers import denoiser
from conceptrevive.models.protocol import TextToImage

#: Set to one of `NAMES` to fix the choice instead of timing it, e.g. to repeat a result exactly.
VARIABLE = "CONCEPTREVIVE_SAMPLING"

#: Of the ways that take at most this many times as long as the fastest, the first is taken: near
#: ties must not change from run to run.
MARGIN = 1.15


@dataclass(frozen=True)
class How:
    """bfloat16: autocast to it. channels_last: the memory layout of the denoiser's convolutions."""

    bfloat16: bool = False
    channels_last: bool = False

    def __str__(self) -> str:
        return ("bfloat16" if self.bfloat16 else "own") + (
            "-channels-last" if self.channels_last else ""
        )


#: In order of preference.
CHOICES = (
    How(),
    How(bfloat16=True),
    How(channels_last=True),
    How(bfloat16=True, channels_last=True),
)

NAMES = {str(how): how for how in CHOICES}

_timed: dict[tuple[object, ...], How] = {}


def choose(model: TextToImage, run: Callable[[], object], repeats: int = 2) -> How:
    """The fastest of `CHOICES` for `model` on this processor, give or take `MARGIN`.

    On other devices `How()`.

    Args:
        model: a diffusers pipeline.
        run: draws a little with it; each choice is timed on it in turns.

    Raises:
        ConceptReviveError: the environment variable `CONCEPTREVIVE_SAMPLING` holds no known choice.
    """
    net = denoiser(model)
    weight = next(net.parameters())
    if weight.device.type != "cpu":
        return How()
    # A processor does not mix float16 with bfloat16.
    choices = [how for how in CHOICES if not (how.bfloat16 and weight.dtype == torch.float16)]
    fixed = os.environ.get(VARIABLE)
    if fixed:
        if NAMES.get(fixed) not in choices:
            names = ", ".join(map(str, choices))
            raise ConceptReviveError(f"{VARIABLE} is {fixed!r}: choose one of {names}, or unset it")
        return NAMES[fixed]
    # Equal models share a choice, so that comparisons within a process are never made across two.
    key = (
        type(net),
        sum(p.numel() for p in net.parameters()),
        weight.dtype,
        torch.get_num_threads(),
    )
    if key not in _timed:
        seconds = {how: float("inf") for how in choices}
        for turn in range(repeats + 1):
            for how in choices:
                with applied(model, how):
                    start = time.perf_counter()
                    run()
                if turn:  # the first turn warms up
                    seconds[how] = min(seconds[how], time.perf_counter() - start)
        _timed[key] = next(how for how in choices if seconds[how] <= MARGIN * min(seconds.values()))
    return _timed[key]


@contextmanager
def applied(model: TextToImage, how: How) -> Iterator[None]:
    """Within the block `model` draws in this way.

    The layout stays afterwards: it changes no value.
    """
    net: Any = denoiser(model)
    if next(net.parameters()).device.type == "cpu":
        net.to(memory_format=torch.channels_last if how.channels_last else torch.contiguous_format)
    with torch.autocast("cpu", dtype=torch.bfloat16) if how.bfloat16 else nullcontext():
        yield
