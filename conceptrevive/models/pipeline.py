"""Diffusers pipelines from the shipped folder, a folder or the hub, and the device they run on."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Any

import torch

from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.files import ASSETS
from conceptrevive.models.adapters.adapter import Adapter
from conceptrevive.models.adapters.choosing import choose_adapter
from conceptrevive.models.lacking import expect_parts, expect_whole
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.replacing import denoiser_name, fuse_lora, load_denoiser
from conceptrevive.models.single_files import is_single_file, load_single_file, refuse_idle
from conceptrevive.models.stored import loading_dtype, stored_dtype
from conceptrevive.models.variants import pipeline_variant

POCKET = "pocket"


def default_device() -> torch.device:
    """CUDA if there is one, else Apple's GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def parse_device(name: str | torch.device | None) -> torch.device:
    """A device by name; None chooses.

    Raises ConceptReviveError for one this machine lacks, or where nothing is computed (meta).
    """
    if name is None:
        return default_device()
    expect(name, (str, torch.device), "device", "give a name such as 'cpu' or 'cuda'")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # torch raises any of these, AssertionError where it was built without CUDA.
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        raise ConceptReviveError(
            f"device {str(name)!r} cannot be used here ({str(e).splitlines()[0]}): try 'cpu'"
        ) from e
    if device.type == "meta":
        raise ConceptReviveError(
            "device 'meta' cannot be used here (it holds no values): try 'cpu'"
        )
    return device


