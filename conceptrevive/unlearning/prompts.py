"""Prompts that the model reads whole: those it would cut cannot tell a concept from its base."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.protocol import TextToImage

#: Tokenizers without a limit of their own say a number as large as this, or larger.
NO_LIMIT = 10**6

#: Characters of a prompt that messages show.
SHOWN = 60


def check_prompts(model: TextToImage, concept: Concept) -> None:
    """Raise ConceptReviveError naming a prompt that the model would cut.

    A pipeline with several tokenizers cuts a prompt if each of them does.
    """
    tokenizers = [
        part
        for name, part in sorted(getattr(model, "components", {}).items())
        if name.startswith("tokenizer") and callable(part)
    ]
    for role, prompts in (("target", concept.target_prompts), ("base", concept.base_prompts)):
        for i, prompt in enumerate(prompts):
            _check_length(tokenizers, prompt, f"{role} prompt {i + 1} of {concept.name!r}")


def _check_length(tokenizers: list[Callable[..., Any]], prompt: str, name: str) -> None:
    excess = []
    for tokenizer in tokenizers:
        limit = int(getattr(tokenizer, "model_max_length", NO_LIMIT))
        count = len(tokenizer(prompt, truncation=False, verbose=False).input_ids)
        if limit >= NO_LIMIT or count <= limit:
            return
        excess.append((count, limit))
    if excess:
        count, limit = min(excess, key=lambda pair: pair[0] - pair[1])
        text = prompt if len(prompt) <= SHOWN else prompt[:SHOWN] + "…"
        raise ConceptReviveError(
            f"{name} has {count} tokens, of which the model reads {limit}: shorten {text!r}"
        )
