"""The one place where pipelines are called: from seeds to noise, and their errors made ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, one_line
from conceptrevive.models.adapters.adapter import Adapter
from conceptrevive.models.adapters.choosing import adapter_of
from conceptrevive.models.layers import denoiser
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.wrappers import FLOATS, refuse_undrawable

#: Torch's generators take no other seeds.
SEEDS = range(-(2**63), 2**64)


class Stop(Exception):
    """Raised by a hook within a pipeline's call: what was wanted of it has been seen."""


def latent_size(model: TextToImage) -> tuple[int, int]:
    """Height and width of a picture's latents. Raises ConceptReviveError if it cannot draw."""
    return _drawable(model).latent_size(model)


def _drawable(model: TextToImage) -> Adapter:
    """The model's adapter. Raises ConceptReviveError if it cannot draw."""
    net, adapter = denoiser(model), adapter_of(model)
    missing = adapter.missing(model)
    if missing:
        raise ConceptReviveError(
            f"{type(model).__name__} with a {type(net).__name__} cannot be drawn with, it lacks "
            f"{', '.join(missing)}: give a text-to-image pipeline like Stable Diffusion's, or a "
            "conceptrevive.Adapter that says how it draws; prune, revive, obfuscate and audit work "
            "on its files"
        )
    refuse_undrawable(model, net)
    try:
        adapter.latent_size(model), adapter.pixels(model)
    except ConceptReviveError:
        raise
    except Exception as e:  # of what another pipeline has
        raise ConceptReviveError(
            f"{type(model).__name__} cannot be drawn with as {type(adapter).__name__} does, "
            f"{type(e).__name__}: {one_line(e)}: leave adapter=… out, on the command line "
            "--adapter, or give one for this pipeline"
        ) from e
    return adapter


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One per seed. They draw the initial latents, then what a scheduler adds in its steps.

    Nothing else draws, so a picture depends on its own seed alone.
    """
    for s in seeds:
        if int(s) not in SEEDS:
            raise ConceptReviveError(f"seed is {s}: torch takes seeds from -2^63 up to 2^64 - 1")
    return [torch.Generator().manual_seed(int(s)) for s in seeds]


def noise(
    model: TextToImage, seeds: Sequence[int] | Sequence[torch.Generator]
) -> Float[Tensor, "pictures channels height width"]:
    """Initial latents, one seed or generator each, drawn on the CPU in float32.

    The same seed gives the same latent whatever the batch size or device.
    """
    adapter = _drawable(model)
    shape = (adapter.channels(model), *adapter.latent_size(model))
    each = [s if isinstance(s, torch.Generator) else generators([s])[0] for s in seeds]
    return torch.stack([torch.randn(shape, generator=g) for g in each])


@contextmanager
def quiet(model: TextToImage) -> Iterator[None]:
    """Silence the pipeline's own progress bar, and those of pipelines that it consists of."""
    pipes: list[Any] = [model]
    pipes += [p for p in vars(model).values() if hasattr(p, "set_progress_bar_config")]
    before = [dict(getattr(p, "_progress_bar_config", {})) for p in pipes]
    model.set_progress_bar_config(**before[0] | {"disable": True})
    try:
        yield
    finally:
        for pipe, settings in zip(pipes, before, strict=True):
            pipe.set_progress_bar_config(**settings)


def run_pipeline(
    model: TextToImage,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int,
    guidance: float,
    **more: Any,
) -> Any:
    """What `model` returns for `prompts`, each from the noise of its own seed.

    None if it was ended by `Stop`.

    Args:
        more: further arguments of the pipeline's call, e.g. `output_type`.

    Raises:
        ConceptReviveError: the pipeline cannot draw so; its own error is named, and is the cause.
    """
    _check_steps(model, steps)
    draws = generators(seeds)
    adapter = _drawable(model)
    latents = None
    if adapter.takes_latents:
        net: Any = denoiser(model)
        weight = next(net.parameters())
        # What is stored in eight bits computes in another dtype, which diffusers' models know.
        dtype = weight.dtype if weight.dtype in FLOATS else net.dtype
        latents = noise(model, draws).to(weight.device, dtype)
    try:
        call = adapter.call(model, prompts, draws, latents, steps=steps, guidance=guidance)
        with quiet(model):
            return model(**call | more)
    except ConceptReviveError:
        raise
    except Stop:
        # What diffusers does at the end of a call: offloaded parts go back to their place.
        getattr(model, "maybe_free_model_hooks", lambda: None)()
        return None
    # Diffusers, torch, schedulers and the user's own pipelines raise what they like.
    except Exception as e:
        reason = " ".join(str(e).split())[:400]
        raise ConceptReviveError(
            f"{type(model).__name__} cannot draw {len(prompts)} prompts in {steps} steps at "
            f"guidance {guidance}: {_remedy(model, e)} ({type(e).__name__}: {reason})"
        ) from e


def _check_steps(model: TextToImage, steps: int) -> None:
    """Some schedulers refuse more steps than they were trained with, others draw noise in them."""
    scheduler: Any = getattr(model, "scheduler", None)
    most = getattr(getattr(scheduler, "config", None), "num_train_timesteps", None)
    if most is not None and steps > most:
        raise ConceptReviveError(
            f"steps is {steps}: the {type(scheduler).__name__} of this {type(model).__name__} has "
            f"{most} in all: take fewer"
        )


def _remedy(model: TextToImage, error: Exception) -> str:
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if memory or "allocate memory" in str(error):
        return "set a smaller batch_size, or load the model in half precision"
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return "it is called otherwise; give an Adapter whose `prompts` and `extra` say how"
    if "image" in signature(type(model).__call__).parameters:
        return (
            "it starts from a picture; give the model's text-to-image pipeline, or an Adapter "
            "with the picture"
        )
    return (
        "choose steps, guidance and size that it and its scheduler take, or give a pipeline like "
        "Stable Diffusion's, or an Adapter that says how it draws"
    )
