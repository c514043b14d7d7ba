"""The reference names everything that is public, and shows signatures as they are written."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

import conceptrevive
from conceptrevive.cli.app import COMMANDS
from pages import link_card, reference
from pages.numbering import ROOT


def test_every_public_name_and_command_is_there():
    api = reference.api()
    assert sorted(re.findall(r"^### `(\w+)`$", api, re.M)) == sorted(conceptrevive.__all__)
    assert api.count("::::{dropdown}") == len(conceptrevive.__all__) == api.count("\n::::\n")
    assert re.findall(r"^## `([\w-]+)`$", reference.commands(), re.M) == list(COMMANDS)


def call(first: int, *, kind: str = "a", long: dict[str, tuple[int, ...]] | None = None) -> bool:
    """What it does, |x| and all.

    More of it.

    Args:
        first: a number_of_things. kind: which.
        long: what
            goes on.

    Returns: whether.
    """
    return bool(first or kind or long)


def test_signatures_keep_their_types_and_defaults():
    assert reference.signature("f", lambda x, y=2: 0) == "f(x, y=2)"
    assert reference.signature("call", call) == (
        "call(\n    first: int,\n    *,\n    kind: str = 'a',\n"
        "    long: dict[str, tuple[int, ...]] | None = None,\n) -> bool"
    )


def test_docstrings_become_lists_and_stay_literal():
    assert reference.described(call.__doc__) == (
        "What it does, \\|x\\| and all.\n\nMore of it.\n\n\n**Arguments.**\n\n"
        "- `first`: a number\\_of\\_things. kind: which.\n- `long`: what\n  goes on.\n\n\n"
        "**Returns.** whether."
    )


def test_status_tells_every_run(tmp_path):
    made = {
        "seconds": {"01_quickstart": 61.2},
        "date": "2026-11-28T12:00:00+00:00",
        "machine": "x86_64, 2 cores",
        "python": "3.11.7",
    }
    (tmp_path / "runtimes.json").write_text(json.dumps(made))
    told = reference.status(tmp_path)
    assert "| 1 | [01_quickstart](../notebooks/01_quickstart.ipynb) | 61 |" in told
    assert "**61**" in told and "2026-11-28 on x86_64, 2 cores" in told


def test_the_card_of_a_link_has_the_size_that_sites_expect():
    made = link_card.card(Image.open(ROOT / "book/images/demo.png"))
    assert made.size == Image.open(link_card.CARD).size == (1200, 630)


@pytest.mark.parametrize("name", ["book.css", "book.js", "card.png", "favicon.svg"])
def test_what_pages_ask_for_is_there(name):
    assert (ROOT / "book/_static" / name).stat().st_size
    assert name in (ROOT / "_config.yml").read_text(encoding="utf-8")
