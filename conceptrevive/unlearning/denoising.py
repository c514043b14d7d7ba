"""The denoiser as a function of some of its weights: what it predicts, and how far it is off.

What a pipeline hands its denoiser besides picture and time (the encoded prompt, sizes, guidance)
is taken from the pipeline at work, so that every family of models is prompted in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call

from conceptrevive.errors import ConceptReviveError, expect_number
from conceptrevive.models.adapters.choosing import adapter_of
from conceptrevive.models.adapters.layouts import Layout
from conceptrevive.models.calling import Stop, run_pipeline
from conceptrevive.models.layers import denoiser
from conceptrevive.models.matrices import views
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.selection import Layers, Selection
from conceptrevive.models.weights import Weights
from conceptrevive.models.wrappers import group_offloading, without_checkpointing
from conceptrevive.unlearning.activations import uncompiled
from conceptrevive.unlearning.arguments import joined, row_of
from conceptrevive.unlearning.examples import Examples
from conceptrevive.unlearning.gradients import Loss
from conceptrevive.unlearning.noising import noise_levels

#: What denoisers call the noisy picture.
_PICTURE = ("sample", "hidden_states")

#: The guidance scale at which pipelines are heard: of 2 or more they guide.
GUIDED = 2.0

#: What is chosen where nothing is said.
LINEAR = Selection(("linear",))

#: Arguments of a denoiser's call, without picture and time.
_Call = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures, each at a noise level and with noise of its own, and their prompts."""

    latents: Float[Tensor, "pictures channels height width"]
    level: Int[Tensor, " pictures"]
    noise: Float[Tensor, "pictures channels height width"]
    prompts: tuple[str, ...]


def check_guidance(guidance: float) -> None:
    """Raise ConceptReviveError unless `guidance` is a finite number from 0 up."""
    expect_number(guidance, "guidance")
    if not (math.isfinite(guidance) and guidance >= 0):
        raise ConceptReviveError(
            f"guidance is {guidance}: give 0 for the prompt's prediction alone, or a number above "
            "it, such as 7.5"
        )


