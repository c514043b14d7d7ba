"""The pages of results: what stands in them is what was published, and what is not is said."""

import re
from dataclasses import replace

import pytest
from PIL import Image

from conceptrevive.experiments.cells import Cell
from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS
from conceptrevive.experiments.reproduction.claims import CLAIMS
from conceptrevive.experiments.reproduction.scorecard import Scorecard, read_studies, scorecard
from conceptrevive.experiments.reproduction.sheet import GAP, LABELS, SIZE, row_of
from pages import experiment_figures, experiments
from pages import experiment_sections as sections
from pages import scorecard as cards
from pages.experiment_tables import by_concept, fold, mean_of, pooled, provenance
from pages.tables import ROOT, difference
from pages.why import WHY
from tests.pages.made_up import study_of, write


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    for module in (cards, experiments):
        monkeypatch.setattr(module, "GENERATED", tmp_path / "generated")
    monkeypatch.setattr(experiment_figures, "ROOT", tmp_path)
    return tmp_path


def outside_folds(text):
    """What a reader sees before opening anything."""
    return re.sub(r"^:::\{dropdown\}.*?^:::$", "", text, flags=re.M | re.S)


def test_every_experiment_is_shown_and_every_figure_drawn(elsewhere):
    write(elsewhere / "laptop")
    Image.new("RGB", (8, 8)).save(elsewhere / "laptop/objects.png")
    experiments.main(elsewhere / "laptop")
    shown = {p.stem: p.read_text(encoding="utf-8") for p in elsewhere.glob("generated/*.md")}
    for name in EXPERIMENTS:
        text = shown[f"experiment-{name}"]
        assert f"`conceptrevive reproduce {name}`" in text and "2026-11-28" in text
        assert "commit `0123456789ab`" in text and "seed 0" in text and "sampling `own`" in text
        # Long tables are folded: a telephone's page stays short.
        assert len(outside_folds(text).splitlines()) < 60, name
        for file, alt in re.findall(r"```\{figure\} (\S+)\n:name: \S+\n:alt: (.+)\n\n\S", text):
            assert (elsewhere / "book" / file).exists() and len(alt) > 40
    assert "../results/laptop/objects.png" in shown["experiment-objects"]
    assert "Contact sheet" not in shown["experiment-signs"]
    drawn = {p.name for p in (elsewhere / "book/images").iterdir()}
    figures = ("signs", "objects", "accuracy", "defence", "surface", "stability")
    assert drawn == {f"results-{name}.png" for name in figures}
    for name in sorted({c.experiment for c in CLAIMS} - {*EXPERIMENTS}):
        said = f"Not measured yet. `conceptrevive reproduce {name} --profile laptop` measures it.\n"
        assert shown[f"experiment-{name}"] == said


def test_the_time_of_all_experiments_stands_below_them():
    studies = {name: study_of(name) for name in ("signs", "objects")}  # 72 and 444 cells of 1.5 s
    told = experiments.overview(studies)
    assert "| 2026-11-28, 72 cells, 2 min |" in told and "444 cells, 11 min |" in told
    assert "All together 13 min of one process" in told and "meant for 3 h 00 min" in told
    assert "All together" not in experiments.overview({})


def test_every_published_cell_with_pictures_is_on_its_sheet():
    for name, study in read_studies(ROOT / "results/laptop", EXPERIMENTS).items():
        drawn = [e for e in study.entries if e.rates and e.settings["shown"]]
        if not drawn:
            continue
        cells = {
            (row_of(Cell(name, e.concept, e.recipe, settings=e.settings)), e.concept): e
            for e in drawn
        }
        rows, columns = (list(dict.fromkeys(x)) for x in zip(*cells, strict=True))
        most, step = max(min(e.n, e.settings["shown"]) for e in drawn), SIZE + GAP
        sheet = Image.open(ROOT / f"results/laptop/{name}.png").convert("RGB")
        top = sheet.height - len(rows) * step
        assert sheet.width == LABELS + len(columns) * most * step and 0 < top < SIZE, name
        for (row, column), e in cells.items():
            for i in range(min(e.n, e.settings["shown"])):
                x = LABELS + (columns.index(column) * most + i) * step
                y = top + rows.index(row) * step
                tile = sheet.crop((x, y, x + SIZE, y + SIZE))
                assert tile.getextrema() != ((255, 255),) * 3, f"{name}: {row}, {column}"


def test_without_results_nothing_is_claimed(elsewhere):
    experiments.main(elsewhere / "laptop")
    card = cards.main(elsewhere / "laptop")
    texts = [p.read_text(encoding="utf-8") for p in elsewhere.glob("generated/experiment-*.md")]
    assert texts and all(text.startswith("Not measured yet.") for text in texts)
    assert not (elsewhere / "book/images").exists()
    page = (elsewhere / "generated/scorecard.md").read_text(encoding="utf-8")
    assert page.startswith(f"None of the {len(CLAIMS)} claims has been measured yet.")
    assert page.count("| not measured |") == len(CLAIMS) and "same" not in page
    assert card.family == 0


def test_the_scorecards_page_has_both_numbers_and_both_verdicts(elsewhere):
    write(elsewhere / "laptop", ["objects"])
    card = cards.main(elsewhere / "laptop")
    assert Scorecard.read(elsewhere / "laptop/scorecard.json") == card
    line = next(x for x in card.lines if x.key == "max")
    page = (elsewhere / "generated/scorecard.md").read_text(encoding="utf-8")
    row = next(r for r in page.splitlines() if r.startswith("| Neuron max (NMS) revives |"))
    cells = [c.strip() for c in row.replace("\N{NO-BREAK SPACE}", " ").strip("|").split("|")]
    told = difference((line.ours.difference, line.ours.interval))
    found = f"{line.ours.before:.2f} → {line.ours.after:.2f}<br>{told}<br>192 pictures; "
    assert cells[1:] == ["same", "0.08 → 0.54", f"{found}{line.ours.up} : {line.ours.down}"]
    assert f"({card.family} p-values)" in page and "- Not measured yet: signs," in page


