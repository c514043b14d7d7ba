"""The book on paper: one file from the built pages, in the order of their contents."""

from __future__ import annotations

import shutil
import subprocess
import zlib

import pytest
from PIL import Image

from conceptrevive.teaching.moving import compare_pictures, slider_pictures
from pages.numbering import ROOT

BROWSER = ROOT / ".browser"
PAGE = """<!DOCTYPE html><html lang="en"><head><title>A page</title>
<meta property="og:url" content="https://book.example/book/intro.html"></head><body>
<nav class="bd-links"><ul><li><a class="reference internal" href="#">First</a></li></ul>
<p class="caption">Part</p>
<ul><li><a class="reference internal" href="../chapters/two.html">1. Two</a></li></ul></nav>
<article class="bd-article">{}</article></body></html>"""
FIRST = '<section id="first"><h1>First</h1><a href="../chapters/two.html#here">on</a></section>'
SECOND = """<section id="two"><h1>1. Two</h1><p id="here">Text</p>{}
<section id="ex"><h3>Exercise 1: one (●○○, 5 minutes)</h3>
<div class="cell tag_solution"><details class="hide"><summary>Show</summary>
<div class="cell_input">answer = 1</div></details></div></section></section>"""

pytestmark = pytest.mark.skipif(
    not (shutil.which("node") and (BROWSER / "node_modules/pdf-lib").is_dir()),
    reason="no Chromium: `make pdf` fetches one by npm",
)


def printed(folder, html=""):
    """Exit code, words and bytes of a book of two chapters, the second with this in it."""
    for name, body in (("book/intro", FIRST), ("chapters/two", SECOND.format(html))):
        path = folder / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGE.format(body), encoding="utf-8")
    (folder / "_static").mkdir()
    (folder / "_static/pygments.css").write_text("", encoding="utf-8")
    shutil.copy(ROOT / "book/_static/favicon.svg", folder / "_static")
    shutil.copytree(ROOT / "pages/browser", BROWSER, dirs_exist_ok=True)
    file = folder / "book.pdf"
    run = subprocess.run(
        ["node", str(BROWSER / "print.mjs"), str(folder), str(file)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return run.returncode, run.stdout + run.stderr, file


def inflated(file):
    """All streams of a PDF that Chromium or pdf-lib packed, as text."""
    out = []
    for part in file.read_bytes().split(b"stream")[1:]:
        try:
            out.append(zlib.decompress(part.strip(b"\r\n")))
        except zlib.error:
            continue
    return b"\n".join(out)


def test_chapters_solutions_and_moving_figures_are_printed(tmp_path):
    pictures = [Image.new("RGB", (32, 32), c) for c in ("red", "green", "blue", "black", "white")]
    slider = slider_pictures(pictures, list("abcde"), "A field of one colour")
    curtain = compare_pictures(*pictures[:2], ("before", "after"), "A field of one colour")
    code, told, file = printed(tmp_path, slider._repr_html_() + curtain._repr_html_())
    assert code == 0, told
    # Title, contents, two chapters, solutions; the title's picture, five states and two.
    assert "5 pages, 3 chapters, 0 formulas, 8 pictures" in told and "0 faults" in told
    names = [word.encode("utf-16-be").hex().upper() for word in ("First", "1. Two", "Solutions")]
    assert all(name.encode() in inflated(file) for name in names)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<img alt="x" src="missing.png">', "404: "),
        ('<a href="../book/intro.html#nowhere">x</a>', "a link to nowhere"),
        ('<span class="math">\\(x\\)</span>', "tex-chtml.js"),
    ],
)
def test_what_a_reader_would_miss_is_named_and_nothing_is_written(tmp_path, html, fault):
    code, told, file = printed(tmp_path, html)
    assert code == 1 and fault in told, told
    assert not file.exists()
