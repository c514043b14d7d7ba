"""Has a checkpoint been pruned or revived? From measurements to a verdict; "safe" is none."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

from conceptrevive.auditing.findings import Finding, find_all, find_unknown
from conceptrevive.auditing.measurement import Layer, Measurement, measure
from conceptrevive.version import version

PRUNING, REVIVAL, NOTHING = "evidence of pruning", "evidence of revival", "no evidence found"


@dataclass(frozen=True)
class AuditReport:
    """What `audit` found, in words and numbers; never "safe".

    Attributes:
        verdict: "evidence of pruning", "evidence of revival", both, or "no evidence found".
        findings: evidence first. unknown: what could not be told. untested: matrices that only the first pass saw.
        measured: what all this rests on.
    """

    verdict: tuple[str, ...]
    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]
    untested: tuple[str, ...]
    measured: Measurement

    @property
    def exit_code(self) -> int:
        """0 no evidence, 1 evidence, 2 damaged weights and no evidence beside them."""
        if self.verdict != (NOTHING,):
            return 1
        return 2 if any(f.kind == "damage" for f in self.findings) else 0

    def as_dict(self) -> dict:
        """JSON-ready."""
        a = self.measured
        layers = [
            {
                "name": x.scan.name,
                "shape": x.scan.shape,
                "dtype": x.scan.dtype,
                "why": x.why,
                "found": x.found,
                "zeros": x.scan.zeros,
                "tests": [asdict(e) for e in x.evidence],
                "zero_pattern": x.zeros,
                "recoverability": _signs(x),
            }
            for x in a.layers
        ]
        return {
            "checkpoint": a.source,
            "verdict": self.verdict,
            "could_not_tell": self.unknown,
            "findings": [asdict(f) for f in self.findings],
            "layers": layers,
            "differences": None
            if a.differences is None
            else [asdict(d) for d in a.differences if d.changed],
            "tensors": len(a.scans),
            "matrices": sum(s.is_matrix for s in a.scans),
            "untested": self.untested,
            "unread": a.unread,
            "bytes": a.bytes,
            "scan_seconds": round(a.scan_seconds, 3),
            "seconds": round(a.seconds, 3),
            "version": version(),
        }


def _signs(x: Layer) -> dict | None:
    r = x.recoverability
    return {"all": asdict(r.signs), "kept": asdict(r.kept)} if r and r.signs.n else None


def judge(a: Measurement) -> AuditReport:
    """Findings, open questions and the verdict of an audit."""
    findings = find_all(a)
    kinds = {f.kind for f in findings}
    verdict = tuple(
        words for kind, words in (("pruning", PRUNING), ("revival", REVIVAL)) if kind in kinds
    )
    tested = {x.scan.name for x in a.layers}
    untested = tuple(
        s.name for s in a.scans if s.is_matrix and s.zeros < s.numel and s.name not in tested
    )
    return AuditReport(
        verdict or (NOTHING,), findings, find_unknown(a, findings, untested), untested, a
    )


def audit(
    model: str | os.PathLike,
    *,
    base: str | os.PathLike | None = None,
    deep: bool = False,
    seed: int = 0,
    revision: str | None = None,
    base_revision: str | None = None,
) -> AuditReport:
    """Look for what pruning and revival leave in a checkpoint's values; no architecture, original or GPU needed.

    Args:
        model, base: a .safetensors file, an index of shards, a component or pipeline folder, "pocket" or a hub id.
        deep: test every matrix, not a sample. seed: of the sample. revision, base_revision: of hub models.

    Raises:
        ConceptReviveError: what cannot be read.
    """
    return judge(
        measure(
            model, base=base, deep=deep, seed=seed, revision=revision, base_revision=base_revision
        )
    )
