"""Errors a user can act on: each message names the value, the place and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real


class ConceptReviveError(ValueError):
    """Bad input. The command line prints the message on one line and exits with 2."""


def expect(value: object, kinds: type | tuple[type, ...], name: str, remedy: str) -> None:
    """Raise ConceptReviveError unless `value` is of one of `kinds`.

    Args:
        name: what the caller's signature calls the value. remedy: what to give instead.
    """
    if not isinstance(value, kinds):
        raise ConceptReviveError(f"{name} is a {type(value).__name__}: {remedy}")


def nearest(name: object, names: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"`, or nothing where none of `names` is near."""
    close = get_close_matches(str(name), list(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def printable(text: str) -> str:
    """`text` as it can be shown: control characters, save line ends, and broken Unicode escaped.

    A name in a checkpoint or a concept file may hold what a terminal would obey.
    """
    return "".join(
        c
        if c.isprintable() or c == "\n"
        else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def one_line(text: object) -> str:
    """`printable` on one line: white space of any kind becomes single spaces."""
    return printable(" ".join(str(text).split()))


def expect_number(value: object, name: str) -> None:
    """Raise ConceptReviveError unless `value` is a real number; NaN and infinity are."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConceptReviveError(f"{name} is a {type(value).__name__}: give a number")


def expect_whole(value: object, name: str) -> None:
    """Raise ConceptReviveError unless `value` is a whole number."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ConceptReviveError(f"{name} is a {type(value).__name__}: give a whole number")


def expect_seed(value: object, name: str = "seed") -> None:
    """Raise ConceptReviveError unless `value` is a seed of its own to torch's generators."""
    expect_whole(value, name)
    if value not in range(2**63):
        raise ConceptReviveError(f"{name} is {value}: give one from 0 up to 2^63 - 1")
