"""The closing print-out of every notebook: what it ran with."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version as installed

from conceptrevive.experiments.provenance import commit
from conceptrevive.version import version

SHOWN = ("torch", "diffusers", "transformers", "numpy", "matplotlib", "seaborn")


def versions() -> None:
    """Print the versions of this package, Python and the libraries that results depend on.

    Last, the processor time since the notebook's start: its cost, on a busy machine too.
    """
    lines = {"conceptrevive": version(), **commit(), "python": platform.python_version()}
    lines |= {name: installed(name) for name in SHOWN}
    lines["processor time"] = f"{time.process_time():.0f} s"
    width = max(map(len, lines))
    print(*(f"{name:<{width}}  {value}" for name, value in lines.items()), sep="\n")
