"""What is wrong with a concept, in this package's words: the key, its value, what it must be."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
from functools import wraps
from reprlib import Repr
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from conceptrevive.errors import ConceptReviveError, nearest

T = TypeVar("T")

_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80


class Fault(ValueError):
    """A rule about several values that is broken: the whole message, and the key to look at."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class Problem:
    """What is wrong with the values given to a class.

    Attributes:
        where: keys and positions, from the outside in. message: what is wrong, and what is right.
        unquoted: whether text is wanted there and something else was given.
    """

    where: tuple[str | int, ...]
    message: str
    unquoted: bool = False


def find_problem(error: ValidationError, cls: type) -> Problem:
    """The first problem that pydantic found with `cls`; a key misspelt rather than the one missed.

    The words for what a value must be are its field's `description`.
    """
    found = error.errors(include_url=False)
    unknown = (e for e in found if e["type"] == "unexpected_keyword_argument")
    first = next(unknown, found[0])
    kind, value = first["type"], first["input"]
    where = _by_name(first["loc"], cls)
    rule = first.get("ctx", {}).get("error")
    if isinstance(rule, Fault):
        return Problem((*where, rule.key), str(rule))
    keys, at = _fields(cls, where)
    if at == len(where):
        return Problem(where, f"too many values; the keys are {', '.join(keys)}")
    name = where[at]
    before = "".join(f"{step}: " for step in where[:at] if isinstance(step, str))
    if name not in keys:
        listed = f"the keys are {', '.join(keys)}"
        shown = _short.repr(name if isinstance(name, str) else value)
        return Problem(where, f"{before}unknown key {shown}{nearest(name, keys)}; {listed}")
    must = keys[str(name)]
    if kind == "missing" and at == len(where) - 1:
        return Problem(where[:at], f"{before}the key {name!r} is missing; write {must}")
    verb = "holds" if at < len(where) - 1 and kind != "missing" else "is"
    message = f"{before}{name} {verb} {_short.repr(value)}; it must be {must}"
    return Problem(where, message, unquoted=kind == "string_type")


def _by_name(where: tuple[str | int, ...], cls: Any) -> tuple[str | int, ...]:
    """`where` with an argument given by position called by its field's name."""
    names: list[str | int] = list(cls.__pydantic_fields__)
    if where and isinstance(where[0], int) and where[0] < len(names):
        return (names[where[0]], *where[1:])
    return where


def _fields(cls: Any, where: tuple[str | int, ...]) -> tuple[dict[str, str], int]:
    """The innermost class that `where` leads into, as {field: what it must be}.

    With it the place in `where` of the name of its field.
    """
    named = [i for i, step in enumerate(where) if isinstance(step, str)]
    at = named[0] if named else len(where)
    for i in named[1:]:
        kind = cls.__pydantic_fields__[where[at]].annotation
        cls = next(k for k in (kind, *get_args(kind)) if is_dataclass(k))
        at = i
    return {name: field.description for name, field in cls.__pydantic_fields__.items()}, at


def in_our_words(cls: type[T]) -> type[T]:
    """Let a pydantic dataclass raise ConceptReviveError for what it refuses."""
    construct: Any = cls.__init__

    @wraps(construct)
    def __init__(self: T, *args: Any, **kwargs: Any) -> None:
        try:
            construct(self, *args, **kwargs)
        except ValidationError as e:
            problem = find_problem(e, cls)
            what = "" if problem.message.startswith(what_of(cls)) else f"{what_of(cls)}: "
            raise ConceptReviveError(f"{what}{problem.message}") from e

    setattr(cls, "__init__", __init__)  # noqa: B010
    return cls


def what_of(cls: type) -> str:
    """What messages call an object of `cls`: "concept", "settings", "probe"."""
    return cls.__name__.lower()
