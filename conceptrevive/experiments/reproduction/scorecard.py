"""The scorecard: every claim of the paper beside what was measured here, and what that decides."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, JsonValue

from conceptrevive.experiments.cells import read_json
from conceptrevive.experiments.reproduction.claims import CLAIMS, Claim
from conceptrevive.experiments.reproduction.contrasts import Contrast, holm
from conceptrevive.experiments.reproduction.study import Study

STRICT = ConfigDict(extra="forbid", strict=True)
#: The chance of a false decision: of one claim, and after Holm's correction of any in the family.
LEVEL = 0.05
#: What correction is made, over what.
METHOD = "Holm (1979), family-wise error 0.05, over all claims measured here"

Verdict = Literal["same", "opposite", "not decided", "not measured"]


@dataclass(frozen=True)
class Line:
    """A claim with its verdict.

    Attributes:
        key, where, what, experiment, direction, paper, single: as in `Claim`.
        ours: the contrast measured here; None where it was not.
        missing: why it was not; "" where it was.
        verdict: "same" or "opposite" where the 95 % interval leaves out 0, else "not decided".
        p_corrected, corrected: the same after correction for all claims together.
        why: an explanation, where the direction differs or is not decided.
    """

    __pydantic_config__ = STRICT

    key: str
    where: str
    what: str
    experiment: str
    direction: int
    paper: tuple[float | None, float | None]
    single: bool
    ours: Contrast | None
    missing: str
    verdict: Verdict
    p_corrected: float | None
    corrected: Verdict
    why: str


@dataclass(frozen=True)
class Scorecard:
    """All claims.

    Attributes:
        lines: one a claim. family: how many were measured and are corrected for together: all but
            those on times, which are no draws.
        method: the correction. intervals: how many 95 % intervals the published experiments hold.
        sources: per experiment profile, model, sampling, seed, command, versions, device, threads
            and date of what was read.
    """

    __pydantic_config__ = STRICT

    lines: tuple[Line, ...]
    family: int
    method: str
    intervals: int
    sources: Mapping[str, Mapping[str, JsonValue]]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Scorecard:
        """From a published file. Raises ConceptReviveError naming the file and what it lacks."""
        return read_json(path, cls)

    def count(self, verdict: Verdict, corrected: bool = False) -> int:
        """How many claims have a verdict, plainly or after correction."""
        return sum((x.corrected if corrected else x.verdict) == verdict for x in self.lines)

    def unexplained(self) -> tuple[str, ...]:
        """Keys of claims that differ or are not decided, plainly or corrected, without a why."""
        open_ends = ("opposite", "not decided")
        return tuple(
            x.key for x in self.lines if not x.why and {x.verdict, x.corrected} & {*open_ends}
        )


def read_studies(folder: Path, names: Sequence[str]) -> dict[str, Study]:
    """The experiments of these names that were published in a folder.

    Raises ConceptReviveError for a file that is none.
    """
    files = {name: folder / f"{name}.json" for name in names}
    return {name: Study.read(file) for name, file in files.items() if file.exists()}


def scorecard(
    studies: Mapping[str, Study],
    why: Mapping[tuple[str, Verdict], str],
    claims: Sequence[Claim] = CLAIMS,
) -> Scorecard:
    """Every claim beside what the studies measured.

    Args:
        studies: experiment → what was published; a claim of another one is "not measured".
        why: claim and "opposite" or "not decided" → explanation, told where that is the verdict.
    """
    found = {c.key: c.measure(studies[c.experiment]) for c in claims if c.experiment in studies}
    ours = {key: contrast for key, contrast in found.items() if contrast is not None}
    corrected = holm({key: x.p for key, x in ours.items() if x.p is not None})
    lines = tuple(
        _line(c, ours.get(c.key), corrected.get(c.key), c.experiment in studies, why)
        for c in claims
    )
    sources: dict[str, dict[str, JsonValue]] = {
        name: {
            "profile": s.profile,
            "model": s.model,
            "sampling": s.sampling,
            "seed": s.seed,
            "command": s.command,
            "versions": dict(s.versions),
            "device": s.device,
            "threads": s.threads,
            "date": s.date,
        }
        for name, s in studies.items()
    }
    return Scorecard(
        lines, len(corrected), METHOD, sum(s.intervals for s in studies.values()), sources
    )


def _line(
    claim: Claim,
    ours: Contrast | None,
    p_corrected: float | None,
    published: bool,
    why: Mapping[tuple[str, Verdict], str],
) -> Line:
    verdict: Verdict = "not measured"
    corrected: Verdict = "not measured"
    missing = "its rows are not among the published ones" if published else "not published"
    if ours is not None:
        direction = _same(claim.direction, ours)
        verdict = direction if 0 < ours.interval[0] or ours.interval[1] < 0 else "not decided"
        decided = verdict != "not decided" if p_corrected is None else p_corrected < LEVEL
        corrected = direction if decided else "not decided"
        missing = ""
    return Line(
        claim.key,
        claim.where,
        claim.what,
        claim.experiment,
        claim.direction,
        claim.paper,
        claim.single,
        ours,
        missing,
        verdict,
        p_corrected,
        corrected,
        why.get((claim.key, corrected if verdict == "same" else verdict), ""),
    )


def _same(direction: int, ours: Contrast) -> Verdict:
    return "same" if direction * sum(ours.interval) > 0 else "opposite"
