"""The pipeline at work on target and base prompts, and what its layers show (paper §1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.adapters.choosing import adapter_of
from conceptrevive.models.adapters.layouts import Layout, samples
from conceptrevive.models.calling import Stop, run_pipeline
from conceptrevive.models.generation import fastest
from conceptrevive.models.layers import denoiser
from conceptrevive.models.matrices import View, views
from conceptrevive.models.precision import How, applied
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.selection import Layers
from conceptrevive.unlearning.activations import (
    UNSEEN,
    ColumnNormFitter,
    ColumnNorms,
    listening,
)
from conceptrevive.unlearning.padding import TextTokens


class _Batch:
    """Pictures drawn at once: which prediction is being made, and what is recorded of it.

    A denoising step is counted as the released code does, by the calls of the network: a scheduler
    that asks for two predictions a step (Heun) counts two. The two calls of a prediction that is
    guided in two passes count one.
    """

    def __init__(
        self,
        model: TextToImage,
        fitter: ColumnNormFitter,
        layers: Mapping[str, View],
        guidance: float,
        pictures: int,
        before: int,
    ) -> None:
        self.model, self.fitter, self.layers, self.guidance = model, fitter, layers, guidance
        self.pictures, self.before = pictures, before
        self.adapter, self.text = adapter_of(model), TextTokens(model)
        self.layout: Layout = ()
        self.step = self.calls = 0  # predictions made, and calls within the present one
        self.picture: object = None

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Within the block the calls of the denoiser are counted."""
        net = denoiser(self.model)
        before = net.register_forward_pre_hook(self.begin, with_kwargs=True)
        after = net.register_forward_hook(self.end)
        try:
            with self.text.listening():
                yield
        finally:
            before.remove()
            after.remove()

    def begin(self, _net: object, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        """The denoiser is called."""
        self.layout = self.layout or self.adapter.layout(self.model, self.guidance)
        picture = next((v for v in (*args, *given.values()) if isinstance(v, Tensor)), None)
        if picture is self.picture and not self.calls:
            raise ConceptReviveError(
                f"{type(self.model).__name__} hands its denoiser the same latents more often than "
                f"the {len(self.layout)} times a step of its {type(self.adapter).__name__} "
                "adapter: give an Adapter with its `layout` of guidance"
            )
        self.picture = picture

    def hear(self, name: str, z: Tensor) -> None:
        """A layer has run."""
        layer, z, counted = self.layers[name].layer, self.layers[name].inputs(z), None
        if not layer.denoises:
            if not self.layout:  # text is encoded before the denoiser is called
                counted = self.text.of_encoder(layer.component)
                self.fitter.update(name, 0, z, self.pictures, counted)
            return
        if z.ndim == 3 and self.layout:
            parts = self.layout[self.calls]
            counted = self.text.of_layer(layer.name, parts, self.pictures, z.shape[1])
        self.fitter.update(name, self.step, z, self.pictures, counted)

    def end(self, *_: object) -> None:
        """The denoiser has run."""
        self.calls += 1
        if self.calls == len(self.layout):
            seen = self.before + samples(self.layout) * self.pictures
            self.fitter.check(self.step, seen)
            self.step, self.calls = self.step + 1, 0
        if self.step == self.fitter.steps:
            raise Stop


@torch.no_grad()
def column_norms(
    model: TextToImage,
    groups: Sequence[Sequence[str]],
    *,
    tau: int,
    steps: int,
    guidance: float,
    seed: int,
    layers: Layers = None,
    batch_size: int = 16,
    autocast: bool = False,
    progress: Callable[[int], object] | None = None,
) -> ColumnNorms:
    """A_{t,l} over the first `tau` of `steps` denoising steps (paper §1).

    Every prompt starts from the same noise.

    Args:
        groups: equally many prompts each (target prompts, base prompts), denoised in the same
            batches.
        layers: to look at, see `Selection.of`; None takes the feed-forward outputs.
        batch_size: pictures denoised at a time, at least one of each group.
        autocast: draw in the way that a short timing found fastest; else in the model's own
            precision and layout.

    Returns: {module name: (groups, tau, columns)}.

    Raises:
        ConceptReviveError: the pipeline cannot draw so, or a layer was not seen at every step.
    """
    chosen = views(model, layers)
    modules = {name: view.module for name, view in chosen.items()}
    once = [name for name, view in chosen.items() if not view.layer.denoises]
    fitter = ColumnNormFitter(chosen, tau, len(groups), once)
    at_a_time = max(1, batch_size // len(groups))
    # Before anything is heard: the timing draws, and nothing but the prompts may be recorded.
    how = fastest(model) if autocast else How()
    before = 0  # samples of earlier batches
    with applied(model, how):
        for first in range(0, len(groups[0]), at_a_time):
            part = [prompt for group in groups for prompt in group[first : first + at_a_time]]
            batch = _Batch(model, fitter, chosen, guidance, len(part), before)
            with batch.counting(), listening(modules, batch.hear):
                run_pipeline(
                    model,
                    part,
                    [seed] * len(part),
                    steps=steps,
                    guidance=guidance,
                    output_type="latent",
                )
            if batch.step == 0:
                raise ConceptReviveError(f"the denoiser of {type(model).__name__}: {UNSEEN}")
            if batch.step < tau:
                raise ConceptReviveError(
                    f"{type(model).__name__} took {batch.step} of the {tau} denoising steps to "
                    "look at: lower tau, or take a scheduler that takes all steps"
                )
            before = fitter.samples
            if progress:
                progress(len(part))
    return fitter.norms
