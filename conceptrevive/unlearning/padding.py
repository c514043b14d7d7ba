"""Which text tokens are padding: layers through which text goes see them too, but they say nothing.

Seen where the pipeline hands its prompts to the text encoders, so whatever it writes around them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.adapters.adapter import Stream
from conceptrevive.models.adapters.choosing import adapter_of
from conceptrevive.models.adapters.layouts import Part
from conceptrevive.models.protocol import TextToImage


def real_tokens(
    ids: Int[Tensor, "samples tokens"], pad: int, *, ends: bool, left: bool = False
) -> Bool[Tensor, "samples tokens"]:
    """Which tokens of texts that were filled up with `pad` are the texts' own.

    Args:
        ends: whether `pad` also ends a text; its first one then is the text's.
        left: whether texts were filled up at their beginning.
    """
    own = (ids != pad).flip(1) if left else ids != pad
    place = torch.arange(1, ids.shape[1] + 1, device=ids.device)
    length = (own * place).amax(1, keepdim=True) + int(ends)
    kept = place <= length
    return kept.flip(1) if left else kept


class TextTokens:
    """The text encoders at work: which of their tokens are padding, call by call."""

    def __init__(self, model: TextToImage) -> None:
        self.model, self.adapter = model, adapter_of(model)
        self._heard: dict[str, list[Bool[Tensor, "samples tokens"]]] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block what the text encoders are given is heard; before it is forgotten."""
        self._heard = {}
        with ExitStack() as stack:
            for name, part in getattr(self.model, "components", {}).items():
                if "text_encoder" in name and isinstance(part, nn.Module):
                    handle = part.register_forward_pre_hook(
                        partial(self._hear, name), with_kwargs=True
                    )
                    stack.callback(handle.remove)
            yield

    def _hear(self, name: str, _part: object, args: Sequence[Any], given: dict[str, Any]) -> None:
        ids, mask = given.get("input_ids", args[0] if args else None), given.get("attention_mask")
        tokenizer = getattr(self.model, name.replace("text_encoder", "tokenizer"), None)
        pad = getattr(tokenizer, "pad_token_id", None)
        if isinstance(mask, Tensor) and mask.ndim == 2:
            found = mask.bool()
        elif isinstance(ids, Tensor) and ids.ndim == 2 and pad is not None:
            found = real_tokens(
                ids,
                pad,
                ends=pad == getattr(tokenizer, "eos_token_id", None),
                left=getattr(tokenizer, "padding_side", "right") == "left",
            )
        else:
            return
        self._heard.setdefault(name, []).append(found)

    def of_encoder(self, component: str) -> Bool[Tensor, "samples tokens"] | None:
        """The tokens that count in a text encoder's own layers, at its latest call."""
        heard = self._heard.get(component)
        return heard[-1] if heard else None

    def of_layer(
        self, name: str, parts: Sequence[Part], pictures: int, tokens: int
    ) -> Bool[Tensor, "samples tokens"] | None:
        """The tokens that count in a layer of the denoiser; None if all do.

        Args:
            parts: those of guidance in the denoiser's present call. tokens: what the layer is given
                of each sample.

        Raises:
            ConceptReviveError: the layer's text tokens are not the text encoders'.
        """
        stream = self.adapter.stream(name)
        if stream is None or not any(self._heard.get(c) for c in self.adapter.text):
            return None
        mask = torch.cat([self._text(part, pictures, tokens, stream) for part in parts])
        if mask.shape[1] != tokens:
            raise ConceptReviveError(
                f"{name} is given {tokens} tokens, of which {mask.shape[1]} were to be text by the "
                f"{type(self.adapter).__name__} adapter of this {type(self.model).__name__}: give "
                "an Adapter that knows its text layers"
            )
        return mask

    def _text(
        self, part: Part, pictures: int, tokens: int, stream: Stream
    ) -> Bool[Tensor, "pictures tokens"]:
        """The tokens that count of a part of guidance."""
        masks = []
        for heard in filter(None, map(self._heard.get, self.adapter.text)):
            # The prompts are encoded first. SDXL's part without a prompt is zeros, not encoded.
            there = part == "prompt" or len(heard) > 1
            mask = heard[0 if part == "prompt" else 1] if there else torch.ones_like(heard[0])
            masks.append(mask.expand(pictures, -1) if len(mask) == 1 else mask)
        text = self.adapter.text_mask(self.model, masks, tokens if stream == "text" else None)
        return text if stream == "text" else self.adapter.joint_mask(text, tokens)
