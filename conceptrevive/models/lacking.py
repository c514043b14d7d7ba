"""Whether a loaded pipeline is all there: libraries leave what a file lacks empty, or random."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from conceptrevive.errors import ConceptReviveError, one_line
from conceptrevive.models.addresses import WEIGHT
from conceptrevive.models.stored import stored_tensors
from conceptrevive.models.variants import is_index, weight_copies

#: What to give that can be loaded.
GIVE = "give a complete folder with its weights in safetensors"

#: Where a configuration tells how weights are quantised.
_HOW = "quantization_config"

#: What old files call the scale and shift of a norm.
_OLD = {"gamma": "weight", "beta": "bias"}


def index_of(pipeline: Path) -> dict[str, Any]:
    """What `model_index.json` says. Raises ConceptReviveError where it is no JSON object."""
    try:
        index = json.loads((pipeline / "model_index.json").read_text())
    except (OSError, ValueError) as e:
        index, why = None, f"cannot be read ({one_line(e)})"
    else:
        why = "is no JSON object"
    if not isinstance(index, dict):
        raise ConceptReviveError(
            f"cannot load a pipeline from {str(pipeline)!r}: its model_index.json {why}: {GIVE}"
        )
    return index


def expect_parts(pipeline: Path, given: Collection[str]) -> None:
    """Raise ConceptReviveError unless every component that the pipeline lists has its folder.

    Of a tokenizer, libraries else make one of what they find.

    Args:
        given: components that are not taken from there.
    """
    for name, kind in index_of(pipeline).items():
        listed = isinstance(kind, list) and len(kind) == 2 and all(kind)
        if listed and name not in given and not (pipeline / name).is_dir():
            raise ConceptReviveError(f"{pipeline} lacks its {name}, a {kind[1]}: {GIVE}")


def expect_words(part: Any, source: str | os.PathLike[str]) -> None:
    """Raise ConceptReviveError if `part` is a tokenizer that knows no words.

    Without the files of its vocabulary, transformers makes one that takes all words for unknown.
    """
    special = getattr(part, "all_special_tokens", None)
    if special is not None and len(part) <= len(set(special)):
        raise ConceptReviveError(
            f"{source} lacks the vocabulary of its {type(part).__name__}, which knows no word: "
            "give a complete folder, with tokenizer.json or vocab.json and merges.txt"
        )


def modules_of(pipe: Any) -> dict[str, nn.Module]:
    """{name: component} of those that compute."""
    return {n: part for n, part in pipe.components.items() if isinstance(part, nn.Module)}


def expect_whole(
    pipe: Any, folder: Path, given: Collection[str], variant: str | None = None
) -> None:
    """Raise ConceptReviveError unless a pipeline has all its weights and words.

    Args:
        folder: the pipeline's. given: components that are not from there.
    """
    for name, part in pipe.components.items():
        if isinstance(part, nn.Module) and name not in given and (folder / name).is_dir():
            expect_weights(part, folder / name, variant)
        expect_words(part, folder / name)


def finish(part: nn.Module, lacks: str, remedy: str) -> None:
    """Do for a component what diffusers leaves undone: some of T5 stay in training, with dropout,
    and weights that a file holds once for two names are given one.

    Args:
        lacks, remedy: how an error begins and ends.

    Raises ConceptReviveError for a weight that is not there.
    """
    part.eval()
    tie: Any = getattr(part, "tie_weights", None)
    if tie and any(p.is_meta for p in part.parameters()):
        tie()
    _refuse([n for n, p in part.named_parameters() if p.is_meta], part, lacks, remedy)


def expect_weights(part: nn.Module, folder: Path, variant: str | None = None) -> None:
    """Raise ConceptReviveError unless a component has all its weights from the files in `folder`.

    What a file lacks, diffusers leaves empty and transformers draws at random; what is quantised
    without its scales, both take for the weights themselves.

    Args:
        variant: which copy of them was loaded, if it is there.
    """
    finish(part, f"{folder} lacks weights", GIVE)
    copies = weight_copies(folder)
    files = [f for f in copies.get(variant or "", copies.get("", [])) if not is_index(f)]
    there: dict[str, _Stored] = {}
    for file in files:
        there |= {n: _Stored(file, n, *found) for n, found in stored_tensors(file).items()}
    if not there or _is_quantised(part):
        return
    expect_floats({name: (stored.dtype, stored.file) for name, stored in there.items()})
    _refuse(_drawn(part, there), part, f"{folder} lacks weights", GIVE)


def expect_floats(there: Mapping[str, tuple[str, Path]]) -> None:
    """Raise ConceptReviveError for weights among tensors, {name: format, file}, of whole numbers.

    Nothing says by what they are scaled.
    """
    for key, (dtype, file) in there.items():
        if key.endswith(WEIGHT) and "F" not in dtype:
            raise ConceptReviveError(
                f"{file} holds {key} as {dtype}, quantised, and no config.json says how: give the "
                "model as it was before it was quantised"
            )


@dataclass(frozen=True)
class _Stored:
    """A tensor in a file."""

    file: Path
    key: str
    dtype: str
    shape: torch.Size

    def equals(self, weight: torch.Tensor) -> bool:
        """Whether a weight was loaded from it."""
        from safetensors import safe_open

        with safe_open(self.file, "pt") as opened:
            return torch.equal(opened.get_tensor(self.key).to(weight.dtype), weight.cpu())


def _drawn(part: nn.Module, there: Mapping[str, _Stored]) -> list[str]:
    """Parameters of one of transformers' models that are not from these tensors.

    Versions of it name them otherwise. A tensor whose name ends alike is taken for a parameter's
    if the smallest matrix among these parameters has its values.
    """
    from transformers import PreTrainedModel

    if not isinstance(part, PreTrainedModel):
        return []
    own = dict(part.named_parameters(remove_duplicate=False))
    names: dict[int, list[str]] = {}
    for key, p in own.items():
        names.setdefault(id(p), []).append(key)
    absent = [same[0] for same in names.values() if not any(n in there for n in same)]
    ends: dict[tuple[str, torch.Size], _Stored] = {}
    for key, stored in there.items():
        ends.setdefault((_end(key), stored.shape), stored)
    renamed = {n: ends.get((_end(n), own[n].shape)) for n in absent}
    lacking = [n for n, stored in renamed.items() if stored is None]
    matrices = {n: x for n, x in renamed.items() if x is not None and own[n].ndim > 1}
    if matrices and not lacking:
        least = min(matrices, key=lambda n: own[n].numel())
        return [] if matrices[least].equals(own[least]) else absent
    return lacking


def _end(name: str) -> str:
    """A parameter's name from its list of blocks on; the last two words of one outside of it."""
    words = name.split(".")
    words[-1] = _OLD.get(words[-1], words[-1])
    first = next((i for i, word in enumerate(words) if word.isdigit()), len(words) - 1)
    return ".".join(words[max(0, first - 1) :])


def _is_quantised(part: Any) -> bool:
    config: Any = getattr(part, "config", None)
    said = config.get(_HOW) if isinstance(config, Mapping) else getattr(config, _HOW, None)
    return said is not None or getattr(part, "hf_quantizer", None) is not None


def _refuse(lacking: list[str], part: nn.Module, lacks: str, remedy: str) -> None:
    if lacking:
        raise ConceptReviveError(
            f"{lacks}: {len(lacking)} of this {type(part).__name__}'s, {lacking[0]} first: {remedy}"
        )
