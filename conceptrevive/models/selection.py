"""Which weights: a `Selection` is what a user says, a `Choice` what it means in one model."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.addresses import DENOISERS, bare, split_columns, split_component
from conceptrevive.models.matching import GIVE, by_names, by_part, exact, grouped, what_there_is
from conceptrevive.models.presets import DEFAULT, PRESETS, Layer, is_like_feed_forward

#: Between the parts of a selection; not within brackets, as in `proj_out[:,3072:]`.
_BETWEEN = re.compile(r",(?![^\[]*\])")


@dataclass(frozen=True)
class Selection:
    """Which weights, in any model: presets and patterns, names, or a predicate.

    Attributes:
        parts: presets (`PRESETS`), ends of names, or patterns with * and ?. A pattern without a
            component, as `*.to_k`, is looked for in the denoiser and the text encoders;
            `vae/*.to_k` in that component.
        names: exact names instead, in the order that is wanted.
        predicate: a function of `Layer` instead.

    Raises:
        ConceptReviveError: an empty part or list.
    """

    parts: tuple[str, ...] = (DEFAULT,)
    names: tuple[str, ...] | None = None
    predicate: Callable[[Layer], bool] | None = None

    @classmethod
    def of(cls, layers: Layers) -> Selection:
        """What a caller gives: None (the default preset), text, names, a function, a Selection.

        Text is a preset, the end of layers' names, a pattern with * and ?, or several of these
        with commas between.
        """
        if layers is None:
            return cls()
        if isinstance(layers, Selection):
            return layers
        if isinstance(layers, str):
            parts = tuple(p.strip() for p in _BETWEEN.split(layers))
            if not all(p.removesuffix(".weight") for p in parts):
                raise ConceptReviveError(f"layers is {layers!r}, which names nothing: {GIVE}")
            return cls(parts)
        if callable(layers):
            return cls(predicate=layers)
        if not isinstance(layers, Iterable):
            raise ConceptReviveError(
                f"layers is a {type(layers).__name__}: {GIVE}; or a list of names, or a function"
            )
        names = tuple(layers)
        if wrong := next((n for n in names if not isinstance(n, str)), None):
            raise ConceptReviveError(
                f"layers holds a {type(wrong).__name__}: give the names of layers as strings"
            )
        return cls(names=names)

    @property
    def text(self) -> str:
        """In words: what `of` reads again, but for names and predicates."""
        if self.predicate is not None:
            return f"function {getattr(self.predicate, '__name__', 'of a layer')}"
        if self.names is not None:
            return "names"
        return ",".join(self.parts)

    @property
    def is_default(self) -> bool:
        """Whether it is what is taken where nothing is said."""
        return self == Selection()

    @property
    def components(self) -> set[str] | None:
        """Components beside the denoiser that must be looked at; None is all."""
        if self.names is not None:
            named = {split_component(n)[0] for n in self.names}
            return named - {"", *DENOISERS}
        few = self.predicate is None and all(
            p in PRESETS and PRESETS[p].of_denoiser for p in self.parts
        )
        return set() if few else None

    def choose(self, inventory: Sequence[Layer], whose: str, everywhere: bool = False) -> Choice:
        """What it means in a model.

        Args:
            inventory: the layers that there are, in the model's order.
            whose: what they are of, for messages: a class, a file.
            everywhere: let patterns without a component look in all components.

        Raises:
            ConceptReviveError: a preset or pattern that takes nothing, or a name that is not there.
        """
        if self.names is not None:
            chosen = by_names(self.names, inventory, whose)
        elif self.predicate is not None:
            chosen = {x.key: x for x in inventory if self.predicate(x)}
            if not chosen:
                raise ConceptReviveError(
                    f"the {self.text} takes none of {what_there_is(inventory, whose)}"
                )
        else:
            found = [by_part(p, inventory, whose, everywhere) for p in self.parts]
            merged = {key: layer for part in found for key, layer in part.items()}
            order = {(x.component, x.name): i for i, x in enumerate(inventory)}
            keys = sorted(merged, key=lambda k: order[merged[k].component, merged[k].name])
            chosen = {key: merged[key] for key in keys}
        return Choice(self, whose, chosen, tuple(inventory))


Layers: TypeAlias = Selection | str | Iterable[str] | Callable[[Layer], bool] | None


@dataclass(frozen=True)
class Choice:
    """The layers of one model that a selection takes.

    Attributes:
        layers: {key: layer}, in the model's order, or in that of the names given.
        inventory: all layers that were looked at.
    """

    selection: Selection
    whose: str
    layers: Mapping[str, Layer]
    inventory: tuple[Layer, ...]

    def left_out(self) -> list[Layer]:
        """The layers that were not taken."""
        taken = {(x.component, x.name) for x in self.layers.values()}
        return [x for x in self.inventory if (x.component, x.name) not in taken]

    @property
    def note(self) -> dict[str, Any]:
        """What a mask file says: `layers` and `chosen_by` of `MaskSet`; nothing of the default.

        Names, and what a function took, are stored as text that takes the same layers.
        """
        if self.selection.is_default:
            return {}
        function = self.selection.predicate
        if function is None and self.selection.names is None:
            return {"layers": self.selection.text}
        told = {"layers": ",".join(exact(x, self.inventory) for x in self.layers.values())}
        return told if function is None else told | {"chosen_by": qualified(function)}

    def suspicious(self) -> str:
        """Feed-forward outputs that the default preset does not know, in words."""
        return grouped(x for x in self.left_out() if is_like_feed_forward(x))

    def warn(self) -> None:
        """Say so where the default preset leaves out what looks like a feed-forward output."""
        if self.selection.is_default and (missed := self.suspicious()):
            warnings.warn(
                f"{DEFAULT} takes {len(self.layers)} layers of {self.whose}; left out, though "
                f"they look like feed-forward outputs: {missed}",
                stacklevel=3,
            )


def qualified(function: Callable[..., Any]) -> str:
    """A function's module and name, `module:name`; of an object that can be called its class's."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def chosen_of(weights: Mapping[str, Any], layers: Layers) -> list[str]:
    """The names of `weights`, as `read_weights` returns them, that are meant; None takes all.

    Kernels are matrices there, so that only their names tell them.

    Raises ConceptReviveError as `Selection.choose` does.
    """
    if layers is None:
        return list(weights)
    there = {}
    for key, weight in weights.items():
        name, columns = split_columns(key)
        component, name = split_component(bare(name))
        shape = tuple(weight.shape)
        there[key] = Layer(component, name, "linear", shape, not component, columns)
    choice = Selection.of(layers).choose(list(there.values()), "these weights", everywhere=True)
    taken = {(x.component, x.name) for x in choice.layers.values()}
    return [key for key, x in there.items() if (x.component, x.name) in taken]
