"""Commands and refusals in a notebook: what they say, as cells print it."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import Any

from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import ASSETS

#: Columns of a page's cells.
WIDTH = 78


def run_command(
    main: Callable[[Sequence[str]], int],
    folder: str | PathLike[str],
    command: str,
    first: int | None = None,
) -> None:
    """Run a command of the program in this process; print it, what it says and its exit code.

    Args:
        main: `conceptrevive.cli.main`; the program and this package do not import each other.
        folder: to run it in.
        command: what follows `conceptrevive`, as in a shell, without its variables and patterns.
        first: print only so many lines of what it says, and that there are more.
    """
    said = StringIO()
    with chdir(folder), redirect_stdout(said), redirect_stderr(said):
        code = main(shlex.split(command))
    # Where this copy of the package and the folder lie is nothing to a reader.
    text = said.getvalue().replace(f"{ASSETS}/", "").replace(f"{Path(folder).resolve()}/", "")
    lines = text.splitlines()
    shown = lines if first is None else lines[:first]
    if more := len(lines) - len(shown):
        shown = [*shown, f"… and {more} lines more"]
    print(f"$ conceptrevive {command}")
    for line in [*shown, f"[exit code {code}]"]:
        print(_filled(line))
    print()


def refused(function: Callable[..., Any], *given: Any, **named: Any) -> None:
    """Print the message with which a call is refused.

    Raises AssertionError where it is not.
    """
    try:
        function(*given, **named)
    except ConceptReviveError as error:
        print(_filled(f"✗ {error}"))
        return
    raise AssertionError(f"{function} was to be refused, and was not")


def _filled(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="    ", replace_whitespace=False)
