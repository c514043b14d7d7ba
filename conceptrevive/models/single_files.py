"""Pipelines from one safetensors file of a whole model, as the original code gives them away."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.lacking import expect_floats, expect_words, finish, modules_of
from conceptrevive.models.stored import file_dtype, loading_dtype, stored_tensors

#: What to give that can be loaded.
GIVE = (
    "give a whole model in one file, and with config=…, on the command line --config, the folder "
    "of a pipeline like it"
)

#: Whose names a denoiser's tensors have in the files of the original code.
DENOISER = "model.diffusion_model."


def is_single_file(model: str | os.PathLike[str]) -> bool:
    """Whether `model` is a safetensors file."""
    return Path(model).suffix == ".safetensors" and Path(model).is_file()


def refuse_idle(model: object, single: bool, **given: object) -> None:
    """Raise ConceptReviveError for an argument of `load_pipeline` of which a model makes no use.

    Args:
        single: whether the model is one file.
        given: the arguments by name; None is not given.
    """
    for name, value in given.items():
        if value is None or (name == "config") == single:
            continue
        option = {"denoiser": "unet or --transformer"}.get(name, name)
        if single:
            kind, instead = "is one file", "give a pipeline's folder or hub id, with which it goes"
        else:
            kind, instead = "is not one file", "only a model in one .safetensors file has one apart"
        raise ConceptReviveError(
            f"{name} is {str(value)!r}, and {model} {kind}: leave {name}=… out, on the command "
            f"line --{option}; {instead}"
        )


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
        ConceptReviveError: a file without config that diffusers knows no model by; a config of
            what diffusers does not load from one file, or of which the file lacks a weight; and
            whatever diffusers raises.
    """
    import diffusers

    there = stored_tensors(path)  # its errors tell more than diffusers' of the same
    expect_floats({name: (dtype, path) for name, (dtype, _) in there.items()})
    if config is None:
        config = _told_by(path)
    index: Any = diffusers.DiffusionPipeline.load_config(str(config))
    kind = str(index.get("_class_name"))
    loader: Any = getattr(diffusers, kind, None)
    if not hasattr(loader, "from_single_file"):
        raise ConceptReviveError(
            f"{config} is the config of a {kind}, which diffusers does not load from one file: "
            "give the folder of a pipeline instead of the file, and the file, if it holds the "
            "denoiser, with denoiser=…, --unet or --transformer"
        )
    pipe = loader.from_single_file(
        str(path),
        config=str(config),
        torch_dtype=dtype or loading_dtype(file_dtype([path]), place),
    )
    for name, part in pipe.components.items():
        expect_words(part, Path(config) / name)
    for name, part in modules_of(pipe).items():
        finish(part, f"{path} lacks weights of its {name}, as {config} tells of it", GIVE)
    return pipe


def _told_by(path: Path) -> str:
    """The hub's name of the model that the names and shapes of a file's tensors tell of."""
    from diffusers.loaders import single_file_utils as told

    there = stored_tensors(path)
    weights = {n: torch.empty(shape, device="meta") for n, (_, shape) in there.items()}
    # What diffusers knows nothing of it takes for Stable Diffusion 1.
    known = told.infer_diffusers_model_type(weights)  # type: ignore[no-untyped-call]
    if known == "v1" and not any(name.startswith(DENOISER) for name in weights):
        raise ConceptReviveError(
            f"{path} is a file, but no whole model: none of its {len(weights)} tensors is named "
            f"{DENOISER}…: give a pipeline's folder or a whole model in one file, and with "
            "config=…, on the command line --config, the folder of a pipeline like it; or a "
            "pipeline, and with denoiser=…, --unet or --transformer, a file of its denoiser alone"
        )
    found: Any = told.fetch_diffusers_config(weights)  # type: ignore[no-untyped-call]
    return str(found["pretrained_model_name_or_path"])
