"""Nothing that is seen, written or drawn hangs on the order of a set or of a folder's listing.

That of a set of texts differs from process to process (PYTHONHASHSEED).
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = "conceptrevive pages training notebooks tests benchmarks calibration mutation".split()
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

#: What comes out the same whatever the order of what goes in.
ORDERLESS = "sorted len any all min max set frozenset bool isinstance update".split()
IN_ORDER = "list tuple next iter enumerate map filter zip fromkeys join parametrize".split()
LISTINGS = "iterdir glob rglob listdir scandir".split()


def called(node: ast.AST) -> str:
    """The last name of what a call calls; empty of anything else."""
    function = getattr(node, "func", None)
    return getattr(function, "attr", getattr(function, "id", ""))


def given(node: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    """(what is given a value, the value) of a statement."""
    if isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value:
        return [(node.target, node.value)]
    pairs = [(t, node.value) for t in node.targets] if isinstance(node, ast.Assign) else []
    for target, value in pairs:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs += zip(target.elts, value.elts, strict=False)
    return pairs


def is_unordered(node: ast.AST, known: set[str]) -> bool:
    """Whether an expression is a set, or lists a folder, as far as its definition shows."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        if called(node) in ("union", "intersection", "difference"):
            return is_unordered(node.func, known)
        return called(node) in ("set", "frozenset", *LISTINGS)
    if isinstance(node, ast.Attribute) and node.attr in ("union", "intersection", "difference"):
        return is_unordered(node.value, known)
    if isinstance(node, ast.BinOp) and isinstance(
        node.op, ast.Sub | ast.BitAnd | ast.BitOr | ast.BitXor
    ):
        sides = (node.left, node.right)
        return any(called(side) == "keys" or is_unordered(side, known) for side in sides)
    return ast.unparse(node) in known


def sets_of(tree: ast.AST) -> set[str]:
    """Names and attributes that a definition makes a set of."""
    known: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            kind = ast.unparse(node.annotation)
            if kind.startswith(("set[", "frozenset[")):
                known.add(node.arg if isinstance(node, ast.arg) else ast.unparse(node.target))
        known |= {ast.unparse(t) for t, value in given(node) if is_unordered(value, known)}
    return known


def gone_through(source: str) -> list[str]:
    """Expressions without an order whose elements are taken one after the other, in one's order."""
    tree = ast.parse(source)
    of_all = {n for part in tree.body if given(part) for n in sets_of(part)}
    return [found for part in tree.body for found in _of_part(part, of_all | sets_of(part))]


def _of_part(tree: ast.AST, known: set[str]) -> list[str]:
    inner: set[ast.AST] = set()  # whatever its order, what comes of it is the same
    for node in ast.walk(tree):
        if called(node) in ORDERLESS or isinstance(node, ast.SetComp | ast.Set):
            inner |= {node, *ast.iter_child_nodes(node)}
        if isinstance(node, ast.SetComp | ast.GeneratorExp) and node in inner:
            inner |= {*node.generators}
    taken = [part for node in ast.walk(tree) if node not in inner for part in takes(node)]
    return [ast.unparse(node) for node in taken if is_unordered(node, known)]


def takes(node: ast.AST) -> list[ast.expr]:
    """What a piece of code takes the elements of, one after the other, or hands on as they come."""
    if isinstance(node, ast.For | ast.comprehension):
        return [node.iter]
    if isinstance(node, ast.Starred):
        return [node.value]
    if called(node) in IN_ORDER:
        return node.args
    if called(node) == "pop" and isinstance(node.func, ast.Attribute) and not node.args:
        return [node.func.value]
    return []


def test_what_is_gone_through_has_an_order():
    found = [
        f"{path.relative_to(ROOT)}: {what}"
        for path in SOURCES
        for what in gone_through(path.read_text(encoding="utf-8"))
        if not path.is_relative_to(ROOT / "tests")
        or not re.search(rf"\.({'|'.join(LISTINGS)})\(", what)
    ]
    assert found == [], "give it an order: sorted(…), dict.fromkeys(…)"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("for x in {1, 2}: print(x)", ["{1, 2}"]),
        ("def f(a):\n  b = set(a)\n  return [x for x in b]", ["b"]),
        (
            "class A:\n  def a(b): b.d, b.c = 1, frozenset(b)\n  def d(b): next(x for x in b.c)",
            ["b.c"],
        ),
        ("def f(a: set[str]): ', '.join(a)", ["a"]),
        ("A = set('ab')\ndef f(): return list(A)", ["A"]),
        ("print(*{1} | a)", ["{1} | a"]),
        ("list(a.keys() - b)", ["a.keys() - b"]),
        ("[x for x in a | b.keys()]", ["a | b.keys()"]),
        ("for p in folder.glob('*'): print(p)", ["folder.glob('*')"]),
        ("pytest.mark.parametrize('a', {1, 2})", ["{1, 2}"]),
        ("a = {1}\na.pop()", ["a"]),
        ("sorted({1, 2}), len({1}), {x for x in {1}}, any(x for x in {1}), {*{1}}", []),
        ("sorted(x for x in {1}), [x for x in sorted({1})], list(dict.fromkeys('ab'))", []),
    ],
)
def test_the_search_finds_what_has_no_order(source, found):
    assert gone_through(source) == found
