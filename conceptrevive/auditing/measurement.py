"""What an audit measures on a checkpoint, from values alone: a pass over all tensors, then tests on some matrices.

First every tensor is scanned (`scan`), then the matrices that look suspicious and a seeded sample of the others are tested
(`detectors`). A test counts where its p-value survives Holm's correction (1979) over the whole checkpoint and its effect
exceeds what clean weights show; both limits are in assets/audit.json, written by the calibration from measurements.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from conceptrevive.auditing.difference import Difference, compare
from conceptrevive.auditing.recoverability import Recoverability, estimate_recoverability
from conceptrevive.auditing.scan import LAYOUT, TensorScan, scan
from conceptrevive.checkpoints.folders import all_weight_files, find_checkpoint
from conceptrevive.checkpoints.headers import Header
from conceptrevive.checkpoints.tensors import read_rows
from conceptrevive.detectors.evidence import Evidence, as_matrix
from conceptrevive.detectors.noise import find_noise, residuals
from conceptrevive.detectors.repeats import find_repeats
from conceptrevive.detectors.zeros import find_zeros, fingerprint
from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import ASSETS

SUSPECTS, SAMPLE = 1 << 26, 1 << 25  # entries tested: of suspicious matrices, and of others

RECOVERED = 3  # matrices whose signs are tried

ENTRIES = 1 << 21  # of a matrix, as whole rows; with `deep` eight times as many

COARSE = 0.25  # distinct magnitudes over entries: below, a row lies on a grid

TESTS = {"zeros": find_zeros, "repeats": find_repeats, "noise": find_noise}


@dataclass(frozen=True)
class Layer:
    """One matrix that was tested.

    Attributes:
        scan: what the first pass counted. why: "suspicious", "sample" or "deep".
        evidence: one per test, empty where NaN or Inf stand in the way.
        found: names of the tests that count, after correction.
        zeros: `fingerprint` of its exact zeros, where they count.
        recoverability: where it was tried.
        residuals: per column, the count of small entries beyond the mean (`crowding.residuals`), where noise counts.
        image, values: a corner of the zero mask, and a sample of the entries, for the report's pictures.
    """

    scan: TensorScan
    why: str
    evidence: tuple[Evidence, ...]
    found: tuple[str, ...] = ()
    zeros: dict[str, float] | None = None
    recoverability: Recoverability | None = None
    residuals: torch.Tensor | None = None
    image: torch.Tensor | None = None
    values: torch.Tensor | None = None


@dataclass(frozen=True)
class Measurement:
    """All that was measured on a checkpoint; `audit.judge` puts it into words.

    Attributes:
        source: what was audited, as given.
        scans: every float tensor. layers: the matrices tested. differences: from the base, if one was given.
        unread: tensors of dtypes that are not audited (see `Entry.unread`). pickles: files beside, which are not opened.
        unmatched: tensors that only one of checkpoint and base has.
        bytes, scan_seconds, seconds: size, duration of the first pass and of all.
    """

    source: str
    scans: tuple[TensorScan, ...]
    layers: tuple[Layer, ...]
    differences: tuple[Difference, ...] | None
    unread: tuple[str, ...]
    pickles: tuple[str, ...]
    unmatched: tuple[str, ...]
    bytes: int
    scan_seconds: float
    seconds: float


@cache
def calibration() -> dict:
    """Limits and measured rates, from assets/audit.json."""
    return json.loads((ASSETS / "audit.json").read_text())


def holm(log_p: Sequence[float], alpha: float, hypotheses: int) -> list[bool]:
    """Which of the p-values (log10) are rejected at family-wise error `alpha` among `hypotheses` (Holm 1979)."""
    order = sorted(range(len(log_p)), key=lambda i: log_p[i])
    out = [False] * len(log_p)
    for rank, i in enumerate(order):
        if log_p[i] > math.log10(alpha / max(1, hypotheses - rank)):
            break
        out[i] = True
    return out


def suspicion(s: TensorScan) -> float:
    """How much a scan looks like pruning or revival; 0 is not at all. Decides what is tested, never the verdict."""
    columns = s.numel // s.rows
    zeros = s.zeros - s.dead_rows * columns
    alive = max(1, s.rows - s.dead_rows)
    if not s.is_matrix or s.levels < COARSE or s.zeros == s.numel:
        return 0.0
    return max(
        zeros / s.numel if zeros >= max(5, 3e-5 * s.numel) else 0,
        s.ties if s.ties > 0.1 + 3 / alive else 0,
    )


def choose(scans: Sequence[TensorScan], deep: bool, seed: int) -> dict[int, str]:
    """{index into scans: why it is tested}."""
    able = [i for i, s in enumerate(scans) if s.is_matrix and s.zeros < s.numel]
    if deep:
        return dict.fromkeys(able, "deep")
    suspects = sorted(
        (i for i in able if suspicion(scans[i])),
        key=lambda i: (-suspicion(scans[i]), scans[i].digest),
    )
    rest = sorted(set(able) - set(suspects), key=lambda i: (scans[i].shape, scans[i].digest))
    drawn = torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed)).tolist()
    out: dict[int, str] = {}
    for why, order, budget in (
        ("suspicious", suspects, SUSPECTS),
        ("sample", [rest[i] for i in drawn], SAMPLE),
    ):
        for i in order:
            budget -= min(ENTRIES, scans[i].numel)
            if budget >= 0:
                out[i] = why
    return out


def examine(weight: torch.Tensor) -> tuple[Evidence, ...]:
    """Every test on one matrix; none where it holds NaN or Inf."""
    if not torch.isfinite(weight.float()).all():
        return ()
    return tuple(test(weight) for test in TESTS.values())


def decide(
    evidence: Sequence[Sequence[Evidence]], matrices: int, limits: dict | None = None
) -> list[tuple[str, ...]]:
    """Per matrix, the tests that count: significant over the checkpoint, and larger than on clean weights.

    Args:
        evidence: per tested matrix. matrices: how many the checkpoint has; each was scanned for zeros at least.
        limits: `calibration()` by default.
    """
    limits = limits or calibration()
    flat = [(i, e) for i, each in enumerate(evidence) for e in each]
    hypotheses = max(matrices - len(evidence), 0) + len(flat)
    significant = holm([e.log_p for _, e in flat], limits["alpha"], hypotheses)
    out: list[list[str]] = [[] for _ in evidence]
    for (i, e), is_significant in zip(flat, significant, strict=True):
        if is_significant and e.effect > limits["effects"][e.test]:
            out[i].append(e.test)
    return [tuple(o) for o in out]


def measure(
    model: str | os.PathLike,
    *,
    base: str | os.PathLike | None = None,
    deep: bool = False,
    seed: int = 0,
    revision: str | None = None,
    base_revision: str | None = None,
) -> Measurement:
    """Look for what pruning and revival leave in a checkpoint's values; no architecture, original or GPU needed.

    Args:
        model, base: a .safetensors file, an index of shards, a component or pipeline folder, "pocket" or a hub id.
        deep: test every matrix, and as many signs as there are pruned layers.
        seed: of the sample of matrices, rows and columns.

    Raises:
        ConceptReviveError: what cannot be read.
    """
    began = time.perf_counter()
    parts, pickles = all_weight_files(find_checkpoint(model, revision))
    headers: list[tuple[str, Header]] = [(prefix, h) for prefix, hs in parts.items() for h in hs]
    size = sum(e.end - e.start for _, h in headers for e in h.entries.values())
    scans, places = [], []
    for prefix, header in headers:
        found = scan(header, threads=min(2, torch.get_num_threads()))
        scans += found
        places += [(header, prefix)] * len(found)
    scanned = time.perf_counter() - began
    if not scans:
        raise ConceptReviveError(f"{model} holds no floating-point weights: give a model's weights")
    chosen = choose(scans, deep, seed)
    layers = []
    for i, why in chosen.items():
        header, prefix = places[i]
        weight = _matrix(header, scans[i].name, ENTRIES * (8 if deep else 1), seed)
        layers.append(_layer(weight, _named(scans[i], prefix), why))
    matrices = sum(s.is_matrix for s in scans)
    tried = 0
    for k, found in enumerate(decide([layer.evidence for layer in layers], matrices)):
        extra: dict = {"found": found}
        if "zeros" in found or "noise" in found:
            i = list(chosen)[k]
            weight = _matrix(places[i][0], scans[i].name, ENTRIES, seed)
        if "noise" in found:
            noise = next(e for e in layers[k].evidence if e.test == "noise")
            extra["residuals"] = residuals(weight, noise.detail["small"], int(noise.detail["axis"]))
        if "zeros" in found:
            extra["zeros"] = fingerprint(weight == 0)
            if deep or tried < RECOVERED:
                tried += 1
                extra["recoverability"] = estimate_recoverability(weight, seed=seed)
        layers[k] = Layer(**{**vars(layers[k]), **extra})
    differences, unmatched = None, ()
    if base is not None:
        others, _ = all_weight_files(find_checkpoint(base, base_revision))
        differences, unmatched = compare(
            headers, [(prefix, h) for prefix, hs in others.items() for h in hs]
        )
    named = tuple(_named(s, prefix) for s, (_, prefix) in zip(scans, places, strict=True))
    unread = tuple(
        p + e.name for p, h in headers for e in h.entries.values() if e.dtype not in LAYOUT
    )
    return Measurement(
        str(model),
        named,
        tuple(layers),
        differences,
        unread,
        tuple(map(str, pickles)),
        unmatched,
        size,
        scanned,
        time.perf_counter() - began,
    )


def _named(s: TensorScan, prefix: str) -> TensorScan:
    return TensorScan(**{**vars(s), "name": prefix + s.name})


def _layer(weight: torch.Tensor, s: TensorScan, why: str) -> Layer:
    values = weight.flatten()[:: max(1, weight.numel() // 20000)].float()
    return Layer(s, why, examine(weight), image=(weight == 0)[:128, :256], values=values)


def _matrix(header: Header, name: str, most: int, seed: int) -> torch.Tensor:
    weight = as_matrix(read_rows(header, name, most, seed))
    return weight if weight.element_size() > 1 else weight.float()
