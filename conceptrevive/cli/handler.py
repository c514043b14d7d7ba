"""The last resort of every command: an exit code that is true, and one line that says why."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from typing import ParamSpec

from conceptrevive.cli.output import complain
from conceptrevive.errors import ConceptReviveError

P = ParamSpec("P")

#: Exit codes. 1 is the audit's, for evidence found.
DONE, FAILED, INTERRUPTED, CLOSED_PIPE, TERMINATED = 0, 2, 130, 141, 143

#: Set to 1, it shows the traceback too.
DEBUG = "CONCEPTREVIVE_DEBUG"


def guarded(name: str, command: Callable[P, object]) -> Callable[P, int]:
    """`command` that returns an exit code whatever happens."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        return exit_code(f"conceptrevive {name}", partial(command, *args, **kwargs))

    return run


def exit_code(where: str, work: Callable[[], object]) -> int:
    """Run `work`. Returns its exit code if it has one, else 0; 2, and one line, if it raises.

    Args:
        where: begins the line, such as "conceptrevive locate".
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.showwarning = lambda message, *_, **__: complain(where, message)
            code = work()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except KeyboardInterrupt:
        _last_words(where, "interrupted, nothing was left half-written")
        return INTERRUPTED
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code == FAILED:  # wrong usage, said already
            raise
        return _failed(where, error)


def _failed(where: str, error: BaseException) -> int:
    if os.environ.get(DEBUG) == "1":
        with suppress(OSError):
            traceback.print_exception(error)
    end = error if isinstance(error, SystemExit) else None
    if isinstance(error.__context__ if end else error, BrokenPipeError):
        _discard_output()
        return CLOSED_PIPE
    if end is None:
        _last_words(where, _reason(error))
    elif end.code not in (None, DONE, TERMINATED):
        _last_words(where, f"a library ended the program with {end.code!r}")
    _discard_output()
    return int(end.code or DONE) if end and end.code in (None, DONE, TERMINATED) else FAILED


def _reason(error: BaseException) -> str:
    """What to tell the user of an exception."""
    if isinstance(error, ConceptReviveError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        place = error.filename or "standard output"
        return f"{error.strerror} ({place}): check the path, its permissions and the room"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory: close other programs, or take a machine with more"
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{text} (unexpected; {DEBUG}=1 shows where)"


def _last_words(where: str, message: str) -> None:
    with suppress(OSError, ValueError):  # standard error may be closed or full too
        complain(where, message)


def _discard_output() -> None:
    """Let go of what a closed pipe or a full disk refused, or Python would try again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
