"""Locators by name."""

from __future__ import annotations

from inspect import signature
from typing import get_args

import pytest

from conceptrevive.errors import ConceptReviveError
from conceptrevive.unlearning.defaults import METHOD, METHODS, Method
from conceptrevive.unlearning.locators import LOCATORS, locator


def test_every_name_has_a_locator_that_is_called_alike():
    assert tuple(LOCATORS) == METHODS == get_args(Method) and METHOD in METHODS
    for function in LOCATORS.values():
        names = list(signature(function).parameters)
        assert names[:2] == ["model", "concept"]
        assert {"seed", "batch_size", "progress"} <= set(names)


def test_unknown_names_and_settings_of_others_are_told():
    with pytest.raises(
        ConceptReviveError,
        match=r"method 'salum' is unknown \(did you mean 'salun'\?\): choose one of conceptprune",
    ):
        locator("salum")
    with pytest.raises(ConceptReviveError, match="method is a NoneType: choose one of concept"):
        locator(None)
    assert locator("salun", ratio=0.1, tau=None) is LOCATORS["salun"]
    with pytest.raises(
        ConceptReviveError, match=r"tau is no setting of salun: it takes ratio, layers$"
    ):
        locator("salun", ratio=0.1, tau=3, layers=None)
