"""Diffusers pipelines from the shipped folder, a folder or the hub, and the device they run on."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import ASSETS

POCKET = "pocket"


def default_device() -> torch.device:
    """CUDA if there is one, else Apple's GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def parse_device(name: str | torch.device | None) -> torch.device:
    """A device by name; None chooses. Raises ConceptReviveError for one this machine lacks."""
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # torch raises any of these, AssertionError where it was built without CUDA.
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        raise ConceptReviveError(
            f"device {str(name)!r} cannot be used here ({str(e).splitlines()[0]}): try 'cpu'"
        ) from e
    return device


@contextmanager
def hushed() -> Iterator[None]:
    """Silence the libraries' loading bars and notes about optional packages; errors still come through."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    verbosity = [lib.get_verbosity() for lib in libraries]
    shown = [lib for lib in libraries if lib.is_progress_bar_enabled()]
    for lib in libraries:
        lib.set_verbosity_error()
    for lib in shown:
        lib.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", category=FutureWarning
            )  # `torch_dtype`, which older diffusers need
            yield
    finally:
        for lib, level in zip(libraries, verbosity, strict=True):
            lib.set_verbosity(level)
        for lib in shown:
            lib.enable_progress_bar()


def resolve(model: str | os.PathLike) -> str:
    """`pocket` → the shipped folder; anything else (a folder or a hub id) unchanged.

    Raises ConceptReviveError if it looks like a path and is not a folder.
    """
    if model == POCKET:
        return str(ASSETS / POCKET)
    path = Path(model)
    if path.is_dir():
        if not (path / "model_index.json").exists() and not (path / "config.json").exists():
            raise ConceptReviveError(
                f"{path} holds neither model_index.json nor config.json: give the folder of a diffusers pipeline"
            )
        return str(path)
    if path.exists():
        raise ConceptReviveError(
            f"{path} is a file: give the folder of a diffusers pipeline, a hub id, or 'pocket'"
        )
    if str(model).count("/") != 1 or str(model).startswith((".", "/", "~")):
        raise ConceptReviveError(
            f"no folder {str(model)!r} here: give an existing folder, a hub id (owner/name) or 'pocket'"
        )
    return str(model)


def training_note(model: str | os.PathLike) -> dict:
    """What `training.json` in the pipeline's folder says of its training; empty where there is none (hub models)."""
    note = Path(resolve(model)) / "training.json"
    return json.loads(note.read_text()) if note.exists() else {}


def load_pipeline(
    model: str | os.PathLike = POCKET,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
):
    """A diffusers pipeline from `pocket`, a folder or a hub id; safetensors only, no safety checker run.

    Args:
        device: where to put it; None takes the GPU if there is one.
        dtype: None gives float16 on a GPU and float32 on the CPU.
        revision: branch, tag or commit of a hub model.

    Raises:
        ConceptReviveError: no such model, or weights that are not safetensors.
    """
    device = parse_device(device)
    dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
    source = resolve(model)
    extra = (
        {"safety_checker": None, "requires_safety_checker": False}
        if _is_stable_diffusion_1(source)
        else {}
    )
    try:
        with hushed():
            from diffusers import DiffusionPipeline

            pipe = DiffusionPipeline.from_pretrained(
                source, torch_dtype=dtype, use_safetensors=True, revision=revision, **extra
            )
    except (OSError, ValueError, RuntimeError, AttributeError, ImportError, TypeError) as e:
        reason = " ".join(str(e).split())[:300]
        raise ConceptReviveError(f"cannot load a pipeline from {str(model)!r}: {reason}") from e
    if (
        getattr(pipe, "safety_checker", None) is not None
    ):  # a blackened picture would count as a concept erased
        pipe.safety_checker = None
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def _is_stable_diffusion_1(source: str) -> bool:
    index = Path(source) / "model_index.json"
    name = index.read_text() if index.exists() else source
    return '"StableDiffusionPipeline"' in name or "stable-diffusion-v1" in name
