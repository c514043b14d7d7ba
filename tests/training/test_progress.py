"""The probes by hand, and one row from the tiny pipeline."""

from __future__ import annotations

import csv

import pytest
import torch

from conceptrevive.concepts.concept import Settings
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.weights import read_weights
from training import progress
from training.checkpoints import Past
from training.progress import append, main, probe, recorded_gates, selective_energy

pytestmark = pytest.mark.usefixtures("one_thread")


def test_selective_energy_by_hand():
    # The middle step alone counts: columns 2 and 3 are more than 1.5 times the base's.
    norm = torch.zeros(2, 3, 4)
    norm[:, 1] = torch.tensor([[1.0, 1.5, 2.0, 2.0], [1.0, 1.0, 1.0, 0.0]])
    norm[0, 0] = 100.0
    every = torch.stack([torch.ones(3, 4), torch.zeros(3, 4)])
    assert selective_energy({"a": norm}) == pytest.approx(8 / (1 + 2.25 + 8))
    assert selective_energy({"a": norm, "b": every}) == pytest.approx((8 / 11.25 + 1) / 2)


def test_gates_are_the_second_half_and_hooks_go(tiny):
    layers = [m for n, m in tiny.unet.named_modules() if n.endswith("ff.net.0.proj")]
    x = torch.randn(3, layers[0].in_features, generator=torch.Generator().manual_seed(0))
    with recorded_gates(tiny.unet) as found:
        gate = layers[0](x).chunk(2, -1)[1]
    assert found["gate_mean"] == [pytest.approx(gate.mean().item())]
    assert found["gate_std"] == [pytest.approx(gate.std().item())]
    assert found["gate_open"] == [pytest.approx((gate > 0).float().mean().item())]
    layers[0](x)
    assert len(found["gate_mean"]) == 1
    text = r"^no GEGLU layer \(`ff\.net\.0\.proj`\): there are no gates to look at$"
    with pytest.raises(ConceptReviveError, match=text), recorded_gates(torch.nn.Linear(2, 2)):
        pass


@pytest.fixture(scope="module")
def row(tiny):
    before = {name: w.clone() for name, w in read_weights(tiny).items()}
    found = probe(
        tiny,
        objects=("golf", "church"),
        six=("golf",),
        settings=Settings(skill_ratio=0.1, tau=2, steps=3, guidance=2.0),
        skill_ratios=(0.1, 0.4),
        images=2,
        retained=2,
    )
    after = read_weights(tiny)
    assert all(torch.equal(w, after[name]) for name, w in before.items()), "left as it was"
    return found


def test_one_row_holds_every_probe(row):
    assert list(row) == [
        *("energy_selective", "gate_mean", "gate_std", "gate_open"),
        *("original_twelve", "scaled_0.5", "scaled_0.25", "scaled_0", "original_six"),
        *("share_0.1", "pruned_0.1", "preserved_0.1"),
        *("share_0.4", "pruned_0.4", "preserved_0.4"),
    ]
    assert 0 < row["energy_selective"] < 1 and row["gate_std"] > 0 and 0 < row["gate_open"] < 1
    assert 0 < row["share_0.1"] < row["share_0.4"] < 0.5
    rates = [v for k, v in row.items() if k.startswith(("orig", "scaled", "pruned", "preserved"))]
    assert all(v in (0.0, 0.25, 0.5, 0.75, 1.0) for v in rates)


def test_rows_are_appended_under_one_header(row, tmp_path):
    path = tmp_path / "progress.csv"
    append(path, {"step": 1, "x": 0.5})
    append(path, {"step": 2, "x": 0.25})
    assert list(csv.reader(path.open())) == [["step", "x"], ["1", "0.5"], ["2", "0.25"]]
    with pytest.raises(ConceptReviveError, match="has other columns than this version writes"):
        append(path, {"step": 3, "y": 1})
    assert len(path.read_text().splitlines()) == 3


def test_the_command_says_which_stage_a_row_is_of(tiny, tmp_path, monkeypatch):
    folder, out = tmp_path / "pipeline", tmp_path / "progress.csv"
    tiny.save_pretrained(folder)
    Past(step=3, pictures=192).begin("v9").add(64, 1.0, 0.1).write(folder / "training.json")
    monkeypatch.setattr(progress, "probe", lambda pipe, **sizes: {"share": 1 / 3})
    main(["--model", str(folder), "--out", str(out)])
    assert list(csv.DictReader(out.open())) == [
        {"stage": "v9", "step": "4", "pictures": "256", "share": "0.3333"}
    ]
    (folder / "training.json").unlink()
    with pytest.raises(SystemExit, match=r"does not say how far training has come"):
        main(["--model", str(folder), "--out", str(out)])
