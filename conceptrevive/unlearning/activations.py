"""Column norms of feed-forward activations, per layer and step (paper §1, Wanda's ‖X_j‖)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.matrices import View

#: What keeps a layer from being seen, and what to do about it.
UNSEEN = (
    "the network may be compiled, cached or wrapped, so that its layers are not called: "
    "locate on the plain model, before `compile`"
)


@dataclass(frozen=True, eq=False)
class ColumnNorms(Mapping[str, Tensor]):
    """{module name: A, (groups, steps, columns)}, the norm of each column of a layer's input.

    Layers of text encoders, which run before the first step, have one step.

    Attributes:
        samples: activations that each layer of the denoiser has shown at each step, all groups and
            both guidance halves together.
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

    Args:
        layers: whose `weight` is a matrix: linear layers, or `View`s.
        once: those that run once, before the first step.
    """

    def __init__(
        self,
        layers: Mapping[str, View | nn.Linear],
        steps: int,
        groups: int = 1,
        once: Collection[str] = (),
    ) -> None:
        self.steps, self.groups, self.once = steps, groups, frozenset(once)
        self._homes = {name: layer.weight.device for name, layer in layers.items()}
        self._sums = {
            name: torch.zeros(
                groups, 1 if name in self.once else steps, layer.weight.shape[1], device=home
            )
            for (name, layer), home in zip(layers.items(), self._homes.values(), strict=True)
        }
        self._samples = {name: [0] * sums.shape[1] for name, sums in self._sums.items()}

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
                f"belong to {pictures} pictures one by one, as those of a layer for the time step: "
                "leave it out, e.g. by layers='ff-first,attention,convolutions', or locate by "
                "salun or scissorhands"
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
        # An offloaded layer's weight is not where the layer runs.
        self._sums[name] = self._sums[name].to(z.device)
        self._sums[name][:, step] += chosen.flatten(1) @ square

    def check(self, step: int, least: int = 1) -> None:
        """Raise ConceptReviveError naming the layer whose record of `step` cannot be right.

        Every layer has seen as many samples as the others, `least` or more, and all sums are
        finite.
        """
        unheard = (n for n, seen in self._samples.items() if n in self.once and not seen[0])
        if silent := next(unheard, None):
            raise ConceptReviveError(
                f"{silent} does not run where this pipeline draws from a prompt: choose layers of "
                "its denoiser, or of a text encoder that it uses"
            )
        seen = {n: samples[step] for n, samples in self._samples.items() if n not in self.once}
        expected = max(least, *seen.values(), 0)
        if short := next((name for name, n in seen.items() if n != expected), None):
            raise ConceptReviveError(
                f"{short}: {seen[short]} of {expected} samples were seen at denoising step {step}: "
                + UNSEEN
            )
        running = {n: s for n, s in self._sums.items() if step < s.shape[1]}
        place = next(iter(running.values())).device if running else None
        totals = [s[:, step].sum().to(place) for s in running.values()]
        finite = torch.isfinite(torch.stack(totals)).tolist() if totals else []
        for name, ok in zip(running, finite, strict=True):
            if not ok:
                raise ConceptReviveError(
                    f"{name}: activations at denoising step {step} are not finite: "
                    "load the model in float32 or bfloat16; if that does not help, its weights "
                    "are damaged"
                )

    @property
    def samples(self) -> int:
        """Samples each layer has seen at each step; the most, where some have seen fewer."""
        of_steps = [s for name, s in self._samples.items() if name not in self.once]
        return max((n for samples in of_steps for n in samples), default=0)

    @property
    def norms(self) -> ColumnNorms:
        """The norms of all that was added, which must be as much for every layer and step."""
        for step in range(self.steps):
            self.check(step, self.samples)
        norms = {name: s.sqrt().to(self._homes[name]) for name, s in self._sums.items()}
        return ColumnNorms(norms, self.samples)


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
