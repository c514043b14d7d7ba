"""What the marks of pruning, revival and noise fills mean where they were found, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conceptrevive.auditing.measurement import Layer
from conceptrevive.detectors.evidence import Evidence

NOISE = "noise in place of weights"

#: 0.1 % quantile over median of |w|: about 0.002 in a Gaussian; above it small weights are missing.
GAP = 0.01


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        kind: "pruning" or "revival" (both count for the verdict), "damage", or "note" (known and
            harmless).
        title: in a few words. text: what it means. layers: where.
        effect, unit: its size in those layers together.
        log_p: log10 of the smallest p-value, before correction.
    """

    kind: str
    title: str
    text: str
    layers: tuple[str, ...]
    effect: float | None = None
    unit: str = ""
    log_p: float | None = None


def find_marks(layers: Sequence[Layer]) -> list[Finding]:
    """A finding for each test that counts somewhere."""
    by_test = {test: [x for x in layers if test in x.found] for test in ("zeros", "repeats")}
    # Zeros filled and large entries put in shift what "small" means, and explain the crowding.
    by_test["noise"] = [x for x in layers if x.found == ("noise",)]
    words = {"zeros": _zeros, "repeats": _repeats, "noise": _noise}
    return [words[test](found) for test, found in by_test.items() if found]


def _names(layers: Sequence[Layer]) -> tuple[str, ...]:
    return tuple(x.name for x in layers)


def _answers(layers: Sequence[Layer], test: str) -> list[Evidence]:
    return [e for x in layers for e in x.evidence if e.test == test]


def _zeros(layers: Sequence[Layer]) -> Finding:
    found = _answers(layers, "zeros")
    share = sum(x.scan.zeros for x in layers) / sum(x.scan.numel for x in layers)
    parts = [
        f"{share:.2%} of these layers' weights are exactly 0, scattered, which neither rounding "
        "nor underflow explains.",
        _fingerprint(layers),
        _sizes(layers, found),
        _family(layers),
        _signs(layers),
    ]
    return Finding(
        "pruning",
        "scattered exact zeros",
        " ".join(p for p in parts if p),
        _names(layers),
        share,
        "of the weights",
        min(e.log_p for e in found),
    )


def _fingerprint(layers: Sequence[Layer]) -> str:
    wanda = sum((x.zeros or {}).get("wanda", 0) for x in layers)
    if not wanda:
        return ""
    return (
        f"In {wanda} of {len(layers)} the zeros are spread evenly over rows and crowd into "
        "columns: each row gave up about as many, of columns that activations single out, as "
        "Wanda scores choose them."
    )


def _sizes(layers: Sequence[Layer], found: Sequence[Evidence]) -> str:
    if sum(e.detail.get("gap", 0) > GAP for e in found) > len(layers) / 2:
        return (
            "The smallest weights are missing, as after pruning for size: pruning need not be "
            "unlearning."
        )
    return (
        "Small weights are still there, so these were not removed for being small: unlearning does "
        "that, not compression by size."
    )


def _family(layers: Sequence[Layer]) -> str:
    shapes = {x.scan.shape[1] / x.scan.shape[0] for x in layers if len(x.scan.shape) == 2}
    if len(layers) < 2 or len(shapes) != 1:
        return ""
    return f"All these matrices are {min(shapes):g} times as wide as high: one family of layers."


def _signs(layers: Sequence[Layer]) -> str:
    tried = [x.recoverability for x in layers if x.recoverability and x.recoverability.signs.n]
    if not tried:
        return ""
    n = sum(r.signs.n for r in tried)
    value = sum(r.signs.value * r.signs.n for r in tried) / n
    told = min(r.signs.interval[0] for r in tried) > 0.5
    return (
        f"Hidden surviving weights like the pruned ones got the right sign back in {value:.0%} of "
        f"{n} cases (a coin: 50%), from the weights around them alone"
        + ("; so could the pruned ones." if told else ".")
    )


def _repeats(layers: Sequence[Layer]) -> Finding:
    found = _answers(layers, "repeats")
    rows = sum(e.detail["rows"] for e in found)
    top = sum(e.detail["at_maximum"] * e.detail["rows"] for e in found) / rows
    share = sum(e.effect for e in found) / len(found)
    how = (
        "the row's largest, the mark of neuron-max revival"
        if top > 0.5
        else "one value of the row, as revival by averages"
    )
    return Finding(
        "revival",
        "repeated magnitudes",
        f"In {share:.0%} of these layers' rows one magnitude stands many times over: {how}. "
        "Training leaves none such.",
        _names(layers),
        share,
        "of the rows",
        min(e.log_p for e in found),
    )


def _noise(layers: Sequence[Layer]) -> Finding:
    found = _answers(layers, "noise")
    return Finding(
        "pruning",
        NOISE,
        "Small weights crowd into some columns, more than on any clean matrix this was calibrated "
        "on: as if large weights there had been replaced with noise.",
        _names(layers),
        max(e.effect for e in found),
        "excess variance",
        min(e.log_p for e in found),
    )
