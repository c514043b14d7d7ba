"""Pipelines from one safetensors file of a whole model, as the original code gives them away."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.stored import file_dtype, loading_dtype


def is_single_file(model: str | os.PathLike[str]) -> bool:
    """Whether `model` is a safetensors file."""
    return Path(model).suffix == ".safetensors" and Path(model).is_file()


def load_single_file(
    path: Path,
    config: str | os.PathLike[str] | None,
    dtype: torch.dtype | None,
    place: torch.device,
) -> Any:
    """The pipeline in `path`, converted by diffusers.

    Args:
        config: folder or hub id of a pipeline of the same architecture; None lets diffusers tell
            from the weights which one on the hub to take.

    Raises:
        ConceptReviveError: a config that is no pipeline's; and whatever diffusers raises.
    """
    import diffusers
    from diffusers.loaders import single_file_utils
    from safetensors.torch import load_file

    if config is None:
        weights = load_file(path)
        told: Any = single_file_utils
        config = str(told.fetch_diffusers_config(weights)["pretrained_model_name_or_path"])
    index: Any = diffusers.DiffusionPipeline.load_config(str(config))
    kind = str(index.get("_class_name"))
    loader: Any = getattr(diffusers, kind, None)
    if not hasattr(loader, "from_single_file"):
        raise ConceptReviveError(
            f"{config} is the config of a {kind}, which diffusers does not load from one file: "
            "give the folder of a pipeline instead of the file"
        )
    return loader.from_single_file(
        str(path),
        config=str(config),
        torch_dtype=dtype or loading_dtype(file_dtype([path]), place),
    )
