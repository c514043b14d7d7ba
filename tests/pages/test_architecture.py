"""The page on the rooms is made from the code, and what it names is there."""

from __future__ import annotations

import importlib
import re

import pytest
from PIL import Image

from pages import architecture
from pages.architecture import GROUND, PICTURE, TABLE, alt_text, arrows, layers, page, rooms

PAGE = (architecture.ROOT / "book/architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found():
    return rooms()


def test_picture_and_table_are_those_of_the_code(found):
    assert TABLE.read_text(encoding="utf-8") == page(found), "run `make pages`"
    assert Image.open(PICTURE).info["Description"] == alt_text(found), "run `make pages`"


def test_every_folder_is_a_room_and_the_ground_is_the_lowest(found):
    folders = {p.parent.name for p in architecture.PACKAGE.glob("*/__init__.py")}
    assert {*found} == {*folders, "figures", GROUND}
    assert layers()[-1] == GROUND and not found[GROUND]
    assert "—" not in TABLE.read_text(encoding="utf-8")


def test_arrows_leave_out_what_a_longer_way_implies():
    small = {
        "a": frozenset({"b", "c", GROUND}),
        "b": frozenset({"c"}),
        "c": frozenset({GROUND}),
        GROUND: frozenset(),
    }
    assert arrows(small) == [("a", "b"), ("b", "c")]
    assert "a to b; b to c." in alt_text(small)


def test_the_picture_can_be_read_on_a_telephone_and_on_dark_pages(tmp_path):
    architecture.write(tmp_path / "a.png", tmp_path / "a.md")
    picture = Image.open(tmp_path / "a.png").convert("RGBA")
    width, height = picture.size
    assert height > 1.8 * width, "tall, so that 390 pixels are wide enough"
    assert picture.getpixel((width - 1, height - 1)) == (255, 255, 255, 255)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(conceptrevive(?:\.\w+)+)`", PAGE))))
def test_what_the_path_names_is_there(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


def test_files_that_the_page_names_are_there():
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE)
    assert named and all((architecture.PACKAGE / path).exists() for path in named)
