"""The demo on a tiny model: every row, its pictures, and nothing left behind."""

import json

import pytest

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.demo import KNOWN, ROWS, Demo, demo

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_demo_goes_on_where_it_stopped_and_leaves_no_parts(tiny_folder, tmp_path, monkeypatch):
    told = []
    options = {"model": str(tiny_folder), "images": 2, "retained": 3, "device": "cpu"}
    measure = Demo.measure

    def interrupted(self, cell):
        if cell.recipe == "obfuscated":
            raise KeyboardInterrupt
        return measure(self, cell)

    monkeypatch.setattr(Demo, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path / "d", **options)
    kept = sorted((tmp_path / "d/demo.json.parts").glob("demo-*"))
    assert len(kept) == 3 and not (tmp_path / "d/demo.json").exists()
    monkeypatch.setattr(Demo, "measure", measure)
    result = demo(tmp_path / "d", progress=lambda *each: told.append(each), **options)
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["demo.json", "demo.png"]
    assert json.loads((tmp_path / "d/demo.json").read_text()) == json.loads(json.dumps(result))
    assert set(result["erased_top1"]) == {*ROWS, KNOWN} and result["seconds"] > 0
    assert {row for row, _, _ in told} == {"obfuscated", "obfuscated_revived"}
    assert {total for _, _, total in told} == {30} and told[-1][1] <= 30
    # Whoever knows the mask revives through the defence what is revived without it.
    assert result["erased_top1"][KNOWN] == result["erased_top1"]["revived"]
    whole = demo(tmp_path / "e", **options)
    for key in ("date", "seconds"):
        assert whole.pop(key) and result.pop(key)
    assert json.loads(json.dumps(whole)) == json.loads(json.dumps(result))


def test_a_demo_of_no_pictures_is_refused(tmp_path):
    with pytest.raises(
        ConceptReviveError, match="images is 0 and retained is 3: draw at least one"
    ):
        demo(tmp_path, images=0, retained=3)
