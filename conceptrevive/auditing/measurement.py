"""What an audit measures on a checkpoint, from values alone: a pass over all tensors, then tests on
some matrices.

First every tensor is scanned (`scan`), then the matrices that look suspicious and a seeded sample
of the others are tested (`detectors`), unless they lie on a quantisation grid, where the tests have
nothing to say.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.auditing.difference import Difference, compare
from conceptrevive.auditing.recoverability import Recoverability, estimate_recoverability
from conceptrevive.auditing.scan import TensorScan, scan
from conceptrevive.auditing.selection import DEEP, ENTRIES, choose
from conceptrevive.auditing.significance import decide
from conceptrevive.checkpoints.folders import find_checkpoint
from conceptrevive.checkpoints.headers import Header
from conceptrevive.checkpoints.published import Published, base_files, published_files
from conceptrevive.checkpoints.tensors import read_rows
from conceptrevive.detectors.evidence import GRID, Evidence, as_matrix
from conceptrevive.detectors.grid import on_grid
from conceptrevive.detectors.noise import find_noise, residuals
from conceptrevive.detectors.repeats import find_repeats
from conceptrevive.detectors.zeros import find_zeros, fingerprint

RECOVERED = 3  # matrices whose signs are tried

SHOWN = (128, 256)  # rows and columns of a mask that the report pictures

DRAWN = 20_000  # entries that its histograms are drawn from

TESTS = {"zeros": find_zeros, "repeats": find_repeats, "noise": find_noise}


@dataclass(frozen=True)
class Layer:
    """One matrix that was tested.

    Attributes: scan: what the first pass counted. why: "suspicious", "sample" or "deep". evidence:
        one per test; "grid" alone on a quantisation grid; empty where NaN or Inf stand in the way.
        found: names of the tests that count, after correction. zeros: `fingerprint` of its exact
        zeros, where they count. recoverability: where it was tried. residuals: per column, the
        count of small entries beyond the mean (`noise.residuals`), where noise counts. image,
        values: a corner of the zero mask, and a sample of the entries, for the report's pictures.
    """

    scan: TensorScan
    why: str
    evidence: tuple[Evidence, ...]
    image: Bool[Tensor, "rows columns"]
    values: Float[Tensor, " entries"]
    found: tuple[str, ...] = ()
    zeros: dict[str, float] | None = None
    recoverability: Recoverability | None = None
    residuals: Float[Tensor, " lines"] | None = None

    @property
    def name(self) -> str:
        """The tensor's name."""
        return self.scan.name

    @property
    def on_grid(self) -> bool:
        """Whether its values lie on a quantisation grid."""
        return any(e.test == GRID for e in self.evidence)

    def about(self, test: str) -> Evidence | None:
        """The answer of one test, if it was asked."""
        return next((e for e in self.evidence if e.test == test), None)


@dataclass(frozen=True)
class Measurement:
    """All that was measured on a checkpoint; `verdict.judge` puts it into words.

    Attributes: source: what was audited, as given. scans: every float tensor. layers: the matrices
        tested. differences: from the base, if one was given. unread: {tensor: its dtype} where that
        holds no weights. pickles: files beside, which are not opened. unmatched: tensors that only
        one of checkpoint and base has. bytes, scan_seconds, seconds: size, duration of the first
        pass and of all. variant: the copy that was asked for; None for all there are. others:
        copies that were not.
    """

    source: str
    scans: tuple[TensorScan, ...]
    layers: tuple[Layer, ...]
    differences: tuple[Difference, ...] | None
    unread: dict[str, str]
    pickles: tuple[str, ...]
    unmatched: tuple[str, ...]
    bytes: int
    scan_seconds: float
    seconds: float
    variant: str | None = None
    others: tuple[str, ...] = ()


def examine(weight: Float[Tensor, "rows columns"]) -> tuple[Evidence, ...]:
    """Every test on one matrix; "grid" alone where it lies on one, none where NaN or Inf stand."""
    if not torch.isfinite(weight.float()).all():
        return ()
    if on_grid(weight):
        return (Evidence(GRID),)
    return tuple(test(weight) for test in TESTS.values())


