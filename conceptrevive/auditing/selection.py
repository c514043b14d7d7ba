"""Which matrices are tested: those that look suspicious on the first pass, and a sample of the
others.

Values alone choose, so that renaming or reordering tensors changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from conceptrevive.auditing.scan import TensorScan

SUSPECTS, SAMPLE = 1 << 26, 1 << 25  # entries tested: of suspicious matrices, and of others

ENTRIES = 1 << 21  # of a matrix, as whole rows

DEEP = 8 * ENTRIES  # the same where every matrix is tested

COARSE = 0.25  # distinct magnitudes over entries of a row: few, as on a coarse quantisation grid

FEW_ZEROS = 5, 3e-5  # a matrix with fewer is not suspicious: in number, and as a share

FEW_TIES = 0.1  # entries at a row's maximum beyond one, per row


def suspicion(s: TensorScan) -> float:
    """How much a scan looks like pruning or revival; 0 is not at all.

    It decides what is tested, never the verdict.
    """
    columns = s.numel // s.rows
    zeros = s.zeros - s.dead_rows * columns
    alive = max(1, s.rows - s.dead_rows)
    if not s.is_matrix or is_coarse(s) or s.zeros == s.numel:
        return 0.0
    by_zeros = zeros / s.numel if zeros >= max(FEW_ZEROS[0], FEW_ZEROS[1] * s.numel) else 0.0
    by_ties = s.ties if s.ties > FEW_TIES + 3 / alive else 0.0
    return max(by_zeros, by_ties)


def is_coarse(s: TensorScan) -> bool:
    """Whether a few rows, seen in passing, know few magnitudes."""
    return s.is_matrix and s.levels < COARSE and s.zeros < s.numel


def choose(scans: Sequence[TensorScan], deep: bool, seed: int) -> dict[int, str]:
    """{index into scans: why it is tested}: "suspicious", "sample" or "deep"."""
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
