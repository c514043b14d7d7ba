"""Has a checkpoint been pruned or revived? From measurements to a verdict; "safe" is none."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from conceptrevive.auditing.findings import find_all
from conceptrevive.auditing.marks import Finding
from conceptrevive.auditing.measurement import Layer, Measurement, measure
from conceptrevive.auditing.unknowns import find_unknown, tested_nothing, untold
from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.version import version

PRUNING, REVIVAL = "evidence of pruning", "evidence of revival"

NOTHING, UNTOLD = "no evidence found", "could not tell"

SEEDS = 2**63  # torch's generators take no more


@dataclass(frozen=True)
class AuditReport:
    """What `audit` found, in words and numbers; never "safe".

    Attributes: verdict: "evidence of pruning", "evidence of revival", both; or "no evidence found";
        or "could not tell", where nothing could be tested, or some matrices lie on a quantisation
        grid and the others show no evidence. findings: evidence first. unknown: what could not be
        told. untested: matrices that only the first pass saw. measured: what all this rests on.
    """

    verdict: tuple[str, ...]
    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]
    untested: tuple[str, ...]
    measured: Measurement

    @property
    def exit_code(self) -> int:
        """0 no evidence, 1 evidence, 2 could not tell, or damaged weights and no evidence beside
        them.
        """
        if PRUNING in self.verdict or REVIVAL in self.verdict:
            return 1
        damaged = any(f.kind == "damage" for f in self.findings)
        return 2 if damaged or self.verdict == (UNTOLD,) else 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        a = self.measured
        changed = [d for d in a.differences or () if d.changed]
        return {
            "checkpoint": a.source,
            "variant": a.variant,
            "verdict": self.verdict,
            "could_not_tell": self.unknown,
            "findings": [asdict(f) for f in self.findings],
            "layers": [_as_dict(x) for x in a.layers],
            "differences": None if a.differences is None else [asdict(d) for d in changed],
            "tensors": len(a.scans),
            "matrices": sum(s.is_matrix for s in a.scans),
            "untested": self.untested,
            "unread": a.unread,
            "other_copies": a.others,
            "bytes": a.bytes,
            "scan_seconds": round(a.scan_seconds, 3),
            "seconds": round(a.seconds, 3),
            "version": version(),
        }


def _as_dict(x: Layer) -> dict[str, Any]:
    r = x.recoverability
    signs = {"all": asdict(r.signs), "kept": asdict(r.kept)} if r and r.signs.n else None
    return {
        "name": x.name,
        "shape": x.scan.shape,
        "dtype": x.scan.dtype,
        "why": x.why,
        "found": x.found,
        "zeros": x.scan.zeros,
        "tests": [asdict(e) for e in x.evidence],
        "zero_pattern": x.zeros,
        "recoverability": signs,
    }


def judge(a: Measurement) -> AuditReport:
    """Findings, open questions and the verdict of an audit."""
    findings = find_all(a)
    kinds = {f.kind for f in findings}
    words = (("pruning", PRUNING), ("revival", REVIVAL))
    verdict = tuple(said for kind, said in words if kind in kinds)
    open_ = tested_nothing(a) or untold(a)
    tested = {x.name for x in a.layers}
    untested = tuple(
        s.name for s in a.scans if s.is_matrix and s.zeros < s.numel and s.name not in tested
    )
    return AuditReport(
        verdict or ((UNTOLD,) if open_ else (NOTHING,)),
        findings,
        find_unknown(a, findings, untested),
        untested,
        a,
    )


def audit(
    model: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    deep: bool = False,
    seed: int = 0,
    revision: str | None = None,
    base_revision: str | None = None,
    variant: str | None = None,
) -> AuditReport:
    """Look for what pruning and revival leave in a checkpoint's values.

    No architecture, original or GPU is needed.

    Args: model, base: a .safetensors file, an index of shards, a component or pipeline folder,
        "pocket" or a hub id. deep: test every matrix, not a sample. seed: of the sample. revision,
        base_revision: of hub models. variant: the only copy of a folder's weights to look at, as
        "fp16", the default's of components without it; None looks at all copies. Of the base the
        same is taken, where it has it.

    Raises:
        ConceptReviveError: an argument of another type, or what cannot be read.
    """
    where = 'give a path, "pocket" or a hub id'
    expect(model, (str, os.PathLike), "model", where)
    expect(base, (str, os.PathLike, type(None)), "base", where)
    expect(deep, bool, "deep", "give True or False")
    expect(seed, int, "seed", "give a whole number")
    if isinstance(seed, bool) or not 0 <= seed < SEEDS:
        raise ConceptReviveError(f"seed is {seed}: give a whole number from 0 to 2⁶³ − 1")
    for name, value in (("revision", revision), ("base_revision", base_revision)):
        expect(value, (str, type(None)), name, "give a branch, a tag or a commit of the hub model")
    expect(variant, (str, type(None)), "variant", "give the name of a copy, as 'fp16'")
    return judge(
        measure(
            model,
            base=base,
            deep=deep,
            seed=seed,
            revision=revision,
            base_revision=base_revision,
            variant=variant,
        )
    )
