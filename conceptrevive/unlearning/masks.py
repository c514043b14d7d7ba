"""Which weights are pruned: a `MaskSet`, its file, and pruning itself (paper §1)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import Any

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, expect, expect_number, expect_whole
from conceptrevive.files import replacing
from conceptrevive.models.weights import Weights
from conceptrevive.unlearning.combining import combined_note
from conceptrevive.unlearning.fit import check_fit, check_masks, check_not_empty
from conceptrevive.version import version

FORMAT = "conceptrevive-masks-1"

#: What a mask file says about its masks, besides the format.
NOTES = (
    *("concept", "skill_ratio", "tau", "seed", "sampling", "method"),
    *("layers", "chosen_by", "left_out", "version"),
)


@dataclass(frozen=True, eq=False)
class MaskSet(Mapping[str, Tensor]):
    """Which weights a concept's pruning zeroes: {module name: bool (rows, columns)}, True = pruned.

    Attributes:
        concept, skill_ratio, tau, seed, version: what `locate` was given, and which version it was;
            None where a method has no such setting.
        sampling: the way of drawing, see `precision.NAMES`.
        method: the locator, see `locators.LOCATORS`; None for masks of other origin.
        layers: the selection that was looked at, as text that `Selection.of` reads; None for the
            default, and where it is not known.
        chosen_by: `module:name` of the function that chose those layers, if one did.
        left_out: those of `layers` that a locator of one's own has no mask of, as such text.

    Raises:
        ConceptReviveError: a mask that is no boolean matrix, or a note of the wrong type or range.
    """

    masks: Mapping[str, Bool[Tensor, "rows columns"]]
    concept: str = ""
    skill_ratio: float | None = None
    tau: int | None = None
    seed: int | None = None
    sampling: str | None = None
    method: str | None = None
    layers: str | None = None
    chosen_by: str | None = None
    left_out: str | None = None
    version: str = field(default_factory=version)

    def __post_init__(self) -> None:
        check_masks(self.masks)
        for name, mask in self.masks.items():
            if mask.ndim != 2:
                raise ConceptReviveError(
                    f"{name}: the mask has shape {tuple(mask.shape)}: give a matrix"
                )
        for note in ("concept", "version"):
            expect(getattr(self, note), str, note, "give text")
        optional = (str, NoneType)
        expect(self.sampling, optional, "sampling", "give one of `precision.NAMES`")
        expect(self.method, optional, "method", "give a locator's name, e.g. 'salun'")
        expect(self.layers, optional, "layers", "give the text of a selection, e.g. 'attention'")
        expect(self.chosen_by, optional, "chosen_by", "give the name of a function")
        expect(self.left_out, optional, "left_out", "give the text of a selection")
        if self.skill_ratio is not None:
            expect_number(self.skill_ratio, "skill_ratio")
            if not 0 < self.skill_ratio <= 1:
                raise ConceptReviveError(
                    f"skill_ratio is {self.skill_ratio}: it is a share of each row, in (0, 1]"
                )
        for note, least in (("tau", 1), ("seed", 0)):
            value = getattr(self, note)
            if value is not None:
                expect_whole(value, note)
                if value < least:
                    raise ConceptReviveError(f"{note} is {value}: it is at least {least}")

    def __getitem__(self, name: str) -> Bool[Tensor, "rows columns"]:
        return self.masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.masks)

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def count(self) -> int:
        """Pruned weights in all."""
        return sum(int(m.sum()) for m in self.masks.values())

    @property
    def fraction(self) -> float:
        """Pruned share of the candidate weights."""
        return self.count / max(1, sum(m.numel() for m in self.masks.values()))

    def union(self, other: MaskSet) -> MaskSet:
        """Pruned in either; layers of both, and of both selections."""
        return self._combine(other, torch.logical_or, "|")

    def intersection(self, other: MaskSet) -> MaskSet:
        """Pruned in both; a layer that only one of them has stays empty."""
        return self._combine(other, torch.logical_and, "&")

    __or__, __and__ = union, intersection

    def _combine(
        self, other: MaskSet, how: Callable[[Tensor, Tensor], Tensor], sign: str
    ) -> MaskSet:
        expect(other, MaskSet, "what a MaskSet is combined with", "give another MaskSet")
        out = {}
        for name in dict.fromkeys([*self, *other]):
            mine, theirs = self.masks.get(name), other.masks.get(name)
            a = torch.zeros_like(other[name]) if mine is None else mine
            b = torch.zeros_like(a) if theirs is None else theirs.to(a.device)
            if a.shape != b.shape:
                raise ConceptReviveError(
                    f"{name}: masks of shapes {tuple(a.shape)} and {tuple(b.shape)} do not combine"
                )
            out[name] = how(a, b)
        shared: dict[str, Any] = {
            k: getattr(self, k) if getattr(self, k) == getattr(other, k) else None
            for k in ("skill_ratio", "tau", "seed", "sampling", "method", "chosen_by")
        } | combined_note(self, other)
        return replace(self, masks=out, concept=f"{self.concept} {sign} {other.concept}", **shared)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, to a temporary name first.

        Raises:
            ConceptReviveError: `path` cannot be written, or holds something else than masks.
        """
        expect(path, (str, os.PathLike), "path", "give the name of a file to write")
        if os.path.isfile(path) and not _is_mask_file(path):
            raise ConceptReviveError(
                f"{path} exists and is no mask file: choose another name, or remove it first"
            )
        # One metadata key: safetensors writes several in random order, and equal masks should be
        # equal files.
        info = {"format": FORMAT} | {k: getattr(self, k) for k in NOTES}
        for absent in ("layers", "chosen_by", "left_out"):
            if info[absent] is None:
                del info[absent]  # so that masks of the default are the files that they always were
        note = json.dumps(info, default=lambda number: number.item())
        tensors = {n: m.cpu().contiguous() for n, m in self.masks.items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"conceptrevive": note})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MaskSet:
        """Read what `save` wrote. Raises ConceptReviveError for any other file."""
        expect(path, (str, os.PathLike), "path", "give a file written by `locate`")
        if os.path.isdir(path):
            raise ConceptReviveError(f"{path} is a folder: give the mask file that `locate` wrote")
        try:
            with safe_open(path, "pt") as f:
                info = _info(f)
                if info is None:
                    raise ConceptReviveError(
                        f"{path} is no mask file: write one with `conceptrevive locate … "
                        "--out FILE`"
                    )
                masks = {name: f.get_tensor(name) for name in f.keys()}
        except (OSError, SafetensorError) as e:
            raise ConceptReviveError(
                f"cannot read masks from {path} ({e}): give a file written by `locate`"
            ) from e
        try:
            return cls(masks=masks, **info)
        except ConceptReviveError as e:
            raise ConceptReviveError(f"{path}: {e}; write the masks again with `locate`") from e


