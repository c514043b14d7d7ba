"""How far a measurement is and how long it still takes, on stderr.

A bar on a terminal, plain lines elsewhere.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


def in_words(seconds: float) -> str:
    """ "40 s", "12 min", "3 h 05 min"."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Clock:
    """Tells after every finished cell how many there are and when the last one will be.

    Args:
        title: what is measured. total: how many cells. kept: how many of them were there before.
        quiet: tell nothing (all processes but the first).
    """

    def __init__(self, title: str, total: int, kept: int, quiet: bool = False) -> None:
        self.title, self.total, self.kept = title, total, kept
        self.began = time.monotonic()
        self.lines = not quiet and not sys.stderr.isatty()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        console = Console(stderr=True, quiet=quiet or self.lines)
        self.bar = Progress(*columns, console=console, transient=True)
        self.task = self.bar.add_task(title, total=total, completed=kept, left="")

    def left(self, done: int) -> str:
        """Time left, from what was measured since the start; empty before the first."""
        fresh = done - self.kept
        if fresh < 1 or done >= self.total:
            return ""
        each = (time.monotonic() - self.began) / fresh
        return f"about {in_words(each * (self.total - done))} left"

    def tell(self, done: int, what: str) -> None:
        """`done` cells are finished, `what` the last of them."""
        left = self.left(done)
        self.bar.update(self.task, completed=done, description=f"{self.title}: {what}", left=left)
        if self.lines:
            parts = (f"{done} of {self.total}", what, left)
            print(f"{self.title}: {', '.join(filter(None, parts))}", file=sys.stderr, flush=True)

    def __enter__(self) -> Clock:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()
