"""Errors a user can act on: each message names the value, the place and the remedy."""

from __future__ import annotations

from typing import Any


class ConceptReviveError(ValueError):
    """Bad input. The command line prints the message on one line and exits with 2."""


def expect(value: Any, kinds: type | tuple[type, ...], name: str, remedy: str) -> None:
    """Raise ConceptReviveError unless `value` is of one of `kinds`.

    Args:
        name: what the caller's signature calls the value. remedy: what to give instead.
    """
    if not isinstance(value, kinds):
        raise ConceptReviveError(f"{name} is a {type(value).__name__}: {remedy}")
