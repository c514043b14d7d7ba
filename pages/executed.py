"""What a reader of an executed notebook would miss or wonder at.

    python -m pages.executed FOLDER

Names every fault of the notebooks in FOLDER and exits 1 if there is one: a figure without words,
words without their figure, standard error, a solution that its check does not call right, no
figure that moves, more time than a chapter may take. Writes `runtimes.json` beside them.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import sys
from datetime import datetime
from pathlib import Path

import nbformat

#: Seconds that one notebook may take on two cores, and all of them together. On a busy machine the
#: clock says what others did; then the processor time that `versions` prints is what counts.
BUDGET, ALTOGETHER = 180.0, 1500.0
#: Each takes one of the two cores: so many run at once (`make notebooks`).
AT_ONCE = 2
PICTURE = "image/png"
PROCESSOR = re.compile(r"^processor time +(\d+) s$", re.MULTILINE)


def figure_faults(cell: nbformat.NotebookNode) -> list[str]:
    """Pictures without name, caption and alt text, and the other way round."""
    data = [o.get("data", {}) for o in cell.get("outputs", [])]
    still = sum(PICTURE in d for d in data)
    moving = sum("cr-moving" in d.get("text/html", "") for d in data)
    told = cell.metadata.get("mystnb", {})
    figure, alt = told.get("figure", {}), told.get("image", {}).get("alt", "")
    name = figure.get("name", alt[:40])
    out = []
    if (still or moving) and not (figure.get("name") and figure.get("caption")):
        out.append(f"a figure without name or caption: {cell.source[:60]!r}")
    if still and not alt:
        out.append(f"a picture without alt text: {cell.source[:60]!r}")
    if alt and not still:
        out.append(f"no picture, but alt text: {name}")
    if figure and not (still or moving):
        out.append(f"no figure, but a caption: {name}")
    if still + moving > 1 and figure:
        out.append(f"{still + moving} figures under one name: {name}")
    return out


def shown(cell: nbformat.NotebookNode) -> str:
    """All text of a cell's outputs."""
    parts = []
    for output in cell.get("outputs", []):
        parts.append(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
    return "\n".join(parts)


def faults(notebook: nbformat.NotebookNode, is_chapter: bool = True) -> list[str]:
    """All faults of one executed notebook but its time."""
    out, moves = [], False
    for cell in notebook.cells:
        out += figure_faults(cell)
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                out.append(f"standard error: {output.text.strip()[:120]}")
            moves |= "cr-moving" in output.get("data", {}).get("text/html", "")
        if "solution" in cell.metadata.get("tags", []) and "✓ Right" not in shown(cell):
            out.append(f"a solution that is not right: {cell.source[:60]!r} {shown(cell)[:120]!r}")
    if is_chapter and not moves:
        out.append("no figure that moves")
    return out


def seconds(notebook: nbformat.NotebookNode) -> float:
    """From the first cell's start to the last one's end. 0 if it was not executed."""
    stamps = [cell.metadata.get("execution", {}) for cell in notebook.cells]
    starts = [s["iopub.execute_input"] for s in stamps if "iopub.execute_input" in s]
    ends = [s["shell.execute_reply"] for s in stamps if "shell.execute_reply" in s]
    if not starts or not ends:
        return 0.0
    first, last = (datetime.fromisoformat(t) for t in (min(starts), max(ends)))
    return (last - first).total_seconds()


def processor_seconds(notebook: nbformat.NotebookNode) -> float:
    """What `versions` printed; infinite where it did not."""
    found = [PROCESSOR.search(shown(cell)) for cell in notebook.cells]
    told = [float(match[1]) for match in found if match]
    return told[-1] if told else math.inf


def time_faults(times: dict[str, float]) -> list[str]:
    """Notebooks that were not timed or took too long."""
    out = [f"{name}: no times, it was not executed" for name, s in times.items() if s <= 0]
    out += [
        f"{name}: {s:.0f} s, more than {BUDGET:.0f}: draw less"
        for name, s in times.items()
        if s > BUDGET
    ]
    if (total := sum(times.values()) / AT_ONCE) > ALTOGETHER:
        out.append(f"all notebooks, {AT_ONCE} at once: {total:.0f} s, more than {ALTOGETHER:.0f}")
    return out


def main(folder: Path) -> int:
    """0 if every executed notebook in `folder` is as a reader expects it."""
    notebooks = {
        path.stem: nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb"))
    }
    found = [f"{name}: {what}" for name, book in notebooks.items() for what in faults(book)]
    times = {name: seconds(book) for name, book in notebooks.items()}
    found += time_faults(
        {name: min(times[name], processor_seconds(book)) for name, book in notebooks.items()}
    )
    if not notebooks:
        found.append(f"no notebooks in {folder}")
    (folder / "runtimes.json").write_text(
        json.dumps(
            {
                "seconds": {name: round(s, 1) for name, s in times.items()},
                "date": datetime.now().astimezone().isoformat(timespec="seconds"),
                "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                "python": platform.python_version(),
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )
    print(*found, sep="\n", end="\n" * bool(found), file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
