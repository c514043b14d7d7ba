"""The audit's rates run on the runner: every checkpoint once, whatever interrupted it."""

import json

import pytest
import torch

from calibration import evidence, rates

pytestmark = pytest.mark.usefixtures("one_thread")


def matrices(seed, steps):
    """A clean checkpoint of one Gaussian matrix."""
    generator = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(96, 96, generator=generator)}


ORIGINS = {
    "one": (matrices, True),
    "pocket unet": (matrices, False),
    "two": (matrices, True),
}


@pytest.fixture
def calls(monkeypatch):
    """Which checkpoints were made."""
    made = []

    def counted(seed, steps):
        made.append(seed)
        return matrices(seed, steps)

    small = {name: (counted, seeded) for name, (_, seeded) in ORIGINS.items()}
    monkeypatch.setattr(evidence, "origins", lambda: small)
    return made


def test_every_checkpoint_is_examined_once_in_every_dtype(calls, tmp_path, capsys):
    options = ["--seeds", "2", "--steps", "1", "--concepts", "--out", str(tmp_path / "rates.json")]
    rates.main(options)
    first = evidence.FIRST_SEED
    assert calls == [first, first + 1, first, first, first + 1]
    result = json.loads((tmp_path / "rates.json").read_text())
    halves = result["false_positives"]
    assert [h["origins"] for h in halves.values()] == [["one", "two"], ["pocket unet"]]
    assert halves["set"]["checkpoints"]["n"] == 2 * 2 * 3
    assert halves["report"]["checkpoints"]["n"] == 3
    assert "false positives" in capsys.readouterr().out and result["seeds"] == 2
    rates.main(options)
    assert len(calls) == 5
    again = json.loads((tmp_path / "rates.json").read_text())
    assert {**again, "date": 0} == {**result, "date": 0}


def test_other_steps_are_examined_anew(calls, tmp_path):
    options = ["--seeds", "1", "--concepts", "--out", str(tmp_path / "rates.json"), "--steps"]
    rates.main([*options, "1"])
    rates.main([*options, "2"])
    assert len(calls) == 6


def test_edits_are_one_cell_a_concept():
    cells = evidence.edited_cells(["cat", "bus"], (0.01,), (0.5, 1.0))
    assert [c.concept for c in cells] == ["cat", "bus"]
    assert cells[0].settings == {"skill_ratios": [0.01], "sigmas": [0.5, 1.0]}
