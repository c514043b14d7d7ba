"""Where a mutation changes what the code computes, and not only what it says."""

from __future__ import annotations

import ast
from collections.abc import Iterator

#: Line from 1 and column from 0, in characters.
Position = tuple[int, int]


def texts(source: str) -> list[tuple[Position, Position]]:
    """Spans of error messages, warnings and type annotations: mutating them changes words only."""
    lines = source.splitlines()
    return [
        (
            _position(lines, node.lineno, node.col_offset),
            _position(lines, node.end_lineno or 0, node.end_col_offset or 0),
        )
        for node in _words(ast.parse(source))
    ]


def _words(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            yield node
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("warnings."):
            yield node
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation
        elif isinstance(node, ast.arg) and node.annotation:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef) and node.returns:
            yield node.returns


def _position(lines: list[str], line: int, column: int) -> Position:
    """`ast` counts columns in bytes."""
    return line, len(lines[line - 1].encode()[:column].decode())


def is_text(spans: list[tuple[Position, Position]], start: Position) -> bool:
    """Whether what begins at `start` lies in one of `spans`."""
    return any(first <= start < end for first, end in spans)


def statement(source: str, line: int) -> range:
    """The lines of the innermost statement at `line`; of a compound one only its head."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
        if first <= line <= last:
            found = range(first, last + 1)
    return found
