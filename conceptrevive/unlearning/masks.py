"""Which weights are pruned: a `MaskSet`, its file, and pruning itself (paper §1)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import replacing
from conceptrevive.unlearning.fit import check_fit
from conceptrevive.version import version

FORMAT = "conceptrevive-masks-1"


@dataclass(frozen=True, eq=False)
class MaskSet(Mapping[str, torch.Tensor]):
    """Which weights a concept's pruning zeroes: {module name: bool (rows, columns)}, True = pruned.

    Attributes:
        concept, skill_ratio, tau, seed, version: what `locate` was given, and which version it was. sampling: the way of
            drawing, see `precision.NAMES`.
    """

    masks: dict[str, torch.Tensor]
    concept: str = ""
    skill_ratio: float | None = None
    tau: int | None = None
    seed: int | None = None
    sampling: str | None = None
    version: str = field(default_factory=version)

    def __getitem__(self, name: str) -> torch.Tensor:
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
        """Pruned in either; layers of both."""
        return self._combine(other, torch.logical_or, "|")

    def intersection(self, other: MaskSet) -> MaskSet:
        """Pruned in both; a layer that only one of them has stays empty."""
        return self._combine(other, torch.logical_and, "&")

    __or__, __and__ = union, intersection

    def _combine(self, other: MaskSet, how: Callable, sign: str) -> MaskSet:
        out = {}
        for name in dict.fromkeys([*self, *other]):
            a, b = self.masks.get(name), other.masks.get(name)
            a = torch.zeros_like(b) if a is None else a
            b = torch.zeros_like(a) if b is None else b.to(a.device)
            if a.shape != b.shape:
                raise ConceptReviveError(
                    f"{name}: masks of shapes {tuple(a.shape)} and {tuple(b.shape)} do not combine"
                )
            out[name] = how(a, b)
        shared = {
            k: getattr(self, k) if getattr(self, k) == getattr(other, k) else None
            for k in ("skill_ratio", "tau", "seed", "sampling")
        }
        return replace(self, masks=out, concept=f"{self.concept} {sign} {other.concept}", **shared)

    def save(self, path: str | os.PathLike) -> None:
        """Write one safetensors file, to a temporary name first."""
        # One metadata key: safetensors writes several in random order, and equal masks should be equal files.
        info = {"format": FORMAT} | {
            k: getattr(self, k)
            for k in ("concept", "skill_ratio", "tau", "seed", "sampling", "version")
        }
        tensors = {n: m.cpu().contiguous() for n, m in self.masks.items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"conceptrevive": json.dumps(info)})

    @classmethod
    def load(cls, path: str | os.PathLike) -> MaskSet:
        """Read what `save` wrote. Raises ConceptReviveError for any other file."""
        problem = f"{path} is no mask file: write one with `conceptrevive locate … --out {path}`"
        try:
            with safe_open(path, "pt") as f:
                info = json.loads((f.metadata() or {}).get("conceptrevive", "{}"))
                masks = {name: f.get_tensor(name) for name in f.keys()}
            if not isinstance(info, dict) or info.pop("format", None) != FORMAT:
                raise ConceptReviveError(problem)
            wrong = next(
                (n for n, m in masks.items() if m.dtype != torch.bool or m.ndim != 2), None
            )
            if wrong:
                raise ConceptReviveError(
                    f"{path}: {wrong} is not a boolean matrix: write the masks again with `locate`"
                )
            return cls(masks=masks, **info)
        except (OSError, SafetensorError) as e:
            raise ConceptReviveError(
                f"cannot read masks from {path} ({e}): give a file written by `locate`"
            ) from e
        except (json.JSONDecodeError, TypeError) as e:
            raise ConceptReviveError(problem) from e


def prune(
    weights: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """New weights with the masked entries exactly 0, all others bitwise unchanged; dtype and device kept."""
    check_fit(weights, masks)
    return {
        n: w.masked_fill(masks[n].to(w.device), 0) if n in masks else w.clone()
        for n, w in weights.items()
    }
