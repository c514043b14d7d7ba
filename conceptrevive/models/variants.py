"""Which copies of its weights a folder holds, by the names that diffusers gives them.

`diffusion_pytorch_model.safetensors` is the default, `….fp16.safetensors` the variant fp16; sharded
ones are listed in `….safetensors.index.json` and `….safetensors.index.fp16.json`.
"""

from __future__ import annotations

import re
from pathlib import Path

_INDEX = re.compile(r".*\.safetensors\.index(?:\.([\w-]+))?\.json")

_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:\.([\w-]+?))?(?:-\d{5}-of-\d{5})?(?:\.([\w-]+))?"
    r"\.safetensors(?:\.index\.json)?"
)


def is_index(path: Path) -> bool:
    """Whether this is, by its name, an index of shards."""
    return _INDEX.fullmatch(path.name) is not None


def variant_of(path: Path) -> str:
    """The variant whose weights (or index) this file is, by its name; empty for the default."""
    for pattern in (_WEIGHTS, _INDEX):
        if match := pattern.fullmatch(path.name):
            return next(filter(None, match.groups()), "")
    return ""


def only_variant(pipeline: Path) -> str:
    """The variant without which a pipeline's folder cannot be loaded; empty if there is none.

    That is the one that some component holds and no default beside it.
    """
    found: set[str] = set()
    for folder in sorted(p for p in pipeline.iterdir() if p.is_dir()):
        copies = weight_copies(folder)
        if copies and "" not in copies:
            found |= copies.keys()
    return found.pop() if len(found) == 1 else ""


def weight_copies(folder: Path) -> dict[str, list[Path]]:
    """{variant: its safetensors files and indices} of a component's folder; "" is the default."""
    out: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" or is_index(path):
            out.setdefault(variant_of(path), []).append(path)
    return out
