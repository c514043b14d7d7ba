"""Column norms of feed-forward activations, per layer and denoising step (paper §1, Wanda's ‖X_j‖)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.calling import run_pipeline
from conceptrevive.models.generation import precision
from conceptrevive.models.layers import candidate_layers


@dataclass
class ColumnNorms:
    """Running sums of squared activations, in float32 on the layers' device; use as a context manager.

    Every token's vector is first scaled to unit L2 norm; sums run over tokens, guidance halves and prompts. The pictures
    of a batch come in `groups` blocks of equal size (target prompts, base prompts), each with sums of its own.
    """

    layers: dict[str, nn.Linear]
    steps: int
    groups: int = 1
    pictures: int = 1
    step: int = 0
    sums: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, layer in self.layers.items():
            shape = (self.groups, self.steps, layer.in_features)
            self.sums[name] = torch.zeros(shape, dtype=torch.float32, device=layer.weight.device)

    def update(self, name: str, z: torch.Tensor) -> None:
        """Add activations z, (guidance halves · pictures, tokens, columns), to the current step of layer `name`."""
        if self.step >= self.steps:
            return
        shape = (-1, self.groups, self.pictures // self.groups, z.shape[-2])
        square = z.detach().flatten(0, -2).float().square()
        token = square.sum(-1).clamp_min(1e-24).reciprocal().view(shape)
        # 1/‖z‖² times z², summed over each group's tokens: one product, no scaled copy of z.
        chosen = torch.eye(self.groups, device=z.device)[:, None, :, None, None] * token
        self.sums[name][:, self.step] += chosen.flatten(1) @ square

    def check(self) -> None:
        """Raise ConceptReviveError naming the layer if the current step's sums are not finite."""
        totals = torch.stack([s[:, self.step].sum() for s in self.sums.values()])
        for name, ok in zip(self.sums, torch.isfinite(totals).tolist(), strict=True):
            if not ok:
                raise ConceptReviveError(
                    f"{name}: activations at denoising step {self.step} are not finite: "
                    "load the model in float32 or bfloat16"
                )

    def __enter__(self) -> ColumnNorms:
        self._hooks = [
            layer.register_forward_pre_hook(lambda _m, args, name=name: self.update(name, args[0]))
            for name, layer in self.layers.items()
        ]
        return self

    def __exit__(self, *exc) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def norms(self) -> dict[str, torch.Tensor]:
        """{module name: A, (groups, steps, columns)}."""
        return {name: s.sqrt() for name, s in self.sums.items()}


@torch.no_grad()
def column_norms(
    model,
    groups: Sequence[Sequence[str]],
    *,
    tau: int,
    steps: int,
    guidance: float,
    seed: int,
    batch_size: int = 16,
    progress=None,
) -> dict[str, torch.Tensor]:
    """A_{t,l} over the first `tau` of `steps` denoising steps; every prompt starts from the same noise.

    Args:
        groups: equally many prompts each (target prompts, base prompts), denoised in the same batches.
        batch_size: pictures denoised at a time, at least one of each group.

    Returns: {module name: (groups, tau, columns)}.
    """
    layers = candidate_layers(model)

    def advance(pipe, step: int, timestep, kwargs: dict) -> dict:
        if recorder.step < tau:
            recorder.check()
        recorder.step = step + 1
        if recorder.step >= tau:
            pipe._interrupt = True  # diffusers' own switch: the remaining steps are skipped
        return {}

    at_a_time = max(1, batch_size // len(groups))
    # Precision first: its timing draws, and nothing but the prompts may be recorded.
    with precision(model), ColumnNorms(layers, tau, len(groups)) as recorder:
        for first in range(0, len(groups[0]), at_a_time):
            part = [prompt for group in groups for prompt in group[first : first + at_a_time]]
            recorder.step, recorder.pictures = 0, len(part)
            run_pipeline(
                model,
                part,
                [seed] * len(part),
                steps=steps,
                guidance=guidance,
                output_type="latent",
                callback_on_step_end=advance,
            )
            if progress:
                progress(len(part))
    return recorder.norms
