"""Which copies of its weights a folder holds, by the names that diffusers gives them.

`diffusion_pytorch_model.safetensors` is the default, `….fp16.safetensors` the variant fp16; sharded
ones are listed in `….safetensors.index.json` and `….safetensors.index.fp16.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from conceptrevive.errors import ConceptReviveError

_WHOLE = re.compile(r"(?:diffusion_pytorch_model|model)(?:\.[\w-]+)?\.safetensors")

_SHARD = re.compile(r"-\d{5}-of-\d{5}\.")

_INDEX = re.compile(r".*\.safetensors\.index(?:\.([\w-]+))?\.json")

_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:\.([\w-]+?))?(?:-\d{5}-of-\d{5})?(?:\.([\w-]+))?"
    r"\.safetensors(?:\.index\.json)?"
)


def is_index(path: Path) -> bool:
    """Whether this is, by its name, an index of shards."""
    return _INDEX.fullmatch(path.name) is not None


def is_whole(path: Path) -> bool:
    """Whether this is, by its name, the one file that diffusers or transformers load of several."""
    return _WHOLE.fullmatch(path.name) is not None and not is_shard(path)


def is_shard(path: Path) -> bool:
    """Whether this is, by its name, one of several files of weights."""
    return path.suffix == ".safetensors" and _SHARD.search(path.name) is not None


def variant_of(path: Path) -> str:
    """The variant whose weights (or index) this file is, by its name; empty for the default."""
    for pattern in (_WEIGHTS, _INDEX):
        if match := pattern.fullmatch(path.name):
            return next(filter(None, match.groups()), "")
    return ""


def pipeline_variant(pipeline: Path, variant: str | None = None) -> str:
    """The variant with which a pipeline's folder is loaded; empty for the default.

    That is `variant`, or the one without which it cannot be: components that lack it are loaded
    from their default, those without a default need it.

    Raises ConceptReviveError where no component has it, or where there are several to choose from.
    """
    copies = [weight_copies(p) for p in sorted(pipeline.iterdir()) if p.is_dir()]
    if variant is not None:
        held = set[str]().union(*copies)
        if variant not in held:
            raise ConceptReviveError(
                f"{pipeline} holds no variant {variant!r}: it holds {listed(held)}"
            )
        return variant
    needed = [there.keys() for there in copies if there and "" not in there]
    shared = sorted(set[str]().union(*needed).intersection(*needed))
    if len(shared) > 1:
        raise ConceptReviveError(
            f"{pipeline} holds weights only as the variants {listed(shared)}: choose one with "
            "variant=…, on the command line --variant"
        )
    return shared[0] if shared else ""


def listed(variants: Iterable[str]) -> str:
    """Variants for a message."""
    return ", ".join(v or "the default" for v in sorted(variants)) or "no weights"


def weight_copies(folder: Path) -> dict[str, list[Path]]:
    """{variant: its safetensors files and indices} of a component's folder; "" is the default."""
    out: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" or is_index(path):
            out.setdefault(variant_of(path), []).append(path)
    return out
