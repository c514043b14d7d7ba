"""The program `conceptrevive`: its commands, and how it begins and ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from conceptrevive.cli import (
    auditing,
    comparing,
    demonstrating,
    editing,
    listing,
    measuring,
    reproducing,
)
from conceptrevive.cli.handler import FAILED, TERMINATED, exit_code, guarded
from conceptrevive.cli.output import complain, say
from conceptrevive.version import version

NAME = "conceptrevive"

COMMANDS: dict[str, Callable[..., object]] = {
    "demo": demonstrating.run_demo,
    "locate": measuring.run_locate,
    "masks": comparing.run_masks,
    "prune": editing.run_prune,
    "revive": editing.run_revive,
    "obfuscate": editing.run_obfuscate,
    "evaluate": measuring.run_evaluate,
    "audit": auditing.run_audit,
    "reproduce": reproducing.run_reproduce,
    "list": listing.run_list,
}

app = typer.Typer(
    name=NAME,
    help="Does pruning make a diffusion model forget? Erase, revive, defend.",
    pretty_exceptions_enable=False,
    no_args_is_help=False,
)

for name, command in COMMANDS.items():
    app.command(name)(guarded(name, command))


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"{NAME} {version()}", sys.stdout)
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="show the version"),
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: what follows the program's name; None takes the process's own.

    Returns: 0; 2 after one line on standard error for what cannot be done; 1 for evidence that
        `audit` found; 130 where interrupted, 141 where the reader of the output has gone.

    Raises SystemExit(2) for wrong usage.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if argv is None:  # as a program: what is half-written is removed before it ends
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    return exit_code(NAME, lambda: _run(sys.argv[1:] if argv is None else list(argv)))


def _run(argv: list[str]) -> object:
    try:
        return app(argv, prog_name=NAME, standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        context = getattr(error, "ctx", None)
        program = context.command_path if context else NAME
        complain(NAME, f"{error.format_message().rstrip('.')}; see `{program} --help`")
        raise SystemExit(FAILED) from None
