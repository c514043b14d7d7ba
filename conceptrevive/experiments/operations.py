"""Operations and memory at Stable Diffusion 1.5's size, counted on tensors without values.

Nothing is run or timed: shapes alone say how many operations a forward pass takes and which of its
tensors are there at the same time. Seconds follow from a card's peak and the share of it that is
reached, which is assumed; so they are estimates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from conceptrevive.models.random_model import CHANNELS, LATENT, TEXT, TOKENS, random_parts


@dataclass(frozen=True)
class Card:
    """A GPU as its maker states it.

    Attributes:
        peak: dense float16 operations a second, a multiplication and its addition counted as two.
        memory: bytes.
    """

    name: str
    peak: float
    memory: float


#: Colab's free GPU, at the time of writing.
T4 = Card("T4", 65e12, 16e9)
A100 = Card("A100", 312e12, 80e9)
H100 = Card("H100 SXM", 989e12, 80e9)

#: The share of the peak that drawing reaches: assumed, with how far off it may be.
UTILISATION, LEAST, MOST = 0.25, 0.15, 0.40


def seconds(operations: float, card: Card, utilisation: float = UTILISATION) -> float:
    """How long so many operations take at a share of the card's peak: an estimate."""
    return operations / (card.peak * utilisation)


@dataclass(frozen=True)
class Model:
    """Floating-point operations (two a multiplication with its addition) of one forward pass.

    Attributes:
        denoiser: the UNet on one latent. decoder: the autoencoder's decoder on one latent.
    """

    denoiser: float
    decoder: float

    def picture(self, steps: int) -> float:
        """Of one picture under classifier-free guidance, which calls the denoiser twice a step."""
        return 2 * steps * self.denoiser + self.decoder


@cache
def shapes() -> tuple[Any, Any, Any]:
    """UNet, autoencoder and text encoder of SD-1.5 without values, in float16."""
    with torch.device("meta"):
        unet, vae, text = random_parts()
    return unet.half(), vae.half(), text.half()


def denoise(pictures: int = 1) -> Any:
    """One call of SD-1.5's UNet on so many latents of 512 × 512, without values."""
    return shapes()[0](*_inputs(pictures), return_dict=False)


def decode(pictures: int = 1) -> Any:
    """One call of SD-1.5's decoder, as `denoise`."""
    return shapes()[1].decode(_inputs(pictures)[0], return_dict=False)


def _inputs(pictures: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents, denoising step and encoded prompts."""
    like: dict[str, Any] = {"dtype": torch.float16, "device": "meta"}
    latents = torch.empty(pictures, CHANNELS, LATENT, LATENT, **like)
    step = torch.empty((), dtype=torch.long, device="meta")
    return latents, step, torch.empty(pictures, TOKENS, TEXT, **like)


@cache
def stable_diffusion() -> Model:
    """Stable Diffusion 1.5 at 512 × 512, layer by layer as torch counts them."""
    with torch.no_grad():
        with FlopCounterMode(display=False) as denoising:
            denoise()
        with FlopCounterMode(display=False) as decoding:
            decode()
    return Model(float(denoising.get_total_flops()), float(decoding.get_total_flops()))


class Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the block the bytes of new tensors are added up while they are there.

    Attributes:
        peak: most bytes at the same time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._known: dict[int, tuple[Any, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_reference(t).cdata for t in tree_leaves((args, kwargs)) if _is_stored(t)}
        self._known = {k: v for k, v in self._known.items() if not v[0].expired()}
        for tensor in filter(_is_stored, tree_leaves(result)):
            reference = _reference(tensor)
            # What an operation was given, or a view of it, is not new.
            if reference.cdata not in self._known and reference.cdata not in given:
                self._known[reference.cdata] = (reference, tensor.untyped_storage().nbytes())
        self.peak = max(self.peak, sum(size for _, size in self._known.values()))
        return result


def _is_stored(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _reference(tensor: torch.Tensor) -> Any:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


class Fused(TorchFunctionMode):
    """Within the block attention makes no map of all pairs of tokens, as a GPU's fused kernel."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given: Mapping[str, Any] = kwargs or {}
        if func is scaled_dot_product_attention:
            query, value = (
                args[i] if len(args) > i else given[n] for i, n in ((0, "query"), (2, "value"))
            )
            return query.new_empty((*query.shape[:-1], value.shape[-1]))
        return func(*args, **given)


def peak_bytes(run: Callable[[], object]) -> int:
    """Most bytes of tensors that `run` makes and that are there at the same time.

    Of tensors without values too (the device meta). Attention is taken to be fused. Not counted
    are weights, what was there before, and what a library or an allocator keeps for itself.
    """
    shapes()  # made once, and no part of what is counted
    alive = Alive()
    with torch.no_grad(), Fused(), alive:
        run()
    return alive.peak