def measure(
    model: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    deep: bool = False,
    seed: int = 0,
    revision: str | None = None,
    base_revision: str | None = None,
    variant: str | None = None,
) -> Measurement:
    """All measurements that `verdict.audit` judges.

    Args: model, base: a .safetensors file, an index of shards, a component or pipeline folder,
        "pocket" or a hub id. deep: test every matrix, and as many signs as there are pruned layers.
        seed: of the sample of matrices, rows and columns. variant: the only copy of a folder's
        weights to look at; of the base the same, where it has it.

    Raises:
        ConceptReviveError: what cannot be read.
    """
    began = time.perf_counter()
    files = published_files(find_checkpoint(model, revision), variant)
    headers = _each(files)
    scans, places = _scan_all(headers)
    scanned = time.perf_counter() - began
    chosen = choose(scans, deep, seed)
    most = DEEP if deep else ENTRIES
    layers = [_layer(_matrix(*places[i], most, seed), scans[i], why) for i, why in chosen.items()]
    matrices = sum(s.is_matrix for s in scans)
    tried = 0
    decided = decide([layer.evidence for layer in layers], matrices)
    for k, (i, tests) in enumerate(zip(chosen, decided, strict=True)):
        if tests:
            signs = "zeros" in tests and (deep or tried < RECOVERED)
            tried += signs
            weight = _matrix(*places[i], ENTRIES, seed)
            layers[k] = _looked_into(layers[k], tests, weight, seed if signs else None)
    differences: tuple[Difference, ...] | None = None
    unmatched: tuple[str, ...] = ()
    if base is not None:
        old = base_files(find_checkpoint(base, base_revision), variant)
        differences, unmatched = compare(headers, _each(old))
    return Measurement(
        str(model),
        tuple(scans),
        tuple(layers),
        differences,
        {p + e.name: e.dtype for p, h in headers for e in h.entries.values() if e.unread},
        tuple(map(str, files.pickles)),
        unmatched,
        sum(e.end - e.start for _, h in headers for e in h.entries.values()),
        scanned,
        time.perf_counter() - began,
        variant,
        tuple(map(str, files.others)),
    )


def _each(files: Published) -> list[tuple[str, Header]]:
    """(prefix of its names, header) of every file."""
    return [(prefix, h) for prefix, headers in files.parts.items() for h in headers]


def _scan_all(
    headers: Sequence[tuple[str, Header]],
) -> tuple[list[TensorScan], list[tuple[Header, str]]]:
    """The first pass over every file, and where each tensor stands: (header, its name there)."""
    scans: list[TensorScan] = []
    places: list[tuple[Header, str]] = []
    for prefix, header in headers:
        for s in scan(header, threads=min(2, torch.get_num_threads())):
            scans.append(replace(s, name=prefix + s.name))
            places.append((header, s.name))
    return scans, places


def _matrix(header: Header, name: str, most: int, seed: int) -> Float[Tensor, "rows columns"]:
    weight = as_matrix(read_rows(header, name, most, seed))
    return weight if weight.element_size() > 1 else weight.float()


def _layer(weight: Float[Tensor, "rows columns"], s: TensorScan, why: str) -> Layer:
    values = weight.flatten()[:: max(1, weight.numel() // DRAWN)].float()
    image = (weight == 0)[: SHOWN[0], : SHOWN[1]]
    return Layer(s, why, examine(weight), image, values)


def _looked_into(
    layer: Layer, tests: tuple[str, ...], weight: Float[Tensor, "rows columns"], seed: int | None
) -> Layer:
    """A layer in which `tests` count, with what the report says; signs are tried with a seed."""
    layer = replace(layer, found=tests)
    if "noise" in tests and (noise := layer.about("noise")):
        told = residuals(weight, noise.detail["small"], int(noise.detail["axis"]))
        layer = replace(layer, residuals=told)
    if "zeros" in tests:
        layer = replace(layer, zeros=fingerprint(weight == 0))
        if seed is not None:
            layer = replace(layer, recoverability=estimate_recoverability(weight, seed=seed))
    return layer
