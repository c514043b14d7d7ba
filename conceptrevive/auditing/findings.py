"""What an audit's measurements mean, in plain words: findings, notes on what is harmless, and what could not be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from conceptrevive.auditing.measurement import COARSE, Layer, Measurement, calibration

NOISE = "noise in place of weights"

GAP = 0.01  # 0.1 % quantile over median of |w|: about 0.002 in a Gaussian, above it small weights are missing


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        kind: "pruning" or "revival" (both count for the verdict), "damage", or "note" (known and harmless).
        title: in a few words. text: what it means. layers: where.
        effect, unit: its size in those layers together. log_p: log10 of the smallest p-value, before correction.
    """

    kind: str
    title: str
    text: str
    layers: tuple[str, ...]
    effect: float | None = None
    unit: str = ""
    log_p: float | None = None


def _names(items: Iterable) -> tuple[str, ...]:
    return tuple(x.name if hasattr(x, "name") else x.scan.name for x in items)


def _evidence(layers: list[Layer], test: str) -> list:
    return [e for x in layers for e in x.evidence if e.test == test]


def _zeros(layers: list[Layer]) -> Finding:
    found = _evidence(layers, "zeros")
    entries = sum(x.scan.numel for x in layers)
    share = sum(x.scan.zeros for x in layers) / entries
    wanda = sum((x.zeros or {}).get("wanda", 0) for x in layers)
    gap = sum(e.detail.get("gap", 0) > GAP for e in found)
    text = f"{share:.2%} of these layers' weights are exactly 0, scattered, which neither rounding nor underflow explains."
    if wanda:
        text += (
            f" In {wanda} of {len(layers)} the zeros are spread evenly over rows and crowd into columns: each row gave up "
            "about as many, of columns that activations single out, as Wanda scores choose them."
        )
    if gap > len(layers) / 2:
        text += " The smallest weights are missing, as after pruning for size: pruning need not be unlearning."
    else:
        text += " Small weights are still there, so these were not removed for being small: unlearning does that, not compression by size."
    shapes = {x.scan.shape[1] / x.scan.shape[0] for x in layers if len(x.scan.shape) == 2}
    if len(layers) > 1 and len(shapes) == 1:
        text += (
            f" All these matrices are {shapes.pop():g} times as wide as high: one family of layers."
        )
    tried = [x.recoverability for x in layers if x.recoverability and x.recoverability.signs.n]
    if tried:
        n = sum(r.signs.n for r in tried)
        value = sum(r.signs.value * r.signs.n for r in tried) / n
        text += (
            f" Hidden surviving weights like the pruned ones got the right sign back in {value:.0%} of {n} cases "
            "(a coin: 50%), from the weights around them alone"
            + (
                "; so could the pruned ones."
                if min(r.signs.interval[0] for r in tried) > 0.5
                else "."
            )
        )
    return Finding(
        "pruning",
        "scattered exact zeros",
        text,
        _names(layers),
        share,
        "of the weights",
        min(e.log_p for e in found),
    )


def _repeats(layers: list[Layer]) -> Finding:
    found = _evidence(layers, "repeats")
    top = sum(e.detail["at_maximum"] * e.detail["rows"] for e in found) / sum(
        e.detail["rows"] for e in found
    )
    share = sum(e.effect for e in found) / len(found)
    how = (
        "the row's largest, the mark of neuron-max revival"
        if top > 0.5
        else "one value of the row, as revival by averages"
    )
    text = f"In {share:.0%} of these layers' rows one magnitude stands many times over: {how}. Training leaves none such."
    return Finding(
        "revival",
        "repeated magnitudes",
        text,
        _names(layers),
        share,
        "of the rows",
        min(e.log_p for e in found),
    )


def _noise(layers: list[Layer]) -> Finding:
    found = _evidence(layers, "noise")
    effect = max(e.effect for e in found)
    text = (
        "Small weights crowd into some columns, more than on any clean matrix this was calibrated on: as if large weights "
        "there had been replaced with noise."
    )
    return Finding(
        "pruning",
        NOISE,
        text,
        _names(layers),
        effect,
        "excess variance",
        min(e.log_p for e in found),
    )


