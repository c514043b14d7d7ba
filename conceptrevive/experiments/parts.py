"""Kept parts: every finished cell is a file, named by a digest of all that it depends on.

A part is written whole or not at all, and measured by one process at a time (a lock file that the
system frees when its holder dies). So a run can be killed at any moment and several processes can
share a folder: what is there is read, what is missing is measured, nothing is measured twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as installed
from pathlib import Path

from filelock import FileLock, Timeout

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.cells import Cell, Found, Result, canonical, read_json
from conceptrevive.experiments.provenance import provenance, write_json
from conceptrevive.experiments.sources import code_digest, module_of, short_hash

Measure = Callable[[Cell], Found]
#: Libraries whose version decides about the last digits.
LIBRARIES = ("torch", "diffusers", "transformers")


@cache
def _code(module: str) -> bytes:
    """The digest of a module's code, taken once: what was loaded is what runs."""
    return code_digest(module).encode()


def key_of(cell: Cell, measure: Measure, depends: Iterable[bytes] = ()) -> str:
    """Digest of all that a part depends on: the cell, the code, the libraries, and `depends`.

    Args:
        measure: what the cell is measured by; its module's code counts, and all that is imported
        from there. depends: whatever else decides: weights, judges, the way of drawing.
    """
    libraries = " ".join(f"{name} {installed(name)}" for name in LIBRARIES).encode()
    known = (canonical(cell), _code(module_of(measure)), libraries, *depends)
    return short_hash(len(x).to_bytes(8, "big") + x for x in known)


@dataclass(frozen=True)
class Parts:
    """A folder of kept parts.

    Attributes:
        folder: where they are; made when the first is kept. device: where they are measured, for
        their provenance.
    """

    folder: Path
    device: str = "cpu"

    def path(self, cell: Cell, key: str) -> Path:
        """Where a part is kept: readable, and by its key."""
        words = "".join(c if c.isalnum() else "-" for c in f"{cell.experiment} {cell}")
        return self.folder / f"{words[:80]}-{key}.json"

    def read(self, cell: Cell, key: str) -> Result | None:
        """A part that is there; None if it is not.

        Raises ConceptReviveError for a file that holds something else.
        """
        path = self.path(cell, key)
        if not path.exists():
            return None
        result = read_json(path, Result)
        if result.key != key or canonical(result.cell) != canonical(cell):
            raise ConceptReviveError(
                f"{path} is the part of another cell ({result.cell}, {result.key}): "
                "it is left as it is; move it away and run again"
            )
        return result

    def keep(self, cell: Cell, key: str, measure: Measure) -> Result:
        """The part of `cell`: read if it is there, else measured.

        While another process measures it, its part is waited for.
        """
        found = self._held(cell, key, measure, timeout=-1)
        assert found is not None  # a lock without a time limit is never given up
        return found

    def claim(self, cell: Cell, key: str, measure: Measure) -> Result | None:
        """As `keep`, but None at once while another process measures it."""
        return self._held(cell, key, measure, timeout=0)

    def _held(self, cell: Cell, key: str, measure: Measure, timeout: float) -> Result | None:
        found = self.read(cell, key)
        if found is not None:
            return found
        locks = self.folder / "locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
            lock = FileLock(locks / f"{key}.lock", timeout=timeout)
            lock.acquire()
        except Timeout:
            return None
        except OSError as e:
            reason = e.strerror or e
            raise ConceptReviveError(
                f"cannot keep parts in {self.folder} ({reason}): choose a writable place for --out"
            ) from e
        try:
            return self.read(cell, key) or self._measure(cell, key, measure)
        finally:
            lock.release()

    def _measure(self, cell: Cell, key: str, measure: Measure) -> Result:
        began = time.perf_counter()
        found = measure(cell)
        seconds = round(time.perf_counter() - began, 3)
        made = provenance(cell.seed, self.device)
        result = Result(cell, key, found.outcomes, found.numbers, seconds, made)
        write_json(self.path(cell, key), result.as_dict())
        return read_json(self.path(cell, key), Result)
