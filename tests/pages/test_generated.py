"""Every generated part of the book is what the results and the code say today."""

from __future__ import annotations

import pytest

from pages import architecture, benchmarks, card_figures, model_card
from pages.tables import ROOT, difference, table

COMMITTED = ROOT / "book/generated"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Pages and figures are written to a temporary folder."""
    for module in (benchmarks, model_card):
        monkeypatch.setattr(module, "GENERATED", tmp_path)
    for module in (benchmarks, card_figures):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def test_the_pages_are_those_of_the_results(elsewhere):
    model_card.main()
    benchmarks.main()
    architecture.write(elsewhere / "architecture.png", elsewhere / "architecture.md")
    written = sorted(path.name for path in elsewhere.glob("*.md"))
    assert "phenomenon.md" in written and "solvers.md" in written
    for name in written:
        now = (elsewhere / name).read_text(encoding="utf-8")
        assert now == (COMMITTED / name).read_text(encoding="utf-8"), f"{name}: run `make pages`"
    pictures = {path.name for path in (elsewhere / "book/images").iterdir()}
    assert pictures == {"benchmarks.png", "phenomenon.png", "progress.png", "spectra.png"}


def test_cells_of_the_tables():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    assert difference((0.314, (0.27, -0.351))) == "+0.31 [+0.27, -0.35]"