def _differences(a: Measurement) -> list[Finding]:
    words = {
        "zeroed": (
            "pruning",
            "zeroed since the base",
            "weights of the base are exactly 0 here, scattered, and all others as they were",
        ),
        "revived": (
            "revival",
            "raised since the base",
            "weights of the base were set to ± the largest of their row, and all others left",
        ),
        "replaced": (
            "pruning",
            "replaced since the base",
            "scattered weights of the base were replaced by unrelated ones, and all others left",
        ),
    }
    out = []
    for kind, (evidence, title, text) in words.items():
        if found := [d for d in a.differences or () if d.kind == kind]:
            share = sum(d.changed for d in found) / sum(d.of for d in found)
            out.append(
                Finding(
                    evidence,
                    title,
                    f"{share:.2%} of these layers: {text}.",
                    _names(found),
                    share,
                    "of the weights",
                )
            )
    changed = [d for d in a.differences or () if d.changed and not d.kind]
    if changed:
        out.append(
            Finding(
                "note",
                "other differences from the base",
                "Changed as training or conversion changes weights.",
                _names(changed),
            )
        )
    if a.unmatched:
        out.append(
            Finding(
                "note",
                "not in both",
                "Only one of checkpoint and base has these tensors.",
                a.unmatched,
            )
        )
    return out


def _notes(a: Measurement) -> list[Finding]:
    flagged = {
        k: [x for x in a.layers if any(e.detail.get(k) for e in x.evidence)]
        for k in ("clipped", "structured")
    }
    dead = [s for s in a.scans if s.dead_rows and s.zeros < s.numel and s.is_matrix]
    found = [
        (
            "all zeros",
            "Zero-initialised or unused tensors; nothing was removed from among others.",
            [s for s in a.scans if s.zeros == s.numel and s.numel > 1],
        ),
        (
            "rows of zeros",
            "Whole rows are 0: padding, tokens never seen, or units removed on purpose.",
            dead,
        ),
        (
            "blocks of zeros",
            "Zeros in blocks or triangles belong to the architecture (masks, grouped layers).",
            flagged["structured"],
        ),
        ("coarse grid", "Weights were rounded to few levels, as quantisation does.", _coarse(a)),
        (
            "clipped",
            "One magnitude is shared by most rows: clipping, or a table such as sinusoids.",
            flagged["clipped"],
        ),
    ]
    return [Finding("note", title, text, _names(where)) for title, text, where in found if where]


def find_all(a: Measurement) -> tuple[Finding, ...]:
    """Everything found, evidence first."""
    by_test = {t: [x for x in a.layers if t in x.found] for t in ("zeros", "repeats", "noise")}
    # Zeros filled and large entries put in shift what "small" means, so there they explain the crowding.
    by_test["noise"] = [x for x in by_test["noise"] if x.found == ("noise",)]
    make = {"zeros": _zeros, "repeats": _repeats, "noise": _noise}
    out = [make[t](layers) for t, layers in by_test.items() if layers] + _differences(a)
    if bad := [s for s in a.scans if s.nonfinite]:
        text = f"{sum(s.nonfinite for s in bad)} rows hold NaN or Inf: the file is damaged or training failed."
        out.append(Finding("damage", "NaN or Inf", text, _names(bad)))
    order = ("pruning", "revival", "damage", "note")
    return tuple(sorted(out + _notes(a), key=lambda f: order.index(f.kind)))


def _coarse(a: Measurement) -> list:
    return [s for s in a.scans if s.is_matrix and s.levels < COARSE and s.zeros < s.numel]


def find_unknown(
    a: Measurement, findings: Iterable[Finding], untested: tuple[str, ...]
) -> tuple[str, ...]:
    """What the audit could not tell, a sentence each."""
    out, coarse = [], _coarse(a)
    noisy = any(f.title == NOISE for f in findings)
    weak = [p for p in calibration()["power"] if p["test"] == "noise" and p["rate"] < 0.8]
    if not noisy and weak:
        first = min(weak, key=lambda p: (p["sigma"], -p["skill_ratio"]))
        out.append(
            f"noise fills: of checkpoints filled with noise of {first['sigma']:g} of the weights' spread at a skill ratio of "
            f"{first['skill_ratio']:g}, this audit found {first['rate']:.0%} (n = {first['n']}); larger noise hides better"
        )
    out.append(
        "revival with sampled magnitudes repeats no value and leaves none of these marks once no zeros are left"
    )
    if coarse:
        out.append(f"{len(coarse)} layers on a coarse grid: their zeros may be rounding or pruning")
    if outside := [
        x
        for x in a.layers
        for e in x.evidence
        if e.test == "noise" and e.detail.get("even") and e.detail.get("outside")
    ]:
        out.append(
            f"noise fills in {len(outside)} layers whose small weights crowd as heavy decay makes them"
        )
    if broken := [x for x in a.layers if not x.evidence]:
        out.append(f"{len(broken)} layers with NaN or Inf, {broken[0].scan.name} first")
    if untested:
        out.append(
            f"{len(untested)} of {sum(s.is_matrix for s in a.scans)} matrices had the first pass only (--deep tests all)"
        )
    if a.unread:
        out.append(f"{len(a.unread)} tensors of integers or booleans, which are not read")
    if a.pickles:
        out.append(f"{len(a.pickles)} pickle files, which are not opened, {a.pickles[0]} first")
    return tuple(out)
