"""A mapping read from YAML: keys unique at every depth, and the line that each value stands in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from conceptrevive.errors import ConceptReviveError, one_line


@dataclass(frozen=True)
class Document:
    """A YAML mapping.

    Attributes:
        path: the file. values: what it says, as plain Python objects.
        root: the same as YAML's nodes, which know their lines.
    """

    path: Path
    values: dict[Any, Any]
    root: yaml.MappingNode

    def node(self, where: Sequence[str | int]) -> yaml.Node:
        """What stands at a path of keys and positions, or as far along it as there is something.

        A mapping's items are reached by their keys and, in order, by position.
        """
        here: yaml.Node = self.root
        for step in where:
            below = _child(here, step)
            if below is None:
                break
            here = below
        return here

    def place(self, where: Sequence[str | int]) -> str:
        """File and line of what stands at `where`, to begin a message with."""
        return f"{self.path}, line {self.node(where).start_mark.line + 1}"


class _Misread(Exception):
    """A scalar that looks like a date or a number and is none."""

    def __init__(self, node: yaml.ScalarNode) -> None:
        super().__init__(node.value)
        self.node = node


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, KeyError) as e:
            if isinstance(node, yaml.ScalarNode):
                raise _Misread(node) from e
            raise


def read_document(path: str | os.PathLike[str], example: str) -> Document:
    """Read a YAML file that holds one mapping; builds plain values only.

    Args:
        example: keys to name to whoever wrote something else.

    Raises:
        ConceptReviveError: unreadable, no YAML, no mapping, or a key that stands twice.
    """
    try:
        path = Path(path)
        loader = _Loader(path.read_bytes())
        root = loader.get_single_node()
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as e:
        raise ConceptReviveError(
            f"cannot read a concept from {path}: {one_line(e)}: give a YAML file with keys such "
            f"as {example}"
        ) from e
    if not isinstance(root, yaml.MappingNode):
        raise ConceptReviveError(f"{path} holds no mapping: write keys such as {example}")
    for key, first in _repeated(root, set()):
        lines = first.start_mark.line + 1, key.start_mark.line + 1
        raise ConceptReviveError(
            f"{path}, line {lines[1]}: the key {key.value!r} stands in line {lines[0]} already: "
            "keep one of them"
        )
    try:
        return Document(path, loader.construct_document(root), root)
    except _Misread as e:
        line, text = e.node.start_mark.line + 1, repr(e.node.value[:80])
        raise ConceptReviveError(
            f"{path}, line {line}: {text} looks like a date or a number and is none: "
            "write it in quotes"
        ) from e
    except (yaml.YAMLError, RecursionError) as e:
        raise ConceptReviveError(f"cannot read a concept from {path}: {one_line(e)}") from e


def _repeated(node: yaml.Node, seen: set[int]) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """(key, the same key before it) of every mapping within `node`; `seen` ends circles."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    first: dict[tuple[str, str], yaml.Node] = {}
    for item in node.value:
        key, value = item if isinstance(node, yaml.MappingNode) else (None, item)
        if isinstance(key, yaml.ScalarNode):
            name = key.tag, key.value
            if name in first:
                yield key, first[name]
            first[name] = key
        yield from _repeated(value, seen)


def _child(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        named = (value for key, value in node.value if key.value == step)
        if isinstance(step, int):
            named = (value for _, value in node.value[step : step + 1])
        return next(named, None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: yaml.Node = node.value[step]
        return child
    return None
