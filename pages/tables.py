"""Where generated parts of the book are written, and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
GENERATED = ROOT / "book/generated"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def made_by(result: Mapping[str, Any]) -> str:
    """Where a table's numbers come from."""
    v = result["versions"]
    return (
        f"\nMeasured {result['date'][:10]} by `{result['command']}` on {result['device']} "
        f"(seed {result['seed']}, torch {v['torch']}, diffusers {v['diffusers']}).\n"
    )
