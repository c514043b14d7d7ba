"""An audit as text for a terminal, and as one HTML file: no scripts, no links out, light, dark and in print."""

from __future__ import annotations

import base64
import io
import math
import os
from html import escape

import torch
from PIL import Image

from conceptrevive.auditing.findings import Finding
from conceptrevive.auditing.measurement import Layer
from conceptrevive.auditing.verdict import AuditReport
from conceptrevive.files import replacing
from conceptrevive.version import version

PICTURED = 12  # layers with pictures; the table has all

SIGNS = {"pruning": "✂", "revival": "↥", "damage": "⚠", "note": "·"}

STYLE = """
:root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fff;--soft:#595959;--line:#c8c8c8;--mark:#0072b2;--warn:#a63c00}
@media (prefers-color-scheme:dark){:root{--ink:#ececec;--paper:#161616;--soft:#b0b0b0;--line:#4a4a4a;--mark:#56b4e9;--warn:#ff9d5c}}
@media print{:root{--ink:#000;--paper:#fff;--soft:#333;--line:#999;--mark:#0072b2;--warn:#8f3300}section,figure,tr{break-inside:avoid}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;padding:0 1rem}
h1,h2{line-height:1.2}.verdict{border-left:.5rem solid var(--mark);padding:.5rem 1rem;font-size:1.3rem;font-weight:600}
.verdict.some{border-color:var(--warn);border-left-style:double}.soft{color:var(--soft);font-size:.9rem}
section{margin:1.5rem 0}.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}
th,td{border:1px solid var(--line);padding:.2rem .5rem;text-align:right}th:first-child,td:first-child{text-align:left;
overflow-wrap:anywhere}.row{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:1rem}figure{margin:0}
@media (max-width:40rem){.row{grid-template-columns:1fr}}h3{overflow-wrap:anywhere;font-size:1rem;margin-bottom:.5rem}
figcaption{font-size:.8rem;color:var(--soft);overflow-wrap:anywhere}img{image-rendering:pixelated;border:1px solid var(--line);
background:#fff;max-width:100%}svg{max-width:100%;color:var(--ink)}code{overflow-wrap:anywhere}
"""


