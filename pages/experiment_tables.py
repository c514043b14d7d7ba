"""Tables of the published experiments: pooled rows, folded concepts, where numbers come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from conceptrevive.experiments.reproduction.contrasts import over_concepts
from conceptrevive.experiments.reproduction.study import Entry, Study
from pages.tables import difference, table

#: Kinds of pictures, in words.
KINDS = {"erased": "of the concept", "retained": "of others"}
LOCATED = "locating_seed"


def fold(title: str, text: str) -> str:
    """Text that a reader opens."""
    return f"\n:::{{dropdown}} {title}\n{text.strip()}\n:::\n"


def whole(text: str) -> str:
    """Text that is not broken into lines."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def figure(file: str, caption: str, alt: str) -> str:
    """A numbered figure of the folder `images`."""
    name = Path(file).stem
    return f"\n```{{figure}} {file}\n:name: {name}\n:alt: {alt}\n\n{caption}\n```\n"


def missing(name: str, profile: str = "laptop") -> str:
    """What stands where an experiment has no results."""
    return f"Not measured yet. `conceptrevive reproduce {name} --profile {profile}` measures it.\n"


def pooled(study: Study, recipes: Iterable[str] | None = None) -> str:
    """All concepts together: top-1 and its paired difference from the pruned model's, by kind."""
    names = [r for r in recipes if r in study.pooled] if recipes else list(study.pooled)
    if not names:
        return ""
    kinds = [k for k in KINDS if any(k in study.pooled[r].rates for r in names)]
    header = ["weights"]
    for kind in kinds:
        header += [f"top-1, {KINDS[kind]}", "minus pruned, 95 %"]
    rows = []
    for name in names:
        row, cells = study.pooled[name], [name]
        for kind in kinds:
            gain = row.minus_pruned.get(kind)
            cells += [
                f"{row.rates[kind]:.2f}" if kind in row.rates else "",
                whole(difference(gain)) if gain else "",
            ]
        rows.append(cells)
    return table(header, rows)


def by_concept(study: Study, recipes: Sequence[str] | None = None) -> str:
    """Folded: every concept's shares, a row a recipe; how wide their intervals are."""
    out = ""
    for kind, words in KINDS.items():
        mine = [
            e for e in study.entries if kind in e.rates and (not recipes or e.recipe in recipes)
        ]
        if not mine:
            continue
        concepts = list(dict.fromkeys(e.concept for e in mine))
        cells = {(e.recipe, e.concept): f"{e.rates[kind].value:.2f}" for e in mine}
        rows = [
            [recipe, *(cells.get((recipe, c), "") for c in concepts)]
            for recipe in dict.fromkeys(e.recipe for e in mine)
        ]
        text = _widths(mine, kind) + "\n\n" + table(["weights", *map(_word, concepts)], rows)
        out += fold(f"Every concept: top-1, pictures {words}", text)
    return out


def by_number(study: Study, key: str, digits: int) -> str:
    """A number of every concept, a row a recipe."""
    concepts = list(dict.fromkeys(e.concept for e in study.entries))

    def said(concept: str, recipe: str) -> str:
        told = study.entry(concept, recipe).numbers[key]
        value = told["value"] if isinstance(told, dict) else told
        return f"{float(str(value)):.{digits}f}"

    rows = [
        [r, *(said(c, r) for c in concepts)] for r in dict.fromkeys(e.recipe for e in study.entries)
    ]
    return table(["weights", *map(_word, concepts)], rows)


def _word(concept: str) -> str:
    """A concept's name, or the name of the file it is described in."""
    return Path(concept).stem


def _widths(entries: Sequence[Entry], kind: str) -> str:
    rates = [e.rates[kind] for e in entries]
    widest = max(r.interval[1] - r.interval[0] for r in rates)
    counts = sorted({r.n for r in rates})
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"n = {n} a cell; the widest 95 % interval is {widest:.2f} wide."


def averaged(study: Study, keys: Mapping[str, str], said: Callable[[Entry], str]) -> str:
    """Numbers of the entries, averaged over concepts, with Student's interval over these.

    Args:
        keys: number → column. said: the row an entry belongs to.
    """
    rows = []
    for name in dict.fromkeys(said(e) for e in study.entries):
        mine = [e for e in study.entries if said(e) == name]
        cells = [mean_of([_float(e.numbers.get(key)) for e in mine]) for key in keys]
        if any(cells):
            rows.append([name, *cells])
    return table(["", *keys.values()], rows) if rows else ""


def _float(value: object) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(str(value)) if known else None


def mean_of(found: Sequence[float | None]) -> str:
    """ "0.65 [0.61, 0.69]": the mean, and Student's interval where there are two or more."""
    values = [v for v in found if v is not None]
    if not values:
        return ""
    spread = over_concepts([(v, 0.0) for v in values])
    if spread is None:
        return f"{values[0]:.3g}"
    low, high = spread.interval
    form = "{:.1f} [{:.1f}, {:.1f}]" if abs(fmean(values)) >= 10 else "{:.2f} [{:.2f}, {:.2f}]"
    return form.format(fmean(values), low, high)


def provenance(study: Study) -> str:
    """n, seed, date, commit, device, command, way of drawing and time of what is shown."""
    entries = study.entries
    counts = sorted({e.n for e in entries if e.rates})
    commits = {c for e in entries if (c := commit_of(e))}
    seconds = sum(e.seconds for e in entries)
    v = study.versions
    told = [
        f"{len(entries)} cells",
        f"{_range(counts)} pictures a cell" if counts else "no pictures",
        f"{study.intervals} intervals" if study.intervals else "",
        f"seed {study.seed}",
        study.date[:10],
        *(f"commit `{c}`" for c in sorted(commits)),
        f"sampling `{study.sampling}`",
        f"{study.device}, {study.threads} thread{'s' * (study.threads != 1)} a process",
        f"{seconds / 60:.0f} minutes of one process" if seconds >= 90 else f"{seconds:.0f} seconds",
        f"torch {v.get('torch', '?')}, diffusers {v.get('diffusers', '?')}",
    ]
    return f"\n*Where this comes from:* `{study.command}`; {', '.join(filter(None, told))}.\n"


def commit_of(entry: Entry) -> str:
    """What a cell was measured at, which may be another commit than that of its publishing."""
    versions = entry.made.get("versions")
    return str(versions.get("commit", "")) if isinstance(versions, dict) else ""


def _range(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def contact_sheet(name: str, folder: Path) -> str:
    """Folded: the first picture of every cell, if there is a sheet."""
    if not (folder / f"{name}.png").exists():
        return ""
    alt = "A row of pictures for every kind of weights, a column for every concept."
    picture = f"```{{image}} ../results/{folder.name}/{name}.png\n:alt: {alt}\n```\n"
    return fold("Contact sheet: the first picture of every cell", picture)
