"""Diffusers models as dictionaries of weights, keyed by module name, and back."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from conceptrevive.errors import ConceptReviveError

#: Second linear layer of every transformer feed-forward block, the candidates of ConceptPrune (paper §1).
CANDIDATES = "ff.net.2"
POCKET = "pocket"
ASSETS = Path(__file__).parent / "assets"

Weights = dict[str, torch.Tensor]


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
            warnings.filterwarnings("ignore", category=FutureWarning)  # `torch_dtype`, which older diffusers need
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
        raise ConceptReviveError(f"{path} is a file: give the folder of a diffusers pipeline, a hub id, or 'pocket'")
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
    extra = {"safety_checker": None, "requires_safety_checker": False} if _is_stable_diffusion_1(source) else {}
    try:
        with hushed():
            from diffusers import DiffusionPipeline

            pipe = DiffusionPipeline.from_pretrained(
                source, torch_dtype=dtype, use_safetensors=True, revision=revision, **extra
            )
    except (OSError, ValueError, RuntimeError, AttributeError, ImportError, TypeError) as e:
        reason = " ".join(str(e).split())[:300]
        raise ConceptReviveError(f"cannot load a pipeline from {str(model)!r}: {reason}") from e
    if getattr(pipe, "safety_checker", None) is not None:  # a blackened picture would count as a concept erased
        pipe.safety_checker = None
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def _is_stable_diffusion_1(source: str) -> bool:
    index = Path(source) / "model_index.json"
    name = index.read_text() if index.exists() else source
    return '"StableDiffusionPipeline"' in name or "stable-diffusion-v1" in name


def denoiser(model) -> nn.Module:
    """The denoising network: a pipeline's `unet` or `transformer`, or `model` itself if it is a module."""
    if isinstance(model, nn.Module):
        return model
    for name in ("unet", "transformer"):
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            return part
    raise ConceptReviveError(
        f"{type(model).__name__} has neither a unet nor a transformer: give a diffusers pipeline or its denoiser"
    )


def candidate_layers(model, names: Iterable[str] | None = None, pattern: str = CANDIDATES) -> dict[str, nn.Linear]:
    """Linear layers keyed by module name: those in `names`, else those whose name ends with `pattern`.

    Raises:
        ConceptReviveError: a name is not in the model, is not linear, or nothing matches.
    """
    modules = dict(denoiser(model).named_modules())
    if names is None:
        found = {n: m for n, m in modules.items() if n.endswith(pattern) and isinstance(m, nn.Linear)}
        if not found:
            raise ConceptReviveError(f"no linear layer of {type(denoiser(model)).__name__} ends with {pattern!r}")
        return found
    out = {}
    for name in names:
        if not isinstance(modules.get(name), nn.Linear):
            raise ConceptReviveError(
                f"the model has no linear layer named {name!r}: were these masks located on another architecture?"
            )
        out[name] = modules[name]
    return out


def read_weights(model, names: Iterable[str] | None = None) -> Weights:
    """Copies of the candidate weights, {module name: (out_features, in_features)}."""
    return {n: m.weight.detach().clone() for n, m in candidate_layers(model, names).items()}


def weight_bytes(model) -> Iterator[bytes]:
    """The weights of every network of a pipeline, in the order of their names."""
    for _, part in sorted(model.components.items()):
        for p in part.parameters() if isinstance(part, nn.Module) else ():
            yield p.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def read_side(model, names: Iterable[str] | None = None) -> Weights:
    """What is intact and belongs to the candidates' columns: {module name: (d, columns)}, see `complete`'s `side`.

    For `….ff.net.2` these are the input weights of its GEGLU units, the value half of `….ff.net.0.proj`, transposed.

    Raises ConceptReviveError for a layer that no GEGLU precedes.
    """
    modules, out = dict(denoiser(model).named_modules()), {}
    for name, layer in candidate_layers(model, names).items():
        first = modules.get(name.removesuffix("2") + "0.proj")
        if not isinstance(first, nn.Linear) or first.out_features != 2 * layer.in_features:
            raise ConceptReviveError(f"{name}: no GEGLU layer comes before it: complete it without side information")
        out[name] = first.weight.detach()[: layer.in_features].T.clone()
    return out


@torch.no_grad()
def write_weights(model, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy `weights` into the model in place. All names and shapes are checked before the first is written."""
    layers = candidate_layers(model, weights)
    for name, layer in layers.items():
        if layer.weight.shape != weights[name].shape:
            raise ConceptReviveError(
                f"{name}: weight of shape {tuple(weights[name].shape)} does not fit the layer's {tuple(layer.weight.shape)}"
            )
    for name, layer in layers.items():
        layer.weight.copy_(weights[name])


@contextmanager
def swapped(model, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Within the block the model runs with `weights`; afterwards its own are back, whatever happened."""
    before = read_weights(model, weights)
    write_weights(model, weights)
    try:
        yield
    finally:
        write_weights(model, before)
