"""Column norms of feed-forward activations, per layer and step (paper §1, Wanda's ‖X_j‖)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from conceptrevive.errors import ConceptReviveError

#: What keeps a layer from being seen, and what to do about it.
UNSEEN = (
    "the network may be compiled, cached or wrapped, so that its layers are not called: "
    "locate on the plain model, before `compile`"
)


@dataclass(frozen=True, eq=False)
class ColumnNorms(Mapping[str, Tensor]):
    """{module name: A, (groups, steps, columns)}, the norm of each column of a layer's input.

    Attributes:
        samples: activations that each layer has shown at each step, all groups and both guidance
            halves together.
    """

    norms: dict[str, Float[Tensor, "groups steps columns"]]
    samples: int

    def __getitem__(self, name: str) -> Float[Tensor, "groups steps columns"]:
        return self.norms[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.norms)

    def __len__(self) -> int:
        return len(self.norms)


class ColumnNormFitter:
    """Streams activations and keeps their column norms, in float32 on the layers' device.

    Every token's vector is first scaled to unit L2 norm; sums run over tokens, guidance halves and
    pictures. The pictures come in `groups` blocks of equal size (target prompts, base prompts),
    each with sums of its own.
    """

    def __init__(self, layers: Mapping[str, nn.Linear], steps: int, groups: int = 1) -> None:
        self.steps, self.groups = steps, groups
        self._sums = {
            name: torch.zeros(groups, steps, layer.in_features, device=layer.weight.device)
            for name, layer in layers.items()
        }
        self._samples = {name: [0] * steps for name in layers}

    def update(
        self,
        name: str,
        step: int,
        z: Float[Tensor, "samples *tokens columns"],
        pictures: int,
        counted: Bool[Tensor, "samples tokens"] | None = None,
    ) -> None:
        """Add what the layer `name` was given at one denoising step.

        Args:
            z: one sample per picture and guidance half, the halves one after the other.
            pictures: how many are drawn at once, of all groups.
            counted: False for tokens that are padding; None counts all.

        Raises:
            ConceptReviveError: the samples are not those pictures.
        """
        if z.ndim < 3 or z.shape[0] % pictures:
            raise ConceptReviveError(
                f"{name}: activations of shape {tuple(z.shape)} at denoising step {step} do not "
                f"belong to {pictures} pictures: this layer cannot be located in"
            )
        self._samples[name][step] += len(z)
        z = z.detach().flatten(1, -2)
        shape = (-1, self.groups, pictures // self.groups, z.shape[1])
        square = z.flatten(0, 1).float().square()
        token = square.sum(-1).clamp_min(1e-24).reciprocal()
        if counted is not None:
            token = token * counted.to(z.device).flatten()
        token = token.view(shape)
        # 1/‖z‖² times z², summed over each group's tokens: one product, no scaled copy of z.
        chosen = torch.eye(self.groups, device=z.device)[:, None, :, None, None] * token
        self._sums[name][:, step] += chosen.flatten(1) @ square

    def check(self, step: int, least: int = 1) -> None:
        """Raise ConceptReviveError naming the layer whose record of `step` cannot be right.

        Every layer has seen as many samples as the others, `least` or more, and all sums are
        finite.
        """
        seen = {name: samples[step] for name, samples in self._samples.items()}
        expected = max(least, *seen.values())
        if short := next((name for name, n in seen.items() if n != expected), None):
            raise ConceptReviveError(
                f"{short}: {seen[short]} of {expected} samples were seen at denoising step {step}: "
                + UNSEEN
            )
        totals = torch.stack([s[:, step].sum() for s in self._sums.values()])
        for name, ok in zip(self._sums, torch.isfinite(totals).tolist(), strict=True):
            if not ok:
                raise ConceptReviveError(
                    f"{name}: activations at denoising step {step} are not finite: "
                    "load the model in float32 or bfloat16"
                )

    @property
    def samples(self) -> int:
        """Samples each layer has seen at each step; the most, where some have seen fewer."""
        return max(n for samples in self._samples.values() for n in samples)

    @property
    def norms(self) -> ColumnNorms:
        """The norms of all that was added, which must be as much for every layer and step."""
        for step in range(self.steps):
            self.check(step, self.samples)
        return ColumnNorms({name: s.sqrt() for name, s in self._sums.items()}, self.samples)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Within the block networks run as if they were not compiled, where torch can do that (2.6 on).

    A compiled network calls no hooks that it was compiled without.
    """
    stance: Any = getattr(torch.compiler, "set_stance", None)
    with stance("force_eager") if stance else nullcontext():
        yield


@contextmanager
def listening(
    layers: Mapping[str, nn.Module], hear: Callable[[str, Tensor], object]
) -> Iterator[None]:
    """Within the block `hear(module name, input)` is called whenever one of `layers` runs."""

    def hook(name: str, _layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hear(name, args[0] if args else kwargs["input"])

    handles = []
    try:
        for name, layer in layers.items():
            heard = partial(hook, name)
            handles.append(layer.register_forward_pre_hook(heard, with_kwargs=True))
        with uncompiled():
            yield
    finally:
        for handle in handles:
            handle.remove()