def clean(text: str) -> str:
    """Names as they can be shown: control characters and broken Unicode escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def _text(value: str) -> str:
    return escape(clean(str(value)))


def _power(log10: float) -> str:
    """The next power of ten above a p-value, e.g. "10⁻⁵"."""
    return "10" + str(math.ceil(log10)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def mask_map(image: torch.Tensor, scale: int = 2) -> str:
    """A zero mask as an inline PNG: zeros dark blue on white."""
    pixels = torch.where(
        image[..., None], torch.tensor([0, 63, 105]), torch.tensor([255, 255, 255])
    ).to(torch.uint8)
    picture = Image.fromarray(pixels.numpy())
    picture = picture.resize(
        (picture.width * scale, picture.height * scale), Image.Resampling.NEAREST
    )
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def histogram(
    values: torch.Tensor, what: str = "weights", spread: float | None = None, bins: int = 61
) -> str:
    """A distribution within ± 4 spreads (None: their own, and the bar around 0 is marked), on a logarithmic axis; inline SVG."""
    values = values[torch.isfinite(values)].double()
    own = float(values.std(correction=0)) if values.numel() else 0.0
    counts = torch.histc((values / (spread or own or 1)).clamp(-4, 4), bins, -4, 4)
    heights = (counts + 1).log() / (counts.max() + 1).log().clamp_min(1e-9) * 90
    bars, wide = [], 305 / bins
    for i, h in enumerate(heights.tolist()):
        marked = spread is None and i == bins // 2
        style = 'fill="var(--warn)" stroke="currentColor"' if marked else 'fill="var(--mark)"'
        bars.append(
            f'<rect x="{20 + wide * i:.1f}" y="{100 - h:.1f}" width="{wide - 1:.1f}" height="{h:.1f}" {style}/>'
        )
    ticks = "".join(
        f'<text x="{20 + 305 * (v + 4) / 8:.0f}" y="115" font-size="11" text-anchor="middle" fill="currentColor">{v}</text>'
        for v in range(-4, 5, 2)
    )
    where, count = (
        ("beyond 4", counts[-1]) if spread else ("in the bar around 0", counts[bins // 2])
    )
    label = f"Distribution of {values.numel()} {what}; {int(count)} of them {where}."
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 350 120" width="350" height="120">{"".join(bars)}'
        f'<line x1="15" x2="330" y1="100" y2="100" stroke="currentColor"/>{ticks}</svg>'
    )


def _numbers(f: Finding) -> str:
    parts = [f"{len(f.layers)} tensor{'s' * (len(f.layers) != 1)}"]
    if f.effect is not None:
        parts.append(f"effect {f.effect:.3g} {f.unit}")
    if f.log_p is not None:
        parts.append(f"p ≤ {_power(f.log_p)}")
    return ", ".join(parts)


def audit_text(report: AuditReport) -> str:
    """A few lines: verdict, findings, what could not be told."""
    a = report.measured
    lines = [f"{clean(a.source)}: {' and '.join(report.verdict)}"]
    for f in report.findings:
        where = clean(", ".join(f.layers[:2])) + (" …" if len(f.layers) > 2 else "")
        lines.append(f"  {SIGNS[f.kind]} {f.title} ({_numbers(f)}): {f.text} [{where}]")
    lines += [f"  ? could not tell: {clean(u)}" for u in report.unknown]
    lines.append(
        f"  {len(a.scans)} tensors read in {a.scan_seconds:.1f} s ({a.bytes / 1e6:.0f} MB), "
        f"{len(a.layers)} matrices tested, {a.seconds:.1f} s in all"
    )
    return "\n".join(lines)


def _row(x: Layer) -> str:
    by_test = {e.test: e for e in x.evidence}
    cells = [
        _text(x.scan.name),
        "×".join(map(str, x.scan.shape)),
        x.scan.dtype,
        x.why,
        f"{x.scan.zeros / x.scan.numel:.3%}",
    ]
    for test in ("zeros", "repeats", "noise"):
        e = by_test.get(test)
        cells.append(
            "–"
            if e is None
            else f"{e.effect:.3g} ({_power(e.log_p)}){' found' if test in x.found else ''}"
        )
    r = x.recoverability
    cells.append(f"{r.signs.value:.0%} of {r.signs.n}" if r and r.signs.n else "–")
    return "<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"


def _pictures(x: Layer) -> str:
    zeros = int(x.image.sum())
    alt = f"Map of the exact zeros in the first {x.image.shape[0]} rows and {x.image.shape[1]} columns: {zeros} of {x.image.numel()}."
    figures = [
        (
            f'<img src="{mask_map(x.image)}" alt="{alt}">',
            "exact zeros (dark); rows down, columns across",
        ),
        (
            histogram(x.values),
            "weights in units of their spread, logarithmic counts; the outlined bar is around 0",
        ),
    ]
    agreement = x.recoverability.agreement if x.recoverability else torch.empty(0)
    if len(agreement):
        label = "completed values at hidden weights; right of 0 the sign is right"
        caption = "what completion says about weights hidden from it, in units of its spread; right of 0 the sign is right"
        figures.append((histogram(agreement, label), caption))
    if x.residuals is not None:
        caption = (
            "small weights per column beyond the mean, in standard deviations of chance; clean columns lie within ± 3, "
            "noise-filled ones at the right, all beyond 4 in the last bar"
        )
        figures.append(
            (
                histogram(x.residuals, "columns by their small weights beyond the mean", 1.0, 17),
                caption,
            )
        )
    shown = "".join(
        f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"
        for picture, caption in figures
    )
    return f"<section><h3>{_text(x.scan.name)}</h3><div class=row>{shown}</div></section>"


def audit_html(report: AuditReport) -> str:
    """The whole report as one document."""
    a = report.measured
    found = (
        "".join(
            f"<section><h3>{SIGNS[f.kind]} {_text(f.title)} <span class=soft>({f.kind}; {_text(_numbers(f))})</span></h3>"
            f"<p>{_text(f.text)}</p><details><summary>Where</summary><p><code>{_text(', '.join(f.layers[:200]))}</code></p></details></section>"
            for f in report.findings
        )
        or "<p>Nothing.</p>"
    )
    shown = sorted(a.layers, key=lambda x: not x.found)[:PICTURED]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of {_text(a.source)}</title><style>{STYLE}</style></head><body><main>
<h1>Audit of <code>{_text(a.source)}</code></h1>
<p class="verdict{" some" * (report.exit_code == 1)}">{" and ".join(report.verdict)}</p>
<p class="soft">{len(a.scans)} tensors, {a.bytes / 1e6:.1f} MB, {len(a.layers)} of {sum(s.is_matrix for s in a.scans)} matrices
tested, {a.seconds:.1f} s; conceptrevive {version()}. The verdict rests on the weights' values alone. Finding nothing does not
mean that nothing was done.</p>
<h2>Findings</h2>{found}
<h2>Could not tell</h2><ul>{"".join(f"<li>{_text(u)}</li>" for u in report.unknown)}</ul>
<h2>Pictures</h2><p class="soft">Layers with findings first, {len(shown)} of {len(a.layers)}.</p>{"".join(map(_pictures, shown))}
<h2>Layers tested</h2><div class="scroll" tabindex="0" role="region" aria-label="Layers tested"><table>
<caption class="soft">Effect of each test, with the bound of its p-value; signs: share of hidden signs recovered.</caption>
<thead><tr>{"".join(f'<th scope="col">{h}</th>' for h in ("tensor", "shape", "dtype", "why", "zeros", "zero test", "repeats", "noise", "signs"))}
</tr></thead><tbody>{"".join(map(_row, a.layers))}</tbody></table></div>
<h2>Not tested</h2><p>{_text(", ".join(report.untested[:500]) or "None")}{" …" * (len(report.untested) > 500)}</p>
</main></body></html>
"""


def write_html(report: AuditReport, path: str | os.PathLike) -> None:
    """Write `audit_html`, to a temporary name first."""
    with replacing(path) as temporary:
        temporary.write_text(audit_html(report), encoding="utf-8")
