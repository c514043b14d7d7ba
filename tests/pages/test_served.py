"""Pages load nothing from other servers, and nothing twice."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
import yaml
from docutils import nodes

from pages.numbering import ROOT

SPEC = importlib.util.spec_from_file_location("served", ROOT / "book/_ext/served.py")
served = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(served)


def script(filename=None, **attributes):
    return SimpleNamespace(filename=filename, attributes=attributes)


def test_thebe_and_doubles_are_left_out():
    toggle = {"body": "var togglebuttonSelector = '.toggle'"}
    given = [
        script("book.js"),
        script(body="const THEBE_JS_URL = 'https://unpkg.com/thebe'"),
        script("sphinx-thebe.js"),
        script(**toggle),
        script(**toggle),
        script(body="something else"),
    ]
    context = {"script_files": given}
    served.without_thebe(None, "page", "page.html", context, None)
    assert context["script_files"] == [given[0], given[3], given[5]]


def test_the_kernel_of_live_cells_goes_and_figures_stay():
    figure = nodes.raw("", '<div class="cr-moving"></div>', format="html")
    kernel = nodes.raw("", '<script type="text/x-thebe-config"></script>', format="html")
    page = nodes.section("", kernel, figure)
    served.without_kernel(None, page, "page")
    assert page.children == [figure]


def test_works_are_looked_for_at_their_register():
    asked = served.listed(None, "https://doi.org/10.1016/0024-3795(92)90407-2")
    assert asked == "https://doi.org/api/handles/10.1016/0024-3795(92)90407-2"
    assert served.listed(None, "https://arxiv.org/abs/2405.19237") is None


@pytest.mark.parametrize("page", ["README.md", "book/how-to-use.md"])
def test_the_printed_book_stands_where_pages_look_for_it(page):
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    address = config["html"]["baseurl"] + "conceptrevive.pdf"
    assert f"({address})" in (ROOT / page).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(BOOK)/_build/html/conceptrevive.pdf" in makefile
    workflow = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8"))
    uploads = [
        s["with"]["path"] for s in workflow["jobs"]["build"]["steps"] if "path" in s.get("with", {})
    ]
    assert uploads == ["build/book/_build/html"]


@pytest.mark.parametrize(
    "extension", ["sphinx-mathjax-offline", "sphinx_sitemap", "sphinxext.opengraph"]
)
def test_the_book_brings_what_its_pages_need(extension):
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert extension in config["sphinx"]["extra_extensions"]
    assert config["launch_buttons"]["thebe"] is False
