"""An audit as text for a terminal, and as one HTML file: no scripts, no links out, light, dark and
in print.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from conceptrevive.auditing.marks import Finding
from conceptrevive.auditing.measurement import TESTS, Layer
from conceptrevive.auditing.pictures import histogram, mask_map
from conceptrevive.auditing.verdict import AuditReport
from conceptrevive.errors import printable
from conceptrevive.files import replacing
from conceptrevive.version import version

PICTURED = 12  # layers with pictures; the table has all

SIGNS = {"pruning": "✂", "revival": "↥", "damage": "⚠", "note": "·"}

HEADINGS = ("tensor", "shape", "dtype", "why", "zeros", "zero test", "repeats", "noise", "signs")

CAPTIONS = {
    "zeros": "exact zeros (dark); rows down, columns across",
    "weights": "weights in units of their spread, logarithmic counts; the outlined bar is around 0",
    "signs": (
        "what completion says about weights hidden from it, in units of its spread; right of 0 the "
        "sign is right"
    ),
    "columns": (
        "small weights per column beyond the mean, in standard deviations of chance; clean columns "
        "lie within ± 3, noise-filled ones at the right, all beyond 4 in the last bar"
    ),
}


def clean(text: str) -> str:
    """Names as they can be shown, on one line: control characters and broken Unicode escaped."""
    return printable(text).replace("\n", "\\n")


def audit_text(report: AuditReport) -> str:
    """A few lines: verdict, findings, what could not be told."""
    a = report.measured
    which = f" (variant {clean(a.variant)})" if a.variant else ""
    lines = [f"{clean(a.source)}{which}: {' and '.join(report.verdict)}"]
    for f in report.findings:
        where = clean(", ".join(f.layers[:2])) + (" …" if len(f.layers) > 2 else "")
        lines.append(f"  {SIGNS[f.kind]} {f.title} ({_numbers(f)}): {f.text} [{where}]")
    lines += [f"  ? could not tell: {clean(u)}" for u in report.unknown]
    lines.append(
        f"  {len(a.scans)} tensors read in {a.scan_seconds:.1f} s ({a.bytes / 1e6:.0f} MB), "
        f"{len(a.layers)} matrices tested, {a.seconds:.1f} s in all"
    )
    return "\n".join(lines)


def audit_html(report: AuditReport) -> str:
    """The whole report as one document."""
    import jinja2

    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page.filters |= {"shown": clean, "numbers": _numbers, "pictures": _pictures, "cells": _cells}
    a = report.measured
    return page.from_string((Path(__file__).parent / "report.html.j2").read_text("utf-8")).render(
        report=report,
        a=a,
        matrices=sum(s.is_matrix for s in a.scans),
        pictured=sorted(a.layers, key=lambda x: not x.found)[:PICTURED],
        headings=HEADINGS,
        signs=SIGNS,
        version=version(),
    )


def write_html(report: AuditReport, path: str | os.PathLike[str]) -> None:
    """Write `audit_html`, to a temporary name first."""
    with replacing(path) as temporary:
        temporary.write_text(audit_html(report), encoding="utf-8")


def _power(log10: float) -> str:
    """The next power of ten above a p-value, e.g. "10⁻⁵"."""
    return "10" + str(math.ceil(log10)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _numbers(f: Finding) -> str:
    parts = [f"{len(f.layers)} tensor{'s' * (len(f.layers) != 1)}"]
    if f.effect is not None:
        parts.append(f"effect {f.effect:.3g} {f.unit}")
    if f.log_p is not None:
        parts.append(f"p ≤ {_power(f.log_p)}")
    return ", ".join(parts)


def _cells(x: Layer) -> Iterator[str]:
    """One row of the table, in the order of `HEADINGS`."""
    yield x.name
    yield "×".join(map(str, x.scan.shape))
    yield x.scan.dtype
    yield x.why
    yield f"{x.scan.zeros / x.scan.numel:.3%}"
    for test in TESTS:
        e = x.about(test)
        if e is None:
            yield "on a grid" if x.on_grid else "–"
        else:
            found = " found" if test in x.found else ""
            yield f"{e.effect:.3g} ({_power(e.log_p)}){found}"
    r = x.recoverability
    yield f"{r.signs.value:.0%} of {r.signs.n}" if r and r.signs.n else "–"


def _pictures(x: Layer) -> Iterator[tuple[object, str]]:
    """(picture as markup, its caption) of one layer."""
    from markupsafe import Markup

    rows, columns = x.image.shape
    alt = (
        f"Map of the exact zeros in the first {rows} rows and {columns} columns: "
        f"{int(x.image.sum())} of {x.image.numel()}."
    )
    image = Markup('<img src="{}" alt="{}">').format(mask_map(x.image), alt)
    yield image, CAPTIONS["zeros"]
    yield Markup(histogram(x.values)), CAPTIONS["weights"]
    if x.recoverability and len(x.recoverability.agreement):
        what = "completed values at hidden weights; right of 0 the sign is right"
        yield Markup(histogram(x.recoverability.agreement, what)), CAPTIONS["signs"]
    if x.residuals is not None:
        what = "columns by their small weights beyond the mean"
        yield Markup(histogram(x.residuals, what, 1.0, 17)), CAPTIONS["columns"]
