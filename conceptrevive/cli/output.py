"""What the command line prints: results, messages, progress. No name steers the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TextIO

from conceptrevive.errors import one_line, printable


def say(text: str, stream: TextIO | None) -> None:
    """Print `text`; what the stream cannot encode becomes "?", control characters are escaped."""
    if stream is not None:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        shown = printable(text).encode(encoding, "replace").decode(encoding)
        print(shown, file=stream, flush=True)


def complain(where: str, message: object) -> None:
    """One line on standard error: the command and the message."""
    say(f"{where}: {one_line(message)}", sys.stderr)


def show(result: Mapping[str, object], as_json: bool) -> None:
    """Print a result: one JSON object on one line, or a line per key."""
    if as_json:
        say(json.dumps(result), sys.stdout)
        return
    width = max(map(len, result))
    lines = [f"{key.replace('_', ' '):{width}}  {_text(value)}" for key, value in result.items()]
    say("\n".join(lines), sys.stdout)


def some(names: list[str], most: int = 3, between: str = ", ") -> str:
    """The first few names, and how many more there are."""
    more = len(names) - most
    return between.join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return "  ".join(f"{k} {_text(v)}" for k, v in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else one_line(value)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar of `total` pictures, with the time left, on standard error where that is a terminal.

    Yields what changes it: called with advance=n, or with completed=, total= and description=.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pictures,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(one_line(label), total=total)
        yield partial(bar.update, task)
