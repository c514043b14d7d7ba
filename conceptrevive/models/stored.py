"""In which number format a folder's weights are stored, and in which they are to be loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch

from conceptrevive.models.variants import is_index, weight_copies

_NAMES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def stored_dtype(folder: Path, variant: str | None = None) -> torch.dtype | None:
    """The format that most weights in a component's folder have; None where that is no float.

    Of a variant that the folder lacks, the default's.
    """
    copies = weight_copies(folder) if folder.is_dir() else {}
    files = copies.get(variant or "", copies.get("", []))
    return file_dtype([path for path in files if not is_index(path)])


def stored_tensors(path: Path) -> dict[str, tuple[str, torch.Size]]:
    """{name: format, shape} of a safetensors file, of which no more than the header is read.

    Raises OSError or SafetensorError for what is none.
    """
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}
        return {n: (x.get_dtype(), torch.Size(x.get_shape())) for n, x in slices.items()}


def file_dtype(files: Iterable[Path]) -> torch.dtype | None:
    """The format that most weights in these safetensors files have; None if it is no float."""
    from safetensors import SafetensorError

    sizes: Counter[str] = Counter()
    for path in files:
        try:
            for dtype, shape in stored_tensors(path).values():
                sizes[dtype] += shape.numel()
        except (OSError, SafetensorError):
            return None  # the loader says it better
    return _NAMES.get(sizes.most_common(1)[0][0]) if sizes else None


def loading_dtype(stored: torch.dtype | None, device: torch.device) -> torch.dtype:
    """On a GPU half precision, the stored one if it is such; elsewhere float32.

    A bfloat16 model overflows in float16. A processor computes in float32, of which `generate`
    takes what is faster.
    """
    if device.type != "cuda":
        return torch.float32
    return stored if stored in (torch.float16, torch.bfloat16) else torch.float16
