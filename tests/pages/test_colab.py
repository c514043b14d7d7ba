"""MyST becomes Markdown that reads well without Sphinx."""

from __future__ import annotations

import nbformat
import pytest

from pages import colab
from pages.numbering import Numbers, number

BOOK, CODE = "https://o.github.io/conceptrevive/", "https://github.com/o/conceptrevive/blob/v1/"
NUMBERS = Numbers({"01_a": "1"}, {"fig-a-one": "1.1", "fig-b-two": "2.7"}, {"eq-a-first": "1.1"})


@pytest.mark.parametrize(
    ("myst", "plain"),
    [
        ("a {term}`mask`", f"a [mask]({BOOK}book/glossary.html#term-mask)"),
        (
            "{term}`scores\n<Wanda score>`",
            f"[scores]({BOOK}book/glossary.html#term-Wanda-score)",
        ),
        (
            "x {cite}`wu2024scissorhands`",
            "x ([Wu and Harandi 2024](https://arxiv.org/abs/2401.06187))",
        ),
        (
            "{cite}`wilson1927interval, fan2024salun`",
            "([Wilson 1927](https://doi.org/10.1080/01621459.1927.10502953), "
            "[Fan et al. 2024](https://arxiv.org/abs/2310.12508))",
        ),
        ("{cite:t}`fan2024salun`", "Fan et al. ([2024](https://arxiv.org/abs/2310.12508))"),
        ("{numref}`fig-b-two` and {numref}`Fig. %s <fig-a-one>`", "Figure 2.7 and Fig. 1.1"),
        ("see {eq}`eq-a-first`", "see (1.1)"),
        ("$$\na = b .\n$$ (eq-a-first)", "$$\na = b . \\tag{1.1}\n$$"),
        ("[c](../book/model-card.md#goals)", f"[c]({BOOK}book/model-card.html#goals)"),
        ("[c](04_the_scar.ipynb)", f"[c]({BOOK}notebooks/04_the_scar.html)"),
        ("[c](../conceptrevive/figures.py)", f"[c]({CODE}conceptrevive/figures.py)"),
        ("[c](https://x.org/a) [d](#here)", "[c](https://x.org/a) [d](#here)"),
        (":::{note}\nOne.\n\nTwo.\n:::", "> **Note**\n>\n> One.\n>\n> Two."),
        (
            ":::{admonition} Hint\n:class: dropdown\nLook at {term}`mask`.\n:::",
            "<details><summary><b>Hint</b></summary>\n\nLook at "
            f"[mask]({BOOK}book/glossary.html#term-mask).\n\n</details>",
        ),
    ],
)
def test_markup_is_told_plainly(myst, plain):
    assert colab.plain(myst, BOOK, CODE, NUMBERS) == plain


@pytest.mark.parametrize(
    ("myst", "message"),
    [
        ("{doc}`intro`", "role '{doc}`intro`'"),
        (":::{figure} x.png\n\nText.\n:::", "directive 'figure'"),
        ("```{note}\nx\n```", "directive '```{note}'"),
        ("(target)=\n# T", r"directive '\(target\)='"),
        ("{numref}`fig-none`", "no figure is named 'fig-none'"),
        ("{eq}`eq-none`", "no equation is labelled 'eq-none'"),
        ("{cite}`nobody`", "no work 'nobody' in book/references.bib"),
        ("[x](elsewhere.md)", "link 'elsewhere.md'"),
    ],
)
def test_what_colab_cannot_show_is_refused(myst, message):
    with pytest.raises(ValueError, match=message):
        colab.plain(myst, BOOK, CODE, NUMBERS)


def test_figures_and_equations_are_counted_within_their_chapter():
    found = Numbers()

    def drawing(name):
        return nbformat.v4.new_code_cell("x", metadata={"mystnb": {"figure": {"name": name}}})

    text = nbformat.v4.new_markdown_cell("$$\na\n$$ (eq-one)\n\ntext $b$\n\n$$\nc\n$$ (eq-two)")
    number(
        [drawing("fig-one"), text, nbformat.v4.new_code_cell("y"), drawing("fig-two")], "3", found
    )
    assert found.figures == {"fig-one": "3.1", "fig-two": "3.2"}
    assert found.equations == {"eq-one": "3.1", "eq-two": "3.2"}
    with pytest.raises(ValueError, match="'fig-two' is used twice"):
        number([drawing("fig-two")], "4", found)


def test_folded_cells_are_forms_with_a_title():
    cell = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["solution", "hide-cell"]})
    colab.folded(cell)
    assert cell.source == "# @title Solution\nx = 1"
    assert cell.metadata["cellView"] == "form"
    told = {"figure": {"name": "fig-one", "caption": "One."}}
    for metadata, title in (({}, "Code"), ({"mystnb": told}, "Code of the figure")):
        cell = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["hide-input"], **metadata})
        colab.folded(cell)
        assert cell.source == f"# @title {title}\nx = 1"
    bare = nbformat.v4.new_code_cell("x = 1")
    colab.folded(bare)
    assert bare.source == "x = 1" and not bare.metadata


def test_references_are_the_works_cited_in_the_order_of_their_mention():
    cells = [
        nbformat.v4.new_markdown_cell(
            "{cite}`fan2024salun,wu2024scissorhands` {cite:t}`fan2024salun`"
        )
    ]
    plain, book = colab.references(cells, is_book=False), colab.references(cells, is_book=True)
    assert [line[:11] for line in plain.splitlines()] == ["- Fan et al", "- Wu and Ha"]
    assert book.startswith("- {cite}`fan2024salun` Fan et al. (2024). [SalUn: ")
