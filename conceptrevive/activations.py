"""Column norms of feed-forward activations, per layer and denoising step (paper §1, Wanda's ‖X_j‖)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models import candidate_layers, denoiser
from conceptrevive.sampling import noise, precision, quiet


@dataclass
class ColumnNorms:
    """Running sums of squared activations; use as a context manager, `norms` when done.

    Every token's vector is first scaled to unit L2 norm; sums run over tokens, guidance halves and prompts.
    """

    layers: dict[str, nn.Linear]
    steps: int
    step: int = 0
    sums: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, layer in self.layers.items():
            # float64 where it is cheap, so that the thresholds of `wanda_mask` do not hang on rounding.
            dtype = torch.float64 if layer.weight.device.type == "cpu" else torch.float32
            self.sums[name] = torch.zeros(self.steps, layer.in_features, dtype=dtype, device=layer.weight.device)

    def update(self, name: str, z: torch.Tensor) -> None:
        """Add activations z, (…, tokens, columns), to the current step of layer `name`."""
        if self.step >= self.steps:
            return
        z = z.detach().flatten(0, -2).float()
        z = z / torch.linalg.vector_norm(z, dim=-1, keepdim=True).clamp_min(1e-12)
        square = (z.to(self.sums[name].dtype) ** 2).sum(0)
        if not torch.isfinite(square).all():
            raise ConceptReviveError(
                f"{name}: activations at denoising step {self.step} are not finite: load the model in float32 or bfloat16"
            )
        self.sums[name][self.step] += square

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
        """{module name: A, (steps, columns)}."""
        return {name: s.sqrt() for name, s in self.sums.items()}


@torch.no_grad()
def column_norms(
    model,
    prompts: Sequence[str],
    *,
    tau: int,
    steps: int,
    guidance: float,
    seed: int,
    batch_size: int = 16,
    progress=None,
) -> dict[str, torch.Tensor]:
    """A_{t,l} over the first `tau` of `steps` denoising steps; every prompt starts from the same noise.

    Returns: {module name: (tau, columns)}.
    """
    layers = candidate_layers(model)
    weight = next(iter(layers.values())).weight
    dtype = next(denoiser(model).parameters()).dtype

    def advance(pipe, step: int, timestep, kwargs: dict) -> dict:
        recorder.step = step + 1
        if recorder.step >= tau:
            pipe._interrupt = True  # diffusers' own switch: the remaining steps are skipped
        return {}

    with ColumnNorms(layers, tau) as recorder, quiet(model), precision(model):
        for first in range(0, len(prompts), batch_size):
            part = list(prompts[first : first + batch_size])
            latents = noise(model, [seed]).expand(len(part), -1, -1, -1).to(weight.device, dtype)
            recorder.step = 0
            model(
                part, num_inference_steps=steps, guidance_scale=guidance, latents=latents.clone(),
                output_type="latent", callback_on_step_end=advance,
            )  # fmt: skip
            if progress:
                progress(len(part))
    return recorder.norms
