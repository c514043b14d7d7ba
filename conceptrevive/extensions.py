"""What others bring along: locators, judges, magnitudes, defences, and adapters of pipelines.

Each is a function, given as such, by the name under which an installed package registers it, or as
`module:function`. A package registers by an entry point, in its `pyproject.toml`:

    [project.entry-points."conceptrevive.locators"]
    mine = "my_package.locating:find"
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter, signature
from typing import Any, Literal, get_args

from conceptrevive.errors import ConceptReviveError, nearest, one_line

Kind = Literal["locators", "judges", "magnitudes", "defences", "adapters"]

KINDS: tuple[Kind, ...] = get_args(Kind)

#: What one of each is called where it is given.
OPTIONS: dict[Kind, str] = {
    "locators": "method",
    "judges": "judge",
    "magnitudes": "magnitude",
    "defences": "defence",
    "adapters": "adapter",
}


def group(kind: Kind) -> str:
    """The group of entry points in which packages register: "conceptrevive.locators"."""
    return f"conceptrevive.{kind}"


def registered(kind: Kind) -> dict[str, EntryPoint]:
    """{name: entry point} of what installed packages register, by name.

    Raises ConceptReviveError where two packages register one name.
    """
    out: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group(kind)), key=lambda e: e.name):
        if entry.name in out and entry.value != out[entry.name].value:
            raise ConceptReviveError(
                f"{OPTIONS[kind]} {entry.name!r} is registered twice, as {out[entry.name].value} "
                f"and as {entry.value}: uninstall one, or give module:function"
            )
        out[entry.name] = entry
    return out


def find(kind: Kind, given: object, shipped: Mapping[Any, Callable[..., Any]]) -> Any:
    """The function that `given` means: itself, a shipped one, a registered one, or one to import.

    A shipped one goes before a registered one of its name.

    Raises:
        ConceptReviveError: there is none, or it cannot be imported, or is no function.
    """
    option = OPTIONS[kind]
    if callable(given):
        return given
    if not isinstance(given, str):
        raise ConceptReviveError(
            f"{option} is a {type(given).__name__}: {_choose(list(shipped))}, or a function"
        )
    if given in shipped:
        return shipped[given]
    there = registered(kind)
    if given in there:
        return _imported(option, given, there[given].value)
    if ":" in given:
        return _imported(option, given, given)
    names = [*shipped, *there]
    raise ConceptReviveError(
        f"{option} {given!r} is unknown{nearest(given, names)}: {_choose(names)}"
    )


def _choose(names: list[str]) -> str:
    listed = f"choose one of {', '.join(names)}; or " if names else ""
    return f"{listed}give your own as module:function"


def _imported(option: str, given: str, value: str) -> Any:
    """What `module:function` names; modules in the working folder are found too."""
    module_name, _, name = value.partition(":")
    if not module_name or not name or not all(map(str.isidentifier, module_name.split("."))):
        raise ConceptReviveError(
            f"{option} {given!r} names no function: give module:function, as mine:find of mine.py"
        )
    here = os.getcwd()
    sys.path.append(here)
    try:
        found: Any = import_module(module_name)
    except Exception as e:  # whatever a module raises when it is run
        if isinstance(e, ModuleNotFoundError) and e.name == module_name.partition(".")[0]:
            why = f"there is no module {e.name!r}, neither installed nor in {here}"
        else:
            why = f"importing {module_name} failed, {type(e).__name__}: {one_line(e)}"
        raise ConceptReviveError(f"{option} {given!r}: {why}") from e
    finally:
        sys.path.remove(here)
    for part in name.split("."):
        if not hasattr(found, part):
            near = nearest(part, [n for n in dir(found) if not n.startswith("_")])
            raise ConceptReviveError(
                f"{option} {given!r}: {module_name} has no {part!r}{near}: name a function of it"
            )
        found = getattr(found, part)
    if not callable(found):
        raise ConceptReviveError(
            f"{option} {given!r} is a {type(found).__name__}, not a function: name a function"
        )
    return found


@contextmanager
def of_others(kind: Kind, given: object) -> Iterator[None]:
    """Within the block a function of somebody's own is called; an error of it is said to be its.

    Raises ConceptReviveError for what it raises, but for too little memory.
    """
    try:
        yield
    except (ConceptReviveError, MemoryError):
        raise
    except Exception as e:
        if type(e).__name__ == "OutOfMemoryError":  # torch's, which is not known here
            raise
        raise ConceptReviveError(
            f"{OPTIONS[kind]} {called(given)!r} failed, {type(e).__name__}: {one_line(e)}: mend "
            "it, and see that it takes what it is called with; CONCEPTREVIVE_DEBUG=1 shows where"
        ) from e


def taken(function: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `settings` that `function` takes by their names; it may take any (`**settings`)."""
    takes = signature(function).parameters
    if any(p.kind is Parameter.VAR_KEYWORD for p in takes.values()):
        return dict(settings)
    return {name: value for name, value in settings.items() if name in takes}


def called(given: object) -> str:
    """What messages call what was given: the name, or the function's own."""
    return given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)


def check_settings(
    given: object, function: Callable[..., Any], settings: Mapping[str, Any]
) -> None:
    """Raise ConceptReviveError for one of `settings` that is not None and that `function` lacks.

    Args:
        given: by which name the user asked for the function, or the function.
    """
    takes = taken(function, settings)
    for setting, value in settings.items():
        if value is not None and setting not in takes:
            what = f"it takes {', '.join(takes)}" if takes else "leave it out"
            raise ConceptReviveError(f"{setting} is no setting of {called(given)}: {what}")


def summary(function: Callable[..., Any]) -> str:
    """The first line of a function's docstring."""
    return (function.__doc__ or "").strip().partition("\n")[0]
