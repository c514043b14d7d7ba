"""Layers to choose by one word, in whatever model: each preset knows how libraries name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from conceptrevive.models.addresses import Columns
from conceptrevive.models.feedforward import DENOISING, ENCODING, first_of, second_of

#: An opaque layer may hold a matrix, in a form that cannot be read: quantised, adapted.
Kind = Literal["linear", "convolution", "opaque"]


@dataclass(frozen=True)
class Layer:
    """A layer that has a matrix, in a model or in a file.

    Attributes:
        component: of a pipeline, e.g. "unet"; empty where there is but one.
        name: of the module within its component.
        shape: of the weight; empty if it cannot be told.
        denoises: whether its component is the denoiser.
        columns: those that are chosen; None is all.
    """

    component: str
    name: str
    kind: Kind
    shape: tuple[int, ...]
    denoises: bool = True
    columns: Columns | None = None

    @property
    def address(self) -> str:
        """Its name with its component, whatever that is."""
        return f"{self.component}/{self.name}" if self.component else self.name

    @property
    def key(self) -> str:
        """What it is called in weights and masks: the denoiser's layers by their own names."""
        name = self.name if self.denoises else self.address
        return name if self.columns is None else f"{name}{self.columns}"

    @property
    def encodes_text(self) -> bool:
        """Whether its component is a text encoder."""
        return "text_encoder" in self.component

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns; a kernel has a row for each output."""
        rows, *rest = self.shape
        columns = 1
        for n in rest:
            columns *= n
        if self.columns is not None:
            columns = len(range(columns)[self.columns.slice])
        return rows, columns


#: What a preset takes of a layer: itself, some of its columns, or nothing.
Takes = Callable[[Layer], Layer | None]

_ATTENTION = re.compile(
    r"(^|\.)(to_q|to_k|to_v|to_out(\.0)?|add_q_proj|add_k_proj|add_v_proj|to_add_out)$"
)


@dataclass(frozen=True)
class Preset:
    """Which layers, in words and by name.

    Attributes:
        of_denoiser: whether it takes nothing outside of the denoiser.
    """

    description: str
    takes: Takes
    of_denoiser: bool = True


def _second(layer: Layer) -> Layer | None:
    form = second_of(layer.name, DENOISING)
    if not layer.denoises or form is None:
        return None
    if not form.joined:
        return layer
    rows, columns = layer.matrix if layer.shape else (0, 0)
    return replace(layer, columns=Columns(rows, None)) if columns > rows else None


def _first(layer: Layer) -> Layer | None:
    return layer if layer.denoises and first_of(layer.name, DENOISING) else None


def _attention(layer: Layer) -> Layer | None:
    return layer if layer.denoises and _ATTENTION.search(layer.name) else None


def _text_mlp(layer: Layer) -> Layer | None:
    if not layer.encodes_text:
        return None
    is_mlp = second_of(layer.name, ENCODING) or first_of(layer.name, ENCODING)
    return layer if is_mlp else None


def _of_kind(*kinds: Kind) -> Takes:
    return lambda layer: layer if layer.denoises and layer.kind in kinds else None


#: What is chosen where nothing is said: ConceptPrune's candidates (paper §1).
DEFAULT = "feed-forward"

PRESETS: Mapping[str, Preset] = {
    DEFAULT: Preset("second linear layer of every feed-forward block", _second),
    "ff-first": Preset("first linear layer, or layers, of every feed-forward block", _first),
    "attention": Preset("queries, keys, values and outputs of attention", _attention),
    "convolutions": Preset("every convolution, a row for each output", _of_kind("convolution")),
    "linear": Preset("every linear layer of the denoiser", _of_kind("linear", "opaque")),
    "all": Preset(
        "every linear layer and convolution of the denoiser",
        _of_kind("linear", "convolution", "opaque"),
    ),
    "text-mlp": Preset("both linear layers of the text encoders' blocks", _text_mlp, False),
}

#: Layers that look like outputs of feed-forward blocks under other names.
_LIKE_FEED_FORWARD = re.compile(r"(^|\.)(ff|feed_forward|mlp)[^.]*\.")
_SINGLE_BLOCK = re.compile(r"(^|\.)single_transformer_blocks\.\d+\.proj_out$")


def is_like_feed_forward(layer: Layer) -> bool:
    """Whether the layer looks like an output of a feed-forward block that no preset knows."""
    if not layer.denoises or len(layer.shape) != 2:
        return False
    contracts = layer.shape[1] > layer.shape[0]
    is_ff = contracts and _LIKE_FEED_FORWARD.search(layer.name)
    return bool(is_ff or _SINGLE_BLOCK.search(layer.name))
