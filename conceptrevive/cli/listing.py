"""The command that lists what there is to choose from, by the names that other commands take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conceptrevive.cli.options import AsJson, Revision, Variant
from conceptrevive.cli.output import show
from conceptrevive.errors import ConceptReviveError, nearest

if TYPE_CHECKING:
    from conceptrevive.extensions import Kind


def _concepts() -> dict[str, object]:
    from conceptrevive.concepts.paper import paper_concepts
    from conceptrevive.concepts.pocket import pocket_concepts

    return {"pocket": list(pocket_concepts()), "paper": list(paper_concepts())}


def _scenes() -> dict[str, object]:
    from conceptrevive.concepts.paper import PAPER_SCENES
    from conceptrevive.concepts.world import SCENES

    return {"pocket": list(SCENES), "paper": list(PAPER_SCENES)}


def _styles() -> dict[str, object]:
    from conceptrevive.concepts.paper import ARTISTS
    from conceptrevive.concepts.world import STYLES

    return {"pocket": list(STYLES), "paper": list(ARTISTS)}


def _solvers() -> dict[str, object]:
    from conceptrevive.revival.defaults import SOLVERS_SAID

    return {str(name): said for name, said in SOLVERS_SAID.items()}


def _locators() -> dict[str, object]:
    from conceptrevive.unlearning.defaults import METHODS_SAID

    return _with_registered("locators", METHODS_SAID)


def _magnitudes() -> dict[str, object]:
    from conceptrevive.revival.defaults import MAGNITUDES_SAID

    return _with_registered("magnitudes", MAGNITUDES_SAID)


def _defences() -> dict[str, object]:
    from conceptrevive.defence.defaults import DEFENCES_SAID

    return _with_registered("defences", DEFENCES_SAID)


def _judges() -> dict[str, object]:
    shipped = {"labels": "a classifier's, which the concept names; see `Concept.labels`"}
    shipped["clip_pair"] = "CLIP's, where no class fits; see `Concept.clip_pair`"
    return _with_registered("judges", shipped)


def _models() -> dict[str, object]:
    """The shipped model, and the classes of pipelines that can be drawn with."""
    from conceptrevive.extensions import summary
    from conceptrevive.models.adapters.adapter import Adapter
    from conceptrevive.models.adapters.families import SHIPPED

    shipped = {
        "pocket": "the shipped model, Stable Diffusion in miniature",
        "StableDiffusionPipeline": summary(Adapter),
    }
    return _with_registered("adapters", shipped | {n: summary(a) for n, a in SHIPPED.items()})


def _layers() -> dict[str, object]:
    from conceptrevive.models.presets import PRESETS

    return {name: preset.description for name, preset in PRESETS.items()}


def _with_registered(kind: Kind, shipped: Mapping[Any, str]) -> dict[str, object]:
    """What is shipped, and where the functions are that installed packages register."""
    from conceptrevive.extensions import registered

    others = {name: f"registered: {entry.value}" for name, entry in registered(kind).items()}
    return dict(shipped) | {n: said for n, said in others.items() if n not in shipped}


#: {what can be listed: the function that does}.
LISTS: dict[str, Callable[[], dict[str, object]]] = {
    "concepts": _concepts,
    "scenes": _scenes,
    "styles": _styles,
    "solvers": _solvers,
    "locators": _locators,
    "magnitudes": _magnitudes,
    "defences": _defences,
    "judges": _judges,
    "models": _models,
    "layers": _layers,
}


def run_list(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=", ".join(LISTS))],
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="with layers: those of this folder, file or hub id, by kind"
        ),
    ] = None,
    as_json: AsJson = False,
    revision: Revision = None,
    variant: Variant = None,
) -> None:
    """List what there is to choose from, by the names that other commands take."""
    if what not in LISTS:
        raise ConceptReviveError(
            f"nothing is called {what!r}{nearest(what, LISTS)}: list one of {', '.join(LISTS)}"
        )
    if model is None:
        if given := revision or variant:
            raise ConceptReviveError(f"{given!r} is of a MODEL: name it after `list layers`")
        show(LISTS[what](), as_json)
        return
    if what != "layers":
        raise ConceptReviveError(f"{what} are of no MODEL: leave {model!r} out, or list its layers")
    from conceptrevive.cli.selecting import show_inventory

    show_inventory(model, as_json, revision=revision, variant=variant)
