"""The tokens that a search for wording may take, and what a text encoder makes of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError

Ids = Int[Tensor, "prompts tokens"]
Scores = Float[Tensor, " prompts"]

#: Words that are no concept's own.
FUNCTION_WORDS = frozenset("and are for from into its near not off onto out over the with".split())
#: Shorter words are part of too many others.
SHORTEST = 3


def own_words(concept: Concept) -> tuple[str, ...]:
    """The words that name a concept: its name's, its classes', and those it is located by."""
    spoken = [concept.name, *(label.partition(":")[2] or label for label in concept.labels)]
    without = _words(concept.base_prompts)
    located = _words(concept.target_prompts) - without - FUNCTION_WORDS
    return tuple(sorted(w for w in _words(spoken) | located if len(w) >= SHORTEST))


def names(prompt: str, words: Sequence[str]) -> bool:
    """Whether any of `words` stands in the prompt, by itself or within a longer word."""
    return any(word.casefold() in prompt.casefold() for word in words)


def _words(texts: Sequence[str]) -> set[str]:
    return {w for text in texts for w in re.findall(r"[^\W\d_]+", text.casefold())}


@dataclass(frozen=True)
class Vocabulary:
    """A text encoder, its tokenizer, and the tokens that a search may take.

    Attributes:
        tokenizer, encoder: of a pipeline. forbidden: words that no token may hold.
    """

    tokenizer: Any
    encoder: Any
    forbidden: tuple[str, ...]

    @classmethod
    def of(cls, pipe: Any, forbidden: Sequence[str]) -> Vocabulary:
        """Of a pipeline with one CLIP text encoder.

        Raises ConceptReviveError for any other, and where no token is left.
        """
        encoder, tokenizer = getattr(pipe, "text_encoder", None), getattr(pipe, "tokenizer", None)
        if getattr(pipe, "text_encoder_2", None) or "CLIP" not in type(encoder).__name__:
            raise ConceptReviveError(
                f"wording is searched for with one CLIP text encoder, and {type(pipe).__name__} "
                "has another: give prompts in files"
            )
        found = cls(tokenizer, encoder, tuple(forbidden))
        if not len(found.tokens):
            raise ConceptReviveError(
                f"no token of {type(tokenizer).__name__} is left without the concept's own words "
                f"({', '.join(forbidden)}): give prompts in files"
            )
        return found

    @cached_property
    def tokens(self) -> Int[Tensor, " tokens"]:
        """Whole words, none of them special, none with a forbidden word in it.

        Only such tokens as are read again as themselves: a prompt of them is the prompt searched.
        """
        every = range(len(self.tokenizer))
        texts = [text.strip() for text in self.tokenizer.batch_decode([[i] for i in every])]
        read = self.tokenizer(texts, add_special_tokens=False).input_ids
        special = set(self.tokenizer.all_special_ids)
        kept = [
            i
            for i, text, ids in zip(every, texts, read, strict=True)
            if ids == [i]
            and i not in special
            and text.isprintable()
            and not names(text, self.forbidden)
        ]
        return torch.tensor(kept, dtype=torch.long)

    def text(self, ids: Int[Tensor, " tokens"]) -> str:
        """The prompt of one row of tokens."""
        return str(self.tokenizer.decode(ids)).strip()

    def draw(self, prompts: int, length: int, generator: torch.Generator) -> Ids:
        """Random prompts of `length` tokens."""
        at = torch.randint(len(self.tokens), (prompts, length), generator=generator)
        return self.tokens[at]

    def most(self) -> int:
        """How many tokens a prompt may have."""
        return int(self.tokenizer.model_max_length) - 2

    def length(self, prompt: str) -> int:
        """How many tokens a prompt has, at most as many as the encoder reads."""
        return min(len(self.tokenizer(prompt, add_special_tokens=False).input_ids), self.most())

    def framed(self, ids: Ids) -> Ids:
        """As the pipeline feeds them: begun, ended and padded."""
        t, n = self.tokenizer, len(ids)
        begin, end = torch.full((n, 1), t.bos_token_id), torch.full((n, 1), t.eos_token_id)
        rest = torch.full((n, self.most() - ids.shape[1]), t.pad_token_id)
        return torch.cat([begin, ids, end, rest], 1)

    def read(self, prompts: Sequence[str]) -> Ids:
        """Framed tokens of prompts in words."""
        ids: Ids = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        return ids

    @torch.no_grad()
    def pooled(self, framed: Ids) -> Float[Tensor, "prompts width"]:
        """One vector a prompt."""
        pooled: Tensor = self._encoded(framed).pooler_output.float().cpu()
        return pooled

    @torch.no_grad()
    def states(self, framed: Ids) -> Float[Tensor, "prompts positions width"]:
        """One vector a position: what the denoiser is given."""
        states: Tensor = self._encoded(framed).last_hidden_state.float().cpu()
        return states

    def slopes(
        self, framed: Ids, score: Callable[[Float[Tensor, "prompts width"]], Scores]
    ) -> Float[Tensor, "positions tokens"]:
        """How much the pooled score rises, to first order, with each token at each position."""
        table = self.encoder.get_input_embeddings()
        taken: list[Tensor] = []

        def keep(_module: object, _given: object, out: Tensor) -> Tensor:
            taken.append(out.detach().requires_grad_())
            return taken[-1]

        hook = table.register_forward_hook(keep)
        try:
            with torch.enable_grad():
                value = score(self._encoded(framed).pooler_output.float()).sum()
                (slope,) = torch.autograd.grad(value, taken[-1])
        finally:
            hook.remove()
        rows: Tensor = table.weight.detach()[self.tokens.to(slope.device)]
        return (slope[0] @ rows.T).float().cpu()

    def _encoded(self, framed: Ids) -> Any:
        return self.encoder(framed.to(next(self.encoder.parameters()).device))
