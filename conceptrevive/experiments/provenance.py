"""What every result carries: seed, versions, device, date and the command that made it."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from conceptrevive.files import replacing
from conceptrevive.version import version


def provenance(seed: int | None, device: str = "cpu") -> dict[str, Any]:
    """Seed, command, versions, device and date as a JSON-ready dictionary."""
    import torch

    names = ("torch", "diffusers", "transformers", "numpy", "safetensors")
    return {
        "seed": seed,
        "command": " ".join([program(), *map(shlex.quote, sys.argv[1:])]),
        "versions": {"conceptrevive": version(), "python": platform.python_version()}
        | {n: installed(n) for n in names}
        | commit(),
        "device": device,
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def commit() -> dict[str, str]:
    """The commit the package stands at, "+changes" where its files differ; {} of a wheel."""
    here = Path(__file__).resolve().parent
    try:
        run = partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True)
        # A wheel installed inside somebody's checkout is not that checkout's code.
        run(["git", "ls-files", "--error-unmatch", __file__])
        head = run(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        changed = run(["git", "status", "--porcelain", "--untracked-files=no", ".."]).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": head + ("+changes" if changed else "")}


def program() -> str:
    """How this process can be started again, without its options."""
    script = Path(sys.argv[0]).name
    if script == "conceptrevive":
        return script
    # `python -m package.module` leaves only the file's name in argv; the module's name is what can
    # be run again.
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else f"python {script}"


def write_json(path: str | os.PathLike[str], data: dict[str, Any]) -> None:
    """Write `data` to `path`, to a temporary name first."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n")
