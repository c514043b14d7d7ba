"""Every chapter keeps every convention, and every convention notices a chapter that does not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from pages import conventions
from pages.colab import ROLE
from pages.conventions import RULES, Chapter
from pages.numbering import chapters

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
SAMPLE = ROOT / "notebooks/01_quickstart.py"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_chapter_keeps_the_convention(script, rule):
    assert list(rule(Chapter.read(script))) == []


def test_every_notebook_is_a_numbered_chapter():
    assert sorted(chapters()) == [script.stem for script in SCRIPTS]
    assert list(chapters()) == sorted(chapters()), "in the order of their files"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_terms_stand_in_the_glossary(script):
    glossary = (ROOT / "book/glossary.md").read_text(encoding="utf-8")
    known = {line for line in glossary.splitlines() if line and line[0] not in " #:"}
    for role, text in ROLE.findall(Chapter.read(script).prose):
        if role == "term":
            shown = re.fullmatch(r".+<(.+)>", text, re.S)
            term = shown[1] if shown else text
            assert term.lower() in {k.lower() for k in known}, f"{term!r} is not in the glossary"


def changed(change):
    """The first chapter with every cell's text put through `change`."""
    chapter = Chapter.read(SAMPLE)
    cells = []
    for cell in chapter.cells:
        copy = nbformat.from_dict(dict(cell))
        copy.source = change(cell.source)
        cells.append(copy)
    return replace(chapter, cells=tuple(cells))


def without(*parts):
    def change(text):
        for part in parts:
            text = text.replace(part, "")
        return text

    return change


@pytest.mark.parametrize(
    ("rule", "change", "fault"),
    [
        ("opening", without("- **Hardware:**"), "lacks the line '- **Hardware:"),
        ("opening", lambda t: t.replace("## Erase", "# Erase"), "2 titles"),
        ("opening", lambda t: t.replace("minutes to run", "minutes to play"), "Time: give"),
        ("opening", lambda t: t.replace("3 minutes to run", "4 minutes to run"), "more than 3"),
        ("opening", lambda t: t.replace("(●○○, 5", "(●○○, 6"), "whose own come to 26"),
        ("closing", without("## Summary"), "the last sections are"),
        ("closing", lambda t: t.replace("versions()", "print()"), "the last cell should be"),
        ("size", lambda t: t.replace("## Erase", "## Summary"), "cells before the summary's"),
        ("size", lambda t: t.replace("print(", "print(" + " " * 80), "more than 80 columns"),
        ("size", lambda t: t.replace("versions()", "1\n" * 31), "31 lines"),
        ("seed", without("RANDOM_SEED = 0"), "set RANDOM_SEED once"),
        ("seed", lambda t: t.replace("versions()", "torch.manual_seed(0)"), "torch.manual_seed"),
        ("names", lambda t: t.replace("tiled(pictures", "tiled(sheets"), "the global 'sheets'"),
        ("figures", without("{numref}`fig-quickstart-rates`"), "is not referred to"),
        ("figures", lambda t: t.replace("slider_pictures(", "shown("), "no figure that moves"),
        ("folded", lambda t: t.replace("versions()", "plt.show()"), "code that is not folded"),
        ("exercises", lambda t: t.replace("Exercise 3:", "Exercise 4:"), "exercises [1, 2, 4]"),
        ("exercises", without(":class: dropdown"), "every exercise needs a hint"),
        ("exercises", lambda t: t.replace('"quickstart.2"', '"quickstart.9"'), "exercise 2 has no"),
        ("teaching", without("Predict before you run"), "ask the reader"),
        ("teaching", without("assert "), "assert in a cell tagged agrees"),
        ("references", without("{term}"), "link 'mask' at its first use"),
        ("references", without("{cite}", "{cite:t}"), "cite what the chapter builds on"),
        ("references", lambda t: t.replace("wilson1927interval", "w"), "no work 'w'"),
        ("references", without(" (eq-quickstart-wanda)"), "label the equation"),
    ],
)
def test_a_fault_is_noticed(rule, change, fault):
    found = list(getattr(conventions, rule)(changed(change)))
    assert any(fault in each for each in found), found


def test_figures_need_words():
    chapter = changed(str)
    for cell in chapter.code:
        cell.metadata = nbformat.from_dict({"tags": list(cell.metadata.get("tags", []))})
    assert "no figures" in list(conventions.figures(chapter))
    for cell in (chapter := changed(str)).code:
        told = cell.metadata.get("mystnb", {})
        told.pop("image", None)
        told.get("figure", {}).update(caption="", name="fig-x") if "figure" in told else None
    found = "\n".join(conventions.figures(chapter))
    assert "has no alt text" in found and "has no caption" in found and "name it fig-" in found


def test_solutions_are_folded_and_the_bare_form_is_tagged():
    chapter = changed(str)
    for cell in chapter.code:
        cell.metadata["tags"] = [t for t in cell.metadata.get("tags", []) if t == "solution"]
    assert any("not folded" in f for f in conventions.exercises(chapter))
    assert any("tagged bare" in f for f in conventions.teaching(chapter))
