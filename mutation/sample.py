"""A random sample of mutants, one a place, by cosmic-ray's operators."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from mutation.places import Position, is_text, texts

#: Those that say nothing about tests: `is` for `==` on numbers is an accident of the interpreter.
SKIPPED = ("VariableReplacer", "VariableInserter", "_Is", "_IsNot")


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        path: file, relative to the repository.
        operator: cosmic-ray's name of what was done.
        occurrence: which of the places in the file where the operator fits, from 0.
        start: where in the file.
    """

    path: str
    operator: str
    occurrence: int
    start: Position

    @property
    def key(self) -> str:
        return f"{self.path}:{self.operator}:{self.occurrence}"

    @cached_property
    def source(self) -> str:
        return Path(self.path).read_text()

    @cached_property
    def code(self) -> str | None:
        """The file with the fault in it; None where it is no Python any more, or the same."""
        code = mutate_code(self.source, get_operator(self.operator)(), self.occurrence)
        try:
            compile(code or "", self.path, "exec")
        except SyntaxError:
            return None
        return None if code == self.source else code

    @property
    def change(self) -> tuple[str, str]:
        """The first line that differs, before and after."""
        pairs = zip(self.source.splitlines(), (self.code or "").splitlines(), strict=False)
        return next(((a.strip(), b.strip()) for a, b in pairs if a != b), ("", ""))


def sample(paths: Sequence[str], count: int, seed: int) -> tuple[list[Mutant], int]:
    """`count` places drawn with `seed`, one mutant drawn for each, and how many places there are.

    Places in error messages, warnings and annotations are left out.
    """
    places: dict[tuple[str, Position], list[Mutant]] = {}
    for path in sorted(paths):
        for mutant in _mutants(path):
            places.setdefault((path, mutant.start), []).append(mutant)
    draw = random.Random(seed)
    chosen: list[Mutant] = []
    for place in draw.sample(sorted(places), len(places)):
        options = draw.sample(places[place], len(places[place]))
        if mutant := next((m for m in options if m.code is not None), None):
            chosen.append(mutant)
        if len(chosen) == count:
            break
    return sorted(chosen, key=lambda m: (m.path, m.start)), len(places)


def _mutants(path: str) -> list[Mutant]:
    nodes = list(ast_nodes(get_ast_from_path(Path(path))))
    spans = texts(Path(path).read_text())
    found = []
    for name in sorted(operator_names()):
        if name.endswith(SKIPPED):
            continue
        operator = get_operator(name)()
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        found += [Mutant(path, name, i, start) for i, start in enumerate(starts)]
    return [m for m in found if not is_text(spans, m.start)]