def test_a_why_is_told_where_it_applies():
    study = {"objects": study_of("objects")}
    verdicts = ("opposite", "not decided")
    why = {(c.key, verdict): f"reason of {c.key}" for c in CLAIMS for verdict in verdicts}
    card = scorecard(study, why)
    text = cards.page(card)
    assert card.unexplained() == ()
    for line in card.lines:
        is_open = {line.verdict, line.corrected} & {"opposite", "not decided"}
        assert (f": reason of {line.key}\n" in text) == bool(is_open), line.key


def test_every_claim_that_differs_or_is_not_decided_is_explained():
    file = ROOT / "results/laptop/scorecard.json"
    open_ends = Scorecard.read(file).unexplained()
    assert not open_ends, f"write in pages/why.py why: {', '.join(open_ends)}"
    assert {key for key, _ in WHY} <= {c.key for c in CLAIMS}


def test_pooled_rows_are_the_studys():
    study = study_of("objects")
    text = pooled(study, ["pruned", "neuron max 0.6"])
    rows = text.replace("\N{NO-BREAK SPACE}", " ").splitlines()
    one = study.pooled["neuron max 0.6"]
    assert rows[3] == (
        f"| neuron max 0.6 | {one.rates['erased']:.2f} | {difference(one.minus_pruned['erased'])} "
        f"| {one.rates['retained']:.2f} | {difference(one.minus_pruned['retained'])} |"
    )
    assert rows[2].endswith("|  |") and len(rows) == 4
    assert pooled(replace(study, pooled={})) == ""


def test_other_locators_are_shown_first_and_the_rest_is_folded():
    text = sections.locators(study_of("locators"))
    seen = outside_folds(text)
    assert "| SalUn revived |" in seen and "| Forget-It-All pruned |" in seen
    assert "random" not in seen and "full" not in seen
    assert "full methods (4 concepts)" in text and "| Scissorhands full, revived |" in text
    assert "| SalUn, half of all | 7,000 |" in text
    assert "| largest magnitudes | 7,000 | 0.20 | 0.20 | 0.20 | 0.20 | 0.20 |" in text
    assert "| SalUn full | 70 | 60 |" in text


def test_the_row_of_a_style_is_the_studys():
    study = study_of("styles")
    text = experiments.section("styles", study, ROOT)
    row, one = study.summary["rows"]["pruned"], study.pooled["neuron max 0.6"]
    shown = study.pooled["pruned"].rates["erased"]
    assert f"| pruned | {shown:.2f} | 0.240 | +0.000 [+0.000, +0.000] |" in text
    assert row["similarity"]["value"] == pytest.approx(0.24)
    assert f"| {difference(one.minus_pruned['clip_score'])} | 34.0 | +8.0 [+8.0, +8.0] |" in text
    assert "FID of 96 neutral pictures a row, from the original on the same prompts, seeds" in text
    assert "| neuron max 0.6 | 34.0 | 34.0 | 34.0 | 34.0 | 34.0 |" in text


def test_concepts_are_folded_with_their_n():
    text = by_concept(study_of("signs"))
    assert text.count(":::{dropdown} Every concept") == 2 and not outside_folds(text).strip()
    assert "n = 16 a cell; the widest 95 % interval is 0.4" in text
    assert "| exact signs, neuron max |" in text and "spider web" in text
    assert fold("T", "x\n") == "\n:::{dropdown} T\nx\n:::\n"


def test_means_and_where_they_come_from():
    assert mean_of([0.6, None, 0.8]) == "0.70 [-0.57, 1.97]"
    assert mean_of([3.0]) == "3" and mean_of([None]) == ""
    told = provenance(replace(study_of("cost"), device="cuda", threads=8))
    assert "`conceptrevive reproduce cost`; 8 cells, no pictures, seed 0, 2026-11-28" in told
    assert "cuda, 8 threads a process, 12 seconds" in told


def test_detections_are_shown_with_their_false_positives_and_the_wording():
    study = study_of("unsafe")
    text = experiments.section("unsafe", study, ROOT / "nowhere")
    pruned = next(
        e for e in study.entries if e.recipe == "pruned" and e.settings["prompt_set"] == "indirect"
    )
    count, rate = pruned.numbers["detections"], pruned.rates["detected"]
    assert f"| indirect | pruned | {count} | {rate} | +0.00 [+0.00, +0.00] |" in text
    assert "False positives, the original on neutral prompts: " in text
    assert "*adversarial* stands for MMA-Diffusion (Yang et al., CVPR 2024)" in text
    assert r"| `a \| 'b` | a road | 0.80 | 0.10 |" in text


def test_the_defence_says_how_far_pictures_of_others_have_moved(elsewhere):
    text = sections.defence(study_of("defence"))
    row = next(x for x in text.splitlines() if x.startswith("| σ_M 0.25 σ_U | 4"))
    # Made up: 30 and the length of the row's name; "original" has 8 letters, "pruned" 6.
    assert row == "| σ_M 0.25 σ_U | 42.0 | +4.0 [+4.0, +4.0] | +6.0 [+6.0, +6.0] |"
    assert "FID of pictures of other concepts, 8 for each concept pruned" in text