class NoisePredictor:
    """A pipeline's denoiser as a function of the weights of chosen layers.

    The model itself is never changed: weights are handed in with each call.

    Args:
        layers: of the denoiser, see `Selection.of`; None takes every linear one.

    Attributes:
        weights: copies of the chosen layers' weights, {module name: (rows, columns)}.
        levels: the noise levels that the model was trained on.

    Raises:
        ConceptReviveError: a layer cannot be chosen, or the model cannot be differentiated.
    """

    def __init__(self, model: TextToImage, layers: Layers = None) -> None:
        self.model, self.net = model, denoiser(model)
        self.selection = LINEAR if layers is None else Selection.of(layers)
        self._views = views(model, self.selection)
        if outside := next((v for v in self._views.values() if not v.layer.denoises), None):
            raise ConceptReviveError(
                f"{outside.layer.address} is no layer of the denoiser, through which alone "
                "gradients are taken: choose its layers, or locate by activations (conceptprune, "
                "forget-it-all)"
            )
        self.weights: Weights = {n: view.weight.clone() for n, view in self._views.items()}
        self.levels = noise_levels(getattr(model, "scheduler", None))
        named = {id(p): n for n, p in self.net.named_parameters(remove_duplicate=False)}
        self._parameters = {n: named[id(v.module.weight)] for n, v in self._views.items()}
        weight = next(iter(self.weights.values()))
        self._device, self._dtype = weight.device, weight.dtype
        self._calls: dict[str, tuple[_Call, _Call | None]] = {}
        self._takes = torch.Size()
        if hasattr(self.net, "_hf_hook") or group_offloading(self.net):
            raise ConceptReviveError(
                f"the {type(self.net).__name__} is offloaded, and gradients need it in one place: "
                "call pipe.remove_all_hooks() and pipe.to(device), or load it anew"
            )
        if self._dtype == torch.float16:
            raise ConceptReviveError(
                f"the {type(self.net).__name__} is float16, in which gradients vanish: "
                "load the model with dtype=torch.float32 or torch.bfloat16"
            )

    def batches(self, examples: Examples, size: int, source: torch.Generator) -> list[Batch]:
        """All examples once, with noise that does not depend on the size of the batches."""
        level, noise = self.levels.draw(examples.latents, source)
        return [
            Batch(
                examples.latents[i : i + size],
                level[i : i + size],
                noise[i : i + size],
                examples.prompts[i : i + size],
            )
            for i in range(0, len(examples.prompts), size)
        ]

    def noisy(self, batch: Batch) -> Float[Tensor, "pictures channels height width"]:
        """The batch's pictures with their noise."""
        return self.levels.noisy(batch.latents, batch.level, batch.noise)

    def predict(
        self,
        weights: Mapping[str, Float[Tensor, "rows columns"]],
        batch: Batch,
        guidance: float = 0.0,
        prompts: Sequence[str] | None = None,
    ) -> Float[Tensor, "pictures channels height width"]:
        """What the denoiser predicts from the noisy pictures, in float32.

        Args:
            guidance: g of (1 + g) · prediction for the prompt − g · prediction for none, as SalUn
                and Scissorhands weight them (a pipeline's `guidance_scale` is 1 + g).
            prompts: None takes the batch's own.
        """
        noisy = self.noisy(batch)
        calls = [self._call(prompt) for prompt in (batch.prompts if prompts is None else prompts)]
        if noisy.shape[1:] != self._takes:
            raise ConceptReviveError(
                f"{type(self.net).__name__} works on {tuple(self._takes)}, and the autoencoder "
                f"makes {tuple(noisy.shape[1:])} of a picture: a pipeline like Stable Diffusion's "
                "can be trained"
            )
        out = self._run(weights, noisy, batch.level, [told for told, _ in calls])
        if guidance == 0:
            return out
        untold = [without for _, without in calls if without is not None]
        if len(untold) < len(calls):
            raise ConceptReviveError(
                f"{type(self.model).__name__} draws without classifier-free guidance: "
                "set guidance to 0"
            )
        return (1 + guidance) * out - guidance * self._run(weights, noisy, batch.level, untold)

    def losses(
        self,
        weights: Mapping[str, Float[Tensor, "rows columns"]],
        batch: Batch,
        guidance: float = 0.0,
    ) -> Float[Tensor, " pictures"]:
        """Mean squared error of the prediction, the model's own training loss, per picture."""
        wanted = self.levels.target(batch.latents, batch.level, batch.noise).to(self._device)
        out = self.predict(weights, batch, guidance)
        return (out - wanted).square().flatten(1).mean(1)

    def summed_losses(
        self,
        batches: Iterable[Batch],
        guidance: float = 0.0,
        progress: Callable[[int], object] | None = None,
    ) -> Iterator[Loss]:
        """One function of the weights per batch: the sum of its pictures' losses."""
        for batch in batches:
            yield partial(self._summed, batch, guidance)
            if progress:
                progress(len(batch.prompts))

    def _summed(self, batch: Batch, guidance: float, weights: Mapping[str, Tensor]) -> Tensor:
        return self.losses(weights, batch, guidance).sum()

    def _run(
        self, weights: Mapping[str, Tensor], noisy: Tensor, level: Tensor, calls: Sequence[_Call]
    ) -> Tensor:
        given = {
            self._parameters[n]: self._views[n].whole(w.to(self._dtype)) for n, w in weights.items()
        }
        picture = next(name for name in _PICTURE if name in signature(self.net.forward).parameters)
        arguments = joined(calls) | {
            picture: noisy.to(self._device, self._dtype),
            "timestep": self.levels.times[level].to(self._device),
        }
        with uncompiled(), without_checkpointing(self.net):
            out = functional_call(self.net, given, (), arguments, strict=False)[0]
        # Some predict a variance too, in further channels.
        predicted: Tensor = out[:, : noisy.shape[1]].float()
        return predicted

    def _call(self, prompt: str) -> tuple[_Call, _Call | None]:
        if prompt not in self._calls:
            self._calls[prompt] = self._heard(prompt)
        return self._calls[prompt]

    @torch.no_grad()
    def _heard(self, prompt: str) -> tuple[_Call, _Call | None]:
        """The denoiser's call for a prompt, and for none if the pipeline guides."""
        adapter, heard = adapter_of(self.model), list[_Call]()
        layout: Layout = ()

        def hear(_net: object, args: tuple[Any, ...], kwargs: _Call) -> None:
            nonlocal layout
            layout = adapter.layout(self.model, GUIDED)
            if len(heard) == len(layout):
                raise Stop
            heard.append(dict(signature(self.net.forward).bind(*args, **kwargs).arguments))

        handle = self.net.register_forward_pre_hook(hear, with_kwargs=True)
        try:
            with uncompiled():
                run_pipeline(
                    self.model,
                    [prompt],
                    [0],
                    steps=adapter.least_steps,
                    guidance=GUIDED,
                    output_type="latent",
                )
        finally:
            handle.remove()
        told: dict[str, _Call] = {}
        for call, parts in zip(heard, layout, strict=True):
            picture = call[next(name for name in _PICTURE if name in call)]
            self._takes = picture.shape[1:]
            told |= {part: row_of(call, i, len(parts)) for i, part in enumerate(parts)}
        return told["prompt"], told.get("none")