@contextmanager
def hushed() -> Iterator[None]:
    """Silence the libraries' loading bars, and what they log before they raise it."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    hub = logging.getLogger("huggingface_hub")
    told = hub.level
    hub.setLevel(logging.CRITICAL)
    verbosity = [lib.get_verbosity() for lib in libraries]
    shown = [lib for lib in libraries if lib.is_progress_bar_enabled()]
    for lib in libraries:
        lib.set_verbosity(logging.CRITICAL)
    for lib in shown:
        lib.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # `torch_dtype`, which older diffusers need.
            warnings.filterwarnings("ignore", category=FutureWarning)
            # Of the hub's own arguments, which older diffusers give it.
            warnings.filterwarnings("ignore", "The `local_dir_use_symlinks` argument")
            yield
    finally:
        hub.setLevel(told)
        for lib, level in zip(libraries, verbosity, strict=True):
            lib.set_verbosity(level)
        for lib in shown:
            lib.enable_progress_bar()


def resolve(model: str | os.PathLike[str]) -> str:
    """`pocket` → the shipped folder; anything else (a folder or a hub id) unchanged.

    Raises ConceptReviveError if it looks like a path and is not a folder.
    """
    expect(model, (str, os.PathLike), "model", "give a folder, a hub id (owner/name) or 'pocket'")
    if model == POCKET:
        return str(ASSETS / POCKET)
    path = Path(model)
    if path.is_dir():
        if not (path / "model_index.json").exists() and not (path / "config.json").exists():
            raise ConceptReviveError(
                f"{path} holds neither model_index.json nor config.json: "
                "give the folder of a diffusers pipeline"
            )
        return str(path)
    if path.exists():
        raise ConceptReviveError(
            f"{path} is a file: give the folder of a diffusers pipeline, .safetensors or a hub id"
        )
    if str(model).count("/") != 1 or str(model).startswith((".", "/", "~")):
        raise ConceptReviveError(
            f"no folder {str(model)!r} here: "
            "give an existing folder, a hub id (owner/name) or 'pocket'"
        )
    return str(model)


def training_note(model: str | os.PathLike[str]) -> dict[str, Any]:
    """What `training.json` in the pipeline's folder says of its training.

    Empty where there is none (hub models).
    """
    note = Path(resolve(model)) / "training.json"
    return dict(json.loads(note.read_text())) if note.exists() else {}


def load_pipeline(
    model: str | os.PathLike[str] = POCKET,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    variant: str | None = None,
    denoiser: str | os.PathLike[str] | None = None,
    lora: str | None = None,
    config: str | os.PathLike[str] | None = None,
    adapter: Adapter | None = None,
) -> TextToImage:
    """A diffusers pipeline from `pocket`, a folder, a hub id, or one file of a whole model.

    Safetensors only, and no safety checker: a blackened picture would count as a concept erased.

    Args:
        device: where to put it; None takes the GPU if there is one.
        dtype: None gives float32 on the CPU, on a GPU the checkpoint's own half precision, or
            float16 where it is stored in float32.
        revision: branch, tag or commit of a hub model.
        variant: which copy of the weights, such as "fp16"; None takes the default, or in a folder
            the only one there is.
        denoiser: a folder or safetensors file whose unet or transformer replaces the pipeline's.
        lora: a LoRA to add to its weights, see `fuse_lora`.
        config: of a single file, the folder or hub id of a pipeline of the same architecture; None
            lets diffusers choose one on the hub.
        adapter: how it is drawn with from now on; None takes that of its family.

    Raises:
        ConceptReviveError: no such model or variant, or weights that are not safetensors.
    """
    expect(dtype, (torch.dtype, NoneType), "dtype", "give a torch dtype, e.g. torch.float32")
    expect(revision, (str, NoneType), "revision", "give a branch, tag or commit by name")
    expect(variant, (str, NoneType), "variant", "give a variant by name, e.g. 'fp16'")
    place = parse_device(device)
    single = isinstance(model, (str, os.PathLike)) and is_single_file(model)
    source = str(model) if single else resolve(model)
    refuse_idle(model, single, config=config, denoiser=denoiser, revision=revision, variant=variant)
    try:
        with hushed():
            if single:
                pipe = load_single_file(Path(model), config, dtype, place)
            else:
                pipe = _from_folder(source, place, dtype, revision, variant, denoiser)
    except ConceptReviveError:
        raise
    # Diffusers, transformers and the hub raise what they like.
    except Exception as e:
        raise ConceptReviveError(
            f"cannot load a pipeline from {str(model)!r}: {cannot_load(source, e)}"
        ) from e
    with hushed():  # on a processor diffusers warns of float16, which it computes in by now
        if lora is not None:
            fuse_lora(pipe, lora)
        loaded: TextToImage = pipe.to(place)
    if getattr(pipe, "safety_checker", None) is not None:
        pipe.safety_checker = None
    pipe.set_progress_bar_config(disable=True)
    if adapter is not None:
        choose_adapter(pipe, adapter)
    return loaded


def _from_folder(
    source: str,
    place: torch.device,
    dtype: torch.dtype | None,
    revision: str | None,
    variant: str | None,
    denoiser: str | os.PathLike[str] | None,
) -> Any:
    """A pipeline from a folder or a hub id, which is downloaded first."""
    import diffusers

    loader: Any = diffusers.DiffusionPipeline
    unchecked = {"safety_checker": None, "requires_safety_checker": False}
    extra: dict[str, Any] = unchecked if _is_stable_diffusion_1(source) else {}
    if Path(source).is_dir():
        folder, variant = Path(source), pipeline_variant(Path(source), variant) or None
    else:
        folder = Path(
            loader.download(
                source, use_safetensors=True, revision=revision, variant=variant, **extra
            )
        )
    parts = denoiser_name(folder) if (folder / "model_index.json").exists() else ""
    if dtype is None:
        dtype = loading_dtype(stored_dtype(folder / parts, variant), place)
    if denoiser is not None:
        extra[parts] = load_denoiser(denoiser, folder, dtype, variant)
    if parts:
        expect_parts(folder, extra)
    pipe = loader.from_pretrained(
        folder, torch_dtype=dtype, use_safetensors=True, variant=variant, **extra
    )
    expect_whole(pipe, folder, extra, variant)
    return pipe


def cannot_load(source: str, error: Exception) -> str:
    """What to do about a pipeline or judge that a library could not load, then its reason.

    The remedy comes first, so that a long reason cannot push it away.
    """
    if is_single_file(source):
        remedy = (
            "give a whole model in one file, and with config=…, on the command line --config, the "
            "folder of a pipeline like it, for which diffusers else asks the hub; or a pipeline, "
            "and with denoiser=…, --unet or --transformer, a file of its denoiser alone"
        )
    elif Path(source).is_dir():
        remedy = "give a complete folder with its weights in safetensors"
    else:
        remedy = "check the name and the connection, or give a folder on this machine"
    return f"{remedy} ({' '.join(str(error).split())})"


def _is_stable_diffusion_1(source: str) -> bool:
    index = Path(source) / "model_index.json"
    name = index.read_text() if index.exists() else source
    return '"StableDiffusionPipeline"' in name or "stable-diffusion-v1" in name
