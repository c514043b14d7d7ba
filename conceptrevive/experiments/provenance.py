"""What every result carries: seed, versions, device, date and the command that made it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path

from conceptrevive.files import replacing
from conceptrevive.version import version

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def provenance(seed: int | None, device: str = "cpu") -> dict:
    """Seed, command, versions, device and date as a JSON-ready dictionary."""
    import torch

    names = ("torch", "diffusers", "transformers", "numpy", "safetensors")
    script, spec = Path(sys.argv[0]).name, getattr(sys.modules["__main__"], "__spec__", None)
    # `python -m package.module` leaves only the file's name in argv; the module's name is what can be run again.
    command = [
        "conceptrevive"
        if script == "conceptrevive"
        else f"python -m {spec.name}"
        if spec
        else f"python {script}"
    ]
    return {
        "seed": seed,
        "command": " ".join([*command, *map(shlex.quote, sys.argv[1:])]),
        "versions": {"conceptrevive": version(), "python": platform.python_version()}
        | {n: installed(n) for n in names},
        "device": device,
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def short_hash(parts: Iterable[bytes]) -> str:
    """Eight hexadecimal digits of the SHA-256 of `parts`, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:8]


def code_digest(modules: Iterable[str]) -> str:
    """`short_hash` of what modules, by name, compute: their sources without comments, layout and docstrings."""

    def bare(module: str) -> bytes:
        tree = ast.parse(Path(find_spec(module).origin).read_text())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if (
                isinstance(node, DOCUMENTED)
                and body
                and ast.get_docstring(node, clean=False) is not None
            ):
                node.body = body[1:]
        return ast.dump(tree).encode()

    return short_hash(map(bare, modules))


def write_json(path: str | os.PathLike, data: dict) -> None:
    """Write `data` to `path`, to a temporary name first."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n")
