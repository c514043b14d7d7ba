"""What an audit could not tell, a sentence each: a verdict is about what was tested and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conceptrevive.auditing.marks import NOISE, Finding
from conceptrevive.auditing.measurement import Layer, Measurement
from conceptrevive.auditing.selection import is_coarse
from conceptrevive.auditing.significance import calibration
from conceptrevive.checkpoints.dtypes import why_unread

FOUND_MOSTLY = 0.8  # rates below are said


def on_grids(a: Measurement) -> tuple[str, ...]:
    """Matrices on a quantisation grid, as tested or, where they were not, as seen in passing."""
    tested = {x.name for x in a.layers}
    told = [x.name for x in a.layers if x.on_grid]
    return tuple(told + [s.name for s in a.scans if s.name not in tested and is_coarse(s)])


def untold(a: Measurement) -> tuple[str, ...]:
    """Matrices on a grid that differ from a base's or were compared with none."""
    same = {d.name for d in a.differences or () if not d.changed}
    return tuple(n for n in on_grids(a) if n not in same)


def tested_nothing(a: Measurement) -> bool:
    """Whether no test had anything to work on, and no tensor of a base either."""
    return not a.differences and not any(x.evidence and not x.on_grid for x in a.layers)


def find_unknown(
    a: Measurement, findings: Sequence[Finding], untested: tuple[str, ...]
) -> tuple[str, ...]:
    """What the audit could not tell; first why, if it tested nothing."""
    return tuple(_unknown(a, findings, untested))


def _unknown(
    a: Measurement, findings: Sequence[Finding], untested: tuple[str, ...]
) -> Iterator[str]:
    matrices = sum(s.is_matrix for s in a.scans)
    if tested_nothing(a):
        yield f"nothing could be tested: {_why_nothing(a, matrices)}"
    if grids := on_grids(a):
        yield (
            f"{len(grids)} of {matrices} matrices lie on a quantisation grid: their zeros and "
            "repeated magnitudes may be rounding, pruning or both; audit the weights as they were "
            "before they were quantised"
        )
    if not tested_nothing(a):
        yield from _missed(a.layers, findings)
    if broken := [x for x in a.layers if not x.evidence]:
        yield f"{len(broken)} layers with NaN or Inf, {broken[0].name} first"
    if untested:
        yield (f"{len(untested)} of {matrices} matrices had the first pass only (--deep tests all)")
    for dtype in sorted(set(a.unread.values())):
        names = [n for n, d in a.unread.items() if d == dtype]
        yield f"{_tensors(names)} of {dtype} ({why_unread(dtype)}), not read: {names[0]}" + (
            " first" if len(names) > 1 else ""
        )
    if a.others:
        yield (
            f"{len(a.others)} file{'s' * (len(a.others) > 1)} of other copies of the weights than "
            f"{_variant(a)}, not looked at, {a.others[0]} first"
        )
    if a.pickles:
        yield f"{len(a.pickles)} pickle files, which are not opened, {a.pickles[0]} first"


def _variant(a: Measurement) -> str:
    return f"the variant {a.variant}" if a.variant else "the default"


def _why_nothing(a: Measurement, matrices: int) -> str:
    if not matrices:
        return "there is no matrix of floating-point weights of at least 4 × 4"
    if not a.layers:
        return "every matrix is all zeros"
    return "every matrix tested lies on a quantisation grid or holds NaN or Inf"


def _tensors(names: Sequence[str]) -> str:
    return f"{len(names)} tensor{'s' * (len(names) > 1)}"


def _missed(layers: Sequence[Layer], findings: Sequence[Finding]) -> Iterator[str]:
    """What the tests are known to miss."""
    weak = [p for p in calibration()["power"] if p["test"] == "noise" and p["rate"] < FOUND_MOSTLY]
    if weak and not any(f.title == NOISE for f in findings):
        first = min(weak, key=lambda p: (p["sigma"], -p["skill_ratio"]))
        yield (
            f"noise fills: of checkpoints filled with noise of {first['sigma']:g} of the weights' "
            f"spread at a skill ratio of {first['skill_ratio']:g}, this audit found "
            f"{first['rate']:.0%} (n = {first['n']}); larger noise hides better"
        )
    yield (
        "revival with sampled magnitudes repeats no value and leaves none of these marks once no "
        "zeros are left"
    )
    noise = [e for x in layers if (e := x.about("noise"))]
    if outside := sum(bool(e.detail.get("even") and e.detail.get("outside")) for e in noise):
        yield (
            f"noise fills in {outside} layers whose small weights crowd as heavy decay makes them"
        )
    repeats = [e for x in layers if (e := x.about("repeats"))]
    if alike := sum(bool(e.detail.get("outside")) for e in repeats):
        yield f"revival in {alike} layers whose rows resemble one another, and so repeat themselves"
