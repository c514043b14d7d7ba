"""Works of `book/references.bib`, as Markdown."""

from __future__ import annotations

from functools import cache

from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.richtext import Text

from pages.numbering import ROOT

BIBLIOGRAPHY = ROOT / "book/references.bib"


@cache
def works() -> BibliographyData:
    return parse_file(str(BIBLIOGRAPHY), bib_format="bibtex")


def work(key: str) -> Entry:
    """A work. Raises ValueError naming the file if it is not in the bibliography."""
    if key not in works().entries:
        raise ValueError(f"no work {key!r} in {BIBLIOGRAPHY.relative_to(ROOT)}: add it there")
    return works().entries[key]


def authors(key: str) -> str:
    """`Fan et al.`, `Wu and Harandi`, `Wilson`."""
    people = work(key).persons["author"]
    names = [str(Text.from_latex(" ".join([*p.prelast_names, *p.last_names]))) for p in people]
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)


def title(key: str) -> str:
    return str(Text.from_latex(work(key).fields["title"]))


def short(key: str) -> str:
    """`[Fan et al. 2024](https://…)`."""
    return f"[{authors(key)} {work(key).fields['year']}]({work(key).fields['url']})"


def entry(key: str) -> str:
    """`Fan et al. (2024). [SalUn: …](https://…).`"""
    one = work(key)
    return f"{authors(key)} ({one.fields['year']}). [{title(key)}]({one.fields['url']})."
