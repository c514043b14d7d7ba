"""What the commands that draw load: a model as the options ask for it, and a concept for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

from conceptrevive.cli.options import (
    Config,
    Denoiser,
    Device,
    HowToDraw,
    Lora,
    Precision,
    Revision,
    Size,
    Variant,
)
from conceptrevive.concepts.defaults import PRESETS, preset_for
from conceptrevive.errors import ConceptReviveError

if TYPE_CHECKING:
    import torch

    from conceptrevive.concepts.concept import Concept


@dataclass(frozen=True, kw_only=True)
class Loading:
    """The options of loading a pipeline, by their names; `unet` is the transformer's too."""

    adapter: HowToDraw = None
    size: Size = None
    device: Device = None
    dtype: Precision = None
    revision: Revision = None
    variant: Variant = None
    unet: Denoiser = None
    lora: Lora = None
    config: Config = None


def with_loading(command: Callable[..., object]) -> Callable[..., object]:
    """`command` for typer: in place of its `options` it takes every field of `Loading`."""
    fields = get_type_hints(Loading, include_extras=True)
    hints = get_type_hints(command, include_extras=True)

    @wraps(command)
    def run(**given: Any) -> object:
        options = Loading(**{name: given.pop(name) for name in fields if name in given})
        return command(**given, options=options)

    signature = inspect.signature(command)
    taken: list[inspect.Parameter] = []
    for own in signature.parameters.values():
        of = fields if own.name == "options" else {own.name: hints[own.name]}
        default = None if own.name == "options" else own.default
        taken += [own.replace(name=n, annotation=of[n], default=default) for n in of]
    named = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in taken]
    vars(run)["__signature__"] = signature.replace(parameters=named, return_annotation=None)
    run.__annotations__ = {p.name: p.annotation for p in named} | {"return": None}
    return run


def load(
    model: str, name: str, preset: str | None, options: Loading, *, single: bool = False
) -> tuple[Concept, Any]:
    """The concept and the pipeline; without `preset` that of the table meant for such a model.

    Args:
        single: load in float32, on a GPU too, unless another format is asked for.
    """
    from conceptrevive.concepts.presets import get_concept
    from conceptrevive.models.generation import picture_size

    found: dict[str, Concept] = {}
    errors = []
    for table in [preset] if preset else PRESETS:
        try:
            found[table] = get_concept(name, table)
        except ConceptReviveError as e:
            errors.append(e)
    if not found:  # the table that has a near name says most
        raise next((e for e in errors if "did you mean" in str(e)), errors[0])
    pipe = _pipeline(model, options, single)
    size = picture_size(pipe)
    table = preset or preset_for(size)
    if table not in found:
        has = next(iter(found))
        raise ConceptReviveError(
            f"{name!r} is in the table {has!r}, and {model}, which draws {size} pixels, takes "
            f"concepts of {table!r}: see `conceptrevive list concepts`, "
            f"or insist with --preset {has}"
        )
    return found[table], pipe


def _pipeline(model: str, options: Loading, single: bool) -> Any:
    from conceptrevive.models.adapters.choosing import adapter_class, adapter_of, choose_adapter
    from conceptrevive.models.pipeline import load_pipeline

    size = None if options.size is None else _size(options.size)
    adapter = None if options.adapter is None else adapter_class(options.adapter)()
    pipe = load_pipeline(
        model,
        device=options.device,
        dtype=_dtype(options.dtype or ("float32" if single else None)),
        revision=options.revision,
        variant=options.variant,
        denoiser=options.unet,
        lora=options.lora,
        config=options.config,
        adapter=adapter,
    )
    if size is not None:
        choose_adapter(pipe, replace(adapter_of(pipe), size=size))
    return pipe


def _dtype(name: str | None) -> torch.dtype | None:
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return None if name is None else known[name]


def _size(text: str) -> tuple[int, int]:
    """Height and width of `512` or of `512x768`."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdecimal() for side in sides):
        raise ConceptReviveError(
            f"--size is {text!r}: give pixels, as 512, or height and width, as 512x768"
        )
    return int(sides[0]), int(sides[-1])
