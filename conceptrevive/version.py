"""This package's version."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """This package's version; "0+source" where it is not installed."""
    try:
        return installed("conceptrevive")
    except PackageNotFoundError:
        return "0+source"
