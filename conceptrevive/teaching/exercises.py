"""Exercises that say whether an answer is right, and never what it is.

A notebook calls `check("quickstart.1", answer)`. The check itself is a function in
`teaching/checks/nNN_SLUG.py`, registered by `exercise`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, nearest


@dataclass(frozen=True)
class Verdict:
    """What a check says. It is shown as one line, so that a notebook's last line can be a check."""

    right: bool
    message: str

    def __repr__(self) -> str:
        return f"{'✓ Right' if self.right else '✗ Not yet'}: {self.message}"


def right(message: str) -> Verdict:
    """The answer is right; the message says what follows from it."""
    return Verdict(True, message)


def wrong(message: str) -> Verdict:
    """The answer is not right; the message says where to look, not what to write."""
    return Verdict(False, message)


class Misfit(Exception):
    """An answer of a kind that cannot be right; `check` turns it into a verdict."""


@dataclass(frozen=True)
class Exercise:
    """A registered check: its name, the function, and answers that must not pass."""

    name: str
    judge: Callable[..., Verdict]
    mistaken: tuple[Any, ...]


_EXERCISES: dict[str, Exercise] = {}


def exercise(
    name: str, mistaken: Sequence[Any]
) -> Callable[[Callable[..., Verdict]], Callable[..., Verdict]]:
    """Register a check under `SLUG.NUMBER`.

    Args:
        mistaken: a few answers that a reader may plausibly give and that are not right; the tests
            hold the check to them. Give tuples of arguments where it takes more than the answer.
    """

    def register(judge: Callable[..., Verdict]) -> Callable[..., Verdict]:
        _EXERCISES[name] = Exercise(name, judge, tuple(mistaken))
        return judge

    return register


def exercises(slug: str) -> dict[str, Exercise]:
    """Every registered exercise of a notebook, by name. Empty if it has no checks."""
    from conceptrevive.teaching import checks

    for module in pkgutil.iter_modules(checks.__path__):
        if module.name.partition("_")[2] == slug:
            importlib.import_module(f"{checks.__name__}.{module.name}")
    return {name: each for name, each in _EXERCISES.items() if name.rpartition(".")[0] == slug}


def check(name: str, answer: Any = ..., *given: Any) -> Verdict:
    """Whether an answer is right, with a word on what to look at if not.

    Args:
        name: of the exercise, such as "quickstart.1".
        answer: the reader's; `...` stands for none yet.
        given: what else the check needs, such as weights that the notebook made.

    Raises ConceptReviveError if there is no such exercise. Whatever the answer is, it never raises.
    """
    known = exercises(name.rpartition(".")[0])
    if name not in known:
        raise ConceptReviveError(
            f"no exercise {name!r}{nearest(name, known)}: the notebook's slug and a number are its "
            "name, such as 'quickstart.1'"
        )
    if answer is ...:
        return wrong("put your answer in place of the three dots.")
    try:
        return known[name].judge(answer, *given)
    except Misfit as misfit:
        return wrong(str(misfit))
    except Exception as error:  # a reader's answer can be anything
        return wrong(f"the check could not use this answer ({type(error).__name__}: {error}).")


def as_number(answer: Any, low: float | None = None, high: float | None = None) -> float:
    """The answer as a finite number, within [low, high] where these are given."""
    if isinstance(answer, Tensor) and answer.numel() == 1:
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, Real) or not isfinite(answer):
        raise Misfit(f"give a finite number, not {_told(answer)}.")
    value = float(answer)
    if (low is not None and value < low) or (high is not None and value > high):
        raise Misfit(f"{value:g} is not possible here: it lies between {low:g} and {high:g}.")
    return value


def as_choice(answer: Any, options: Sequence[str]) -> str:
    """The answer as one of the options, whatever its case."""
    if not isinstance(answer, str) or answer.strip().lower() not in options:
        raise Misfit(f"give one of {', '.join(map(repr, options))}, not {_told(answer)}.")
    return answer.strip().lower()


def as_tensor(answer: Any, shape: Sequence[int]) -> Tensor:
    """The answer as a finite float64 tensor of a shape."""
    if not isinstance(answer, Tensor):
        raise Misfit(f"give a tensor, not {_told(answer)}.")
    if tuple(answer.shape) != tuple(shape):
        raise Misfit(f"the shape is {tuple(answer.shape)}, and should be {tuple(shape)}.")
    value = answer.detach().to(torch.float64)
    if not bool(value.isfinite().all()):
        raise Misfit("some entries are not finite.")
    return value


def as_function(answer: Any) -> Callable[..., Any]:
    """The answer as something that can be called."""
    if not callable(answer):
        raise Misfit(f"give the function itself, not {_told(answer)}.")
    return answer  # type: ignore[no-any-return]


def _told(answer: Any) -> str:
    """An answer's kind, and its value if that is short."""
    text = repr(answer)
    return text if len(text) <= 30 else f"a {type(answer).__name__}"
