"""Words of the glossary that a chapter uses before it links to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

GLOSSARY = Path(__file__).resolve().parents[1] / "book/glossary.md"
#: `{term}`shown <entry>`` or `{term}`entry``.
LINK = re.compile(r"\{term\}`([^`<]+?)(?:\s*<([^>]+)>)?`")
#: Where a word is not prose: fences, headings, equations, links, rows of tables, other roles, code.
ASIDE = (
    re.compile(r"^```.*?^```$|^\$\$.*?^\$\$.*?$", re.M | re.S),
    re.compile(r"^#+ .*$|^\|.*\|$|\$[^$\n]+\$", re.M),
    re.compile(r"\[[^\]]*\]\([^)]*\)|\{[a-z:]+\}`[^`]*`"),
    re.compile(r"`[^`]*`"),
)


@cache
def entries() -> tuple[str, ...]:
    """The glossary's words, the longest first."""
    found = re.findall(r"^([^\s:#].*)\n  \S", GLOSSARY.read_text(encoding="utf-8"), re.M)
    return tuple(sorted(found, key=len, reverse=True))


def first_uses(prose: str, words: Sequence[str]) -> Iterator[tuple[str, re.Match[str]]]:
    """Each word, in lower case, at whose first use there is no link, and where that is."""
    linked = [(m.start(), _plain(m[2] or m[1])) for m in LINK.finditer(prose)]
    bare = prose
    for pattern in (ASIDE[0], LINK, *ASIDE[1:]):
        bare = pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), bare)
    any_word = "|".join(re.escape(w).replace(r"\ ", r"\s+") for w in words)
    seen: set[str] = set()
    for m in re.finditer(rf"(?<![\w-])({any_word})s?(?![\w-])", bare, re.I):
        word = _plain(m[1])
        if word not in seen and not any(at < m.start() and word == w for at, w in linked):
            yield word, m
        seen.add(word)


def _plain(word: str) -> str:
    return " ".join(word.split()).lower()
