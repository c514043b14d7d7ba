"""Every generated part of the book is what the results and the code say today."""

from __future__ import annotations

import pytest

from pages import (
    architecture,
    at_scale,
    benchmarks,
    card_figures,
    experiment_figures,
    experiments,
    model_card,
    scorecard,
)
from pages.tables import ROOT, difference, table

COMMITTED = ROOT / "book/generated"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Pages and figures are written to a temporary folder."""
    for module in (at_scale, benchmarks, experiments, model_card, scorecard):
        monkeypatch.setattr(module, "GENERATED", tmp_path)
    for module in (benchmarks, card_figures, experiment_figures):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def test_the_pages_are_those_of_the_results(elsewhere):
    model_card.main()
    benchmarks.main()
    scorecard.main(out=elsewhere)
    experiments.main()
    at_scale.main()
    architecture.write(elsewhere / "architecture.png", elsewhere / "architecture.md")
    written = sorted(path.name for path in elsewhere.glob("*.md"))
    assert "phenomenon.md" in written and "solvers.md" in written
    for name in written:
        now = (elsewhere / name).read_text(encoding="utf-8")
        assert now == (COMMITTED / name).read_text(encoding="utf-8"), f"{name}: run `make pages`"
    assert (elsewhere / "scorecard.json").read_text(encoding="utf-8") == (
        ROOT / "results/laptop/scorecard.json"
    ).read_text(encoding="utf-8"), "run `make pages`"
    pictures = {path.name for path in (elsewhere / "book/images").iterdir()}
    committed = {path.name for path in (ROOT / "book/images").glob("results-*.png")}
    assert pictures == committed | {
        "benchmarks.png", "phenomenon.png", "progress.png", "spectra.png",
    }  # fmt: skip


def test_cells_of_the_tables():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    assert difference((0.314, (0.27, -0.351))) == "+0.31 [+0.27, -0.35]"
