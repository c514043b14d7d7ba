"""Which adapter a pipeline is drawn with: one that was chosen, a registered one, or a shipped one.

A package registers its own as an entry point of the group `conceptrevive.adapters`, named as the
class of the pipeline that it is for:

    [project.entry-points."conceptrevive.adapters"]
    MyPipeline = "my_package.drawing:MyAdapter"
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from conceptrevive import extensions
from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.models.adapters.adapter import Adapter
from conceptrevive.models.adapters.families import SHIPPED

#: Where a chosen adapter is kept: with the pipeline.
_KEPT = "_conceptrevive_adapter"


@cache
def registered() -> dict[str, str]:
    """{class of a pipeline: module:class of its adapter} of other packages."""
    return {name: entry.value for name, entry in extensions.registered("adapters").items()}


def adapter_class(given: str) -> type[Adapter]:
    """The adapter that is meant: `module:class`, or the class of a pipeline.

    Raises ConceptReviveError where there is none, or it is no adapter.
    """
    given = registered().get(given, given)
    found = extensions.find("adapters", given, SHIPPED)
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        raise ConceptReviveError(
            f"adapter {given!r} is no subclass of conceptrevive.Adapter: name one"
        )
    return found


def adapter_of(model: Any) -> Adapter:
    """How `model` is drawn with: as was chosen, else as is registered or shipped for its class.

    Other pipelines are drawn with as Stable Diffusion.
    """
    chosen = getattr(model, "__dict__", {}).get(_KEPT)
    if isinstance(chosen, Adapter):
        return chosen
    for kind in type(model).__mro__:
        if kind.__name__ in registered() or kind.__name__ in SHIPPED:
            return adapter_class(kind.__name__)()
    return Adapter()


def choose_adapter(model: Any, adapter: Adapter | None) -> None:
    """Draw with `model` in this way from now on; None is the way of its class."""
    if adapter is None:
        vars(model).pop(_KEPT, None)
        return
    expect(adapter, Adapter, "adapter", "give an instance of conceptrevive.Adapter, see its help")
    vars(model)[_KEPT] = adapter


@contextmanager
def drawn_with(model: Any, adapter: Adapter | None) -> Iterator[None]:
    """Within the block `model` is drawn with by `adapter`; None leaves it as it is."""
    before = vars(model).get(_KEPT) if adapter is not None else None
    if adapter is not None:
        choose_adapter(model, adapter)
    try:
        yield
    finally:
        if adapter is not None:
            choose_adapter(model, before)