def _info(f: Any) -> dict[str, Any] | None:
    """What the metadata of a mask file says; None if it is no mask file."""
    try:
        info = json.loads((f.metadata() or {}).get("conceptrevive", "{}"))
    except (json.JSONDecodeError, RecursionError):
        return None
    if (
        not isinstance(info, dict)
        or info.pop("format", None) != FORMAT
        or not info.keys() <= set(NOTES)
    ):
        return None
    return info


def _is_mask_file(path: str | os.PathLike[str]) -> bool:
    try:
        with safe_open(path, "pt") as f:
            return _info(f) is not None
    except (OSError, SafetensorError):
        return False


def prune(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    masks: Mapping[str, Bool[Tensor, "rows columns"]],
) -> Weights:
    """New weights with the masked entries exactly 0, all others bitwise unchanged.

    Dtype and device are kept; layers without a mask are copied.

    Raises:
        ConceptReviveError: masks that do not fit, or that hold no entry.
    """
    check_fit(weights, masks)
    check_not_empty(masks)
    return {
        n: _zeroed(w, masks[n].to(w.device)) if n in masks else w.clone()
        for n, w in weights.items()
    }


def _zeroed(
    w: Float[Tensor, "rows columns"], mask: Bool[Tensor, "rows columns"]
) -> Float[Tensor, "rows columns"]:
    if w.element_size() == 1:  # eight-bit floats, by their bytes: torch before 2.6 cannot choose
        return w.view(torch.uint8).masked_fill(mask, 0).view(w.dtype)
    return torch.where(mask, w.new_zeros(()), w)
