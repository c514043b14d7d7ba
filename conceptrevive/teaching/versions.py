"""The closing print-out of every notebook: what it ran with."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed

from conceptrevive.experiments.provenance import commit
from conceptrevive.version import version

SHOWN = ("torch", "diffusers", "transformers", "numpy", "matplotlib", "seaborn")


def versions() -> None:
    """Print the versions of this package, Python and the libraries that results depend on."""
    lines = {"conceptrevive": version(), **commit(), "python": platform.python_version()}
    lines |= {name: installed(name) for name in SHOWN}
    width = max(map(len, lines))
    print(*(f"{name:<{width}}  {value}" for name, value in lines.items()), sep="\n")
