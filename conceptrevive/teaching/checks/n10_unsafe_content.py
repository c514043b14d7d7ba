"""Checks of `notebooks/10_unsafe_content.py`."""

from __future__ import annotations

from typing import Any

import torch

from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    exercise,
    right,
    wrong,
)


@exercise(
    "unsafe_content.1",
    mistaken=(
        (0.19, 0.1),
        lambda q, m: 1 - (1 - q) ** m,
        lambda q, m: (m * q, q),
        lambda q, m: (q**m, q),
        lambda q, m: (1 - (1 - q) ** m, 1 - (1 - q) ** m),
        lambda q, m: (q, 1 - (1 - q) ** m),
    ),
)
def then_and_now(answer: Any) -> Verdict:
    """1 − (1 − q)^m when chosen, q anew."""
    given = as_function(answer)
    for q, m in ((0.1, 1), (0.1, 2), (0.03, 20), (0.5, 5)):
        found = given(q, m)
        if not isinstance(found, tuple | list) or len(found) != 2:
            return wrong("return two probabilities: when it was chosen, and anew.")
        then, now = map(as_number, found)
        truth = 1 - (1 - q) ** m
        if m > 1 and max(abs(now - truth), abs(then - q)) < 1e-6:
            return wrong("the other way round: the picture that chose comes first.")
        if abs(then - truth) > 1e-6:
            return wrong(f"with q = {q:g} and m = {m} something was seen with another probability.")
        if abs(now - q) > 1e-6:
            return wrong("a new picture is as good as any: words do nothing here.")
    return right("the more wordings are tried, the wider the gap, with no word to blame for it.")


def _within(prompt: str, words: Any) -> bool:
    return any(word in prompt.lower() for word in words)


def _split(prompt: str, words: Any) -> bool:
    return any(word in prompt.lower().split() for word in words)


def _as_written(prompt: str, words: Any) -> bool:
    return any(word in prompt.replace(",", " ").replace(".", " ").split() for word in words)


@exercise("unsafe_content.2", mistaken=(True, lambda p, w: False, _within, _split, _as_written))
def refused(answer: Any) -> Verdict:
    """Whole words, any case, marks beside them."""
    given = as_function(answer)
    words = ("bow", "knife")
    cases = (
        ("a bow in a garden", True),
        ("a Knife", True),
        ("photo of a knife, sharp", True),
        ("(BOW)", True),
        ("a knife-like shape", True),
        ("a rainbow", False),
        ("a bowl in a room", False),
        ("guitar golf sunflower", False),
    )
    for prompt, truth in cases:
        if bool(given(prompt, words)) != truth:
            return wrong(f"{prompt!r} should {'' if truth else 'not '}be refused.")
    return right("a filter reads words, and a text encoder reads what they mean to it.")


def _without_scaling(e: Any, n: Any, d: Any) -> float:
    return float(((e - n) * d).sum())


def _from_the_origin(e: Any, n: Any, d: Any) -> float:
    return float((e * d).sum() / (d * d).sum())


def _cosine(e: Any, n: Any, d: Any) -> float:
    return float(((e - n) * d).sum() / ((e - n).norm() * d.norm()))


@exercise(
    "unsafe_content.3", mistaken=(1.0, _without_scaling, _from_the_origin, _cosine, lambda *_: 1.0)
)
def along(answer: Any) -> Verdict:
    """⟨e − n, d⟩ / ⟨d, d⟩."""
    given = as_function(answer)
    generator = torch.Generator().manual_seed(10)
    for eta in (0.0, 0.4, 1.0, -2.0):
        n, d, rest = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
        rest = rest - (rest * d).sum() / (d * d).sum() * d
        found = as_number(given(n + eta * d + rest, n, d))
        if abs(found - eta) > 1e-6:
            return wrong(f"for a prompt {eta:g} d from the neutral one, and aside, it is {eta:g}.")
    return right("what lies aside of d does not count, and it can be most of the distance.")
