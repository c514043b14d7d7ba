"""The command line: `conceptrevive.cli:main`."""

from conceptrevive.cli.app import main

__all__ = ["main"]
