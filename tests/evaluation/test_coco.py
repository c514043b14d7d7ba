"""A folder of COCO: pictures with their first captions; what is missing is named."""

import json

import pytest
from PIL import Image

from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.coco import Coco

NAMES = ("a.jpg", "b.jpg", "c.jpg")


@pytest.fixture
def folder(tmp_path):
    """Three pictures, captions of two of them and of one that is not there."""
    (tmp_path / "val2014").mkdir()
    (tmp_path / "annotations").mkdir()
    for name in NAMES:
        Image.new("RGB", (8, 8)).save(tmp_path / "val2014" / name)
    notes = [(9, 1, "a later one"), (2, 1, "a cat\non a mat"), (3, 2, "a dog"), (4, 7, "gone")]
    data = {
        "images": [{"id": i, "file_name": n} for i, n in ((1, "a.jpg"), (2, "b.jpg"), (7, "z"))],
        "annotations": [{"id": a, "image_id": i, "caption": c} for a, i, c in notes],
    }
    (tmp_path / "annotations" / "captions_val2014.json").write_text(json.dumps(data))
    (tmp_path / "annotations" / "instances_val2014.json").write_text("no captions")
    return tmp_path


def test_pictures_with_their_first_captions(folder):
    found = Coco.read(folder, 10)
    pairs = dict(zip((p.name for p in found.files), found.captions, strict=True))
    assert pairs == {"a.jpg": "a cat on a mat", "b.jpg": "a dog"}
    ones = {Coco.read(folder, 1, seed).files[0].name for seed in range(20)}
    assert ones == {"a.jpg", "b.jpg"} and Coco.read(folder, 1, 3) == Coco.read(folder, 1, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f / "none", r"none is no folder: name that of COCO's pictures; COCO's 2014"),
        (lambda f: f / "annotations", r"annotations holds no pictures \(.jpg, .jpeg, .png\)"),
        (lambda f: f / "val2014", r"val2014 holds no captions: put COCO's captions_val2014"),
    ],
)
def test_what_is_missing(folder, change, said):
    with pytest.raises(ConceptReviveError, match=said):
        Coco.read(change(folder), 10)


def test_captions_of_other_pictures_and_of_another_kind(folder):
    for name in NAMES[:2]:
        (folder / "val2014" / name).unlink()
    said = r"0 of the 1 pictures in .* have a caption in captions"
    with pytest.raises(ConceptReviveError, match=said):
        Coco.read(folder, 10)
    for text in ("{", "[]", '{"images": []}'):
        (folder / "annotations" / "captions_val2014.json").write_text(text)
        with pytest.raises(ConceptReviveError, match="holds no captions as COCO writes them"):
            Coco.read(folder, 10)
