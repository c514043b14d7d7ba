"""Counts of signs that need no model: matrices of known structure, and other shipped weights."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.signs import OTHERS, known_structure, other_weights
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.files import ASSETS


def known_cells(rows: list[int], seeds: list[int], noise: list[float], seed: int) -> list[Cell]:
    """Matrices of `rows`, `seeds` of each, at every level of noise."""
    return [
        Cell(
            "known structure", f"{d} rows", f"noise {level:g}", n, seed, {"rows": d, "noise": level}
        )
        for d, n in zip(rows, seeds, strict=True)
        for level in noise
    ]


def other_cells(count: int, seed: int) -> list[Cell]:
    """Up to `count` matrices of each other part."""
    return [Cell("other weights", "shipped parts", n=count, seed=seed)]


def files(cell: Cell) -> Iterator[bytes]:
    """What other parts' counts depend on."""
    for name in OTHERS.values() if cell.experiment == "other weights" else ():
        yield (ASSETS / name).read_bytes()


def count(cell: Cell) -> Found:
    """Every solver's signs."""
    if cell.experiment == "other weights":
        return Found(numbers={"rows": other_weights(cell.n)})
    d, level = int(cell.settings["rows"]), float(cell.settings["noise"])
    seeds = range(cell.seed, cell.seed + cell.n)
    return Found(numbers={"rows": known_structure([(d, 4 * d)], seeds, (level,))})
