"""The names of the locators. Needs no torch, so that `--help` answers at once."""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal["conceptprune", "salun", "scissorhands", "forget-it-all"]

METHODS: tuple[Method, ...] = get_args(Method)

METHOD: Method = "conceptprune"

#: Those that differentiate the model, which takes more than half precision.
BY_GRADIENT: tuple[Method, ...] = ("salun", "scissorhands")
