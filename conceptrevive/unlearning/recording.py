"""The pipeline at work on target and base prompts, and what its layers show (paper §1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.calling import run_pipeline
from conceptrevive.models.generation import fastest
from conceptrevive.models.layers import candidate_layers
from conceptrevive.models.precision import How, applied
from conceptrevive.models.protocol import TextToImage
from conceptrevive.unlearning.activations import ColumnNormFitter, ColumnNorms, listening


class _Batch:
    """Pictures drawn at once: which denoising step is running, and what is recorded of it."""

    def __init__(self, fitter: ColumnNormFitter, pictures: int, before: int) -> None:
        self.fitter, self.pictures, self.before = fitter, pictures, before
        self.step = 0

    def hear(self, name: str, z: Tensor) -> None:
        """A layer has run."""
        if self.step < self.fitter.steps:
            self.fitter.update(name, self.step, z, self.pictures)

    def step_end(self, pipe: Any, step: int, _timestep: Any, _kwargs: Any) -> dict[str, Any]:
        """What diffusers calls after each denoising step."""
        if self.step < self.fitter.steps:
            halves = 2 if getattr(pipe, "do_classifier_free_guidance", False) else 1
            self.fitter.check(self.step, self.before + halves * self.pictures)
        self.step = step + 1
        if self.step >= self.fitter.steps:
            pipe._interrupt = True  # diffusers' own switch: the remaining steps are skipped
        return {}


@torch.no_grad()
def column_norms(
    model: TextToImage,
    groups: Sequence[Sequence[str]],
    *,
    tau: int,
    steps: int,
    guidance: float,
    seed: int,
    names: Iterable[str] | None = None,
    batch_size: int = 16,
    autocast: bool = False,
    progress: Callable[[int], object] | None = None,
) -> ColumnNorms:
    """A_{t,l} over the first `tau` of `steps` denoising steps (paper §1).

    Every prompt starts from the same noise.

    Args:
        groups: equally many prompts each (target prompts, base prompts), denoised in the same
            batches.
        names: of the layers to look at; None takes ConceptPrune's candidates.
        batch_size: pictures denoised at a time, at least one of each group.
        autocast: draw in the way that a short timing found fastest; else in the model's own
            precision and layout.

    Returns: {module name: (groups, tau, columns)}.

    Raises:
        ConceptReviveError: the pipeline cannot draw so, or a layer was not seen at every step.
    """
    layers = candidate_layers(model, names)
    fitter = ColumnNormFitter(layers, tau, len(groups))
    at_a_time = max(1, batch_size // len(groups))
    # Before anything is heard: the timing draws, and nothing but the prompts may be recorded.
    how = fastest(model) if autocast else How()
    before = 0  # samples of earlier batches
    with applied(model, how):
        for first in range(0, len(groups[0]), at_a_time):
            part = [prompt for group in groups for prompt in group[first : first + at_a_time]]
            batch = _Batch(fitter, len(part), before)
            with listening(layers, batch.hear):
                run_pipeline(
                    model,
                    part,
                    [seed] * len(part),
                    steps=steps,
                    guidance=guidance,
                    output_type="latent",
                    callback_on_step_end=batch.step_end,
                )
            if batch.step < tau:
                raise ConceptReviveError(
                    f"{type(model).__name__} took {batch.step} of the {tau} denoising steps to "
                    "look at: lower tau, or take a scheduler that takes all steps"
                )
            before = fitter.samples
            if progress:
                progress(len(part))
    return fitter.norms
