"""The command line: `conceptrevive.cli:main`."""

from conceptrevive.cli.commands import main

__all__ = ["main"]
