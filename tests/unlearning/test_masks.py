"""Wanda masks by hand, pruning, and mask files: what is written is read, nothing else is."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import conceptrevive as cr
from conceptrevive.unlearning.conceptprune import wanda_mask

pytestmark = pytest.mark.usefixtures("one_thread")


def boolean(rows):
    return torch.tensor(rows, dtype=torch.bool)


A = cr.MaskSet(
    {"a.ff.net.2": boolean([[1, 0, 0], [1, 1, 0]]), "b.ff.net.2": boolean([[0, 1]])},
    concept="cat",
    skill_ratio=0.1,
    tau=10,
    seed=3,
)
B = cr.MaskSet(
    {"a.ff.net.2": boolean([[1, 1, 0], [0, 1, 0]]), "c.ff.net.2": boolean([[1, 0]])},
    concept="dog",
    skill_ratio=0.1,
    tau=5,
    seed=4,
)


# --- Wanda ------------------------------------------------------------------------------------------------------


def test_wanda_mask_by_hand():
    weight = torch.tensor([[1.0, -4.0, 2.0, 3.0, 0.5], [-5.0, 1.0, 1.0, 1.0, -1.0]])
    target = torch.tensor([2.0, 1.0, 3.0, 1.0, 4.0])
    base = torch.tensor([1.0, 2.0, 1.0, 0.5, 4.0])
    # Target scores: 2 4 6 3 2 and 10 1 3 1 4. The top two are {2, 1} and {0, 4}; columns 1 and 4 fail target > base.
    assert wanda_mask(weight, target, base, 0.4).int().tolist() == [
        [0, 0, 1, 0, 0],
        [1, 0, 0, 0, 0],
    ]
    # The top three: {2, 1, 3} and {0, 4, 2}.
    assert wanda_mask(weight, target, base, 0.6).int().tolist() == [
        [0, 0, 1, 1, 0],
        [1, 0, 1, 0, 0],
    ]


def test_wanda_mask_rounds_down():
    weight, target, base = torch.ones(2, 5), torch.arange(1.0, 6.0), torch.zeros(5)
    assert wanda_mask(weight, target, base, 0.39).int().tolist() == [[0, 0, 0, 0, 1]] * 2
    assert not wanda_mask(weight, target, base, 0.19).any()
    assert wanda_mask(weight, target, base, 1.0).all()


def test_wanda_mask_never_takes_what_is_zero_already():
    weight = torch.tensor([[0.0, 1.0, 0.0]])
    assert wanda_mask(weight, torch.ones(3), torch.zeros(3), 1.0).int().tolist() == [[0, 1, 0]]


def test_wanda_mask_scores_half_precision_weights_exactly():
    # Both products round to the same float16.
    weight = torch.tensor([[1.0, 1.0]], dtype=torch.float16)
    target = torch.tensor([1.0, 1.0001], dtype=torch.float64)
    assert wanda_mask(weight, target, torch.zeros(2, dtype=torch.float64), 0.5).int().tolist() == [
        [0, 1]
    ]
    assert wanda_mask(
        weight, target.flip(0), torch.zeros(2, dtype=torch.float64), 0.5
    ).int().tolist() == [[1, 0]]


# --- prune ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_prune_zeroes_the_mask_and_nothing_else(dtype):
    g = torch.Generator().manual_seed(0)
    weights = {n: torch.randn(m.shape, generator=g).to(dtype) for n, m in A.items()} | {
        "other": torch.randn(2, 2, generator=g)
    }
    before = {n: w.clone() for n, w in weights.items()}
    pruned = cr.prune(weights, A)
    assert list(pruned) == list(weights)
    for n, w in weights.items():
        assert torch.equal(w, before[n]), "the argument was written to"
        assert pruned[n].dtype == w.dtype and pruned[n].data_ptr() != w.data_ptr()
    for n, mask in A.items():
        assert torch.equal(pruned[n][~mask], weights[n][~mask])
        assert (pruned[n][mask] == 0).all() and not pruned[n][mask].signbit().any()
    assert torch.equal(pruned["other"], weights["other"])
    zeros = cr.zero_masks({n: pruned[n] for n in A})
    assert all(torch.equal(zeros[n], A[n]) for n in A)


@pytest.mark.parametrize("use", [cr.prune, cr.obfuscate, cr.revive], ids=lambda f: f.__name__)
def test_masks_that_do_not_fit_the_model(use):
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"b.ff.net.2: the mask has no such layer in the model: locate on this",
    ):
        use({"a.ff.net.2": torch.ones(2, 3)}, A)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"a.ff.net.2: mask \(2, 3\) does not fit weight \(3, 2\): locate on this",
    ):
        use({"a.ff.net.2": torch.ones(3, 2), "b.ff.net.2": torch.ones(1, 2)}, A)


@pytest.mark.parametrize("use", [cr.prune, cr.obfuscate, cr.revive], ids=lambda f: f.__name__)
def test_masks_that_are_not_boolean(use):
    with pytest.raises(
        cr.ConceptReviveError, match=r"a.ff.net.2: the mask is torch.float32: make it boolean"
    ):
        use({"a.ff.net.2": torch.ones(2, 3)}, {"a.ff.net.2": torch.ones(2, 3)})


# --- MaskSet ----------------------------------------------------------------------------------------------------


def test_is_a_mapping_with_a_fraction():
    assert list(A) == ["a.ff.net.2", "b.ff.net.2"] and len(A) == 2 and "a.ff.net.2" in A
    assert A.count == 4 and A.fraction == 4 / 8
    assert cr.MaskSet({}).fraction == 0


def test_union_and_intersection():
    either, both = A | B, A & B
    assert {n: m.int().tolist() for n, m in either.items()} == {
        "a.ff.net.2": [[1, 1, 0], [1, 1, 0]],
        "b.ff.net.2": [[0, 1]],
        "c.ff.net.2": [[1, 0]],
    }
    assert {n: m.int().tolist() for n, m in both.items()} == {
        "a.ff.net.2": [[1, 0, 0], [0, 1, 0]],
        "b.ff.net.2": [[0, 0]],
        "c.ff.net.2": [[0, 0]],
    }
    assert (either.concept, either.skill_ratio, either.tau, either.seed) == (
        "cat | dog",
        0.1,
        None,
        None,
    )
    assert both.concept == "cat & dog"
    assert A.count == 4 and B.count == 4, "the operands were written to"


def test_masks_of_different_shapes_do_not_combine():
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"a.ff.net.2: masks of shapes \(2, 3\) and \(3, 2\) do not combine",
    ):
        A | cr.MaskSet({"a.ff.net.2": boolean([[1, 0], [0, 0], [0, 0]])})


# --- files ------------------------------------------------------------------------------------------------------


def test_save_and_load_round_trip(tmp_path):
    path = tmp_path / "new" / "cat.safetensors"
    A.save(path)
    back = cr.MaskSet.load(path)
    assert set(back) == set(A)
    assert all(torch.equal(back[n], A[n]) and back[n].dtype == torch.bool for n in A)
    fields = ("concept", "skill_ratio", "tau", "seed", "version")
    assert [getattr(back, f) for f in fields] == [getattr(A, f) for f in fields]
    assert (back.concept, back.skill_ratio, back.tau, back.seed) == ("cat", 0.1, 10, 3)
    assert [p.name for p in path.parent.iterdir()] == ["cat.safetensors"]


def test_round_trip_without_settings_and_of_transposed_masks(tmp_path):
    path = tmp_path / "m.safetensors"
    masks = cr.MaskSet({"a": boolean([[1, 0, 0], [1, 1, 0]]).T})
    masks.save(str(path))
    back = cr.MaskSet.load(str(path))
    assert torch.equal(back["a"], masks["a"])
    assert (back.concept, back.skill_ratio, back.tau, back.seed) == ("", None, None, None)


def test_saving_replaces_a_file(tmp_path):
    path = tmp_path / "m.safetensors"
    A.save(path)
    B.save(path)
    assert cr.MaskSet.load(path).concept == "dog"
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    A.save(path)
    before = path.read_bytes()

    def full(_from, _to):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"cannot write .*m.safetensors \(No space left on device\): choose a writ",
    ):
        B.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        cr.ConceptReviveError, match=r"cannot write .*m.safetensors \(.*\): choose a writable place"
    ):
        A.save(tmp_path / "file" / "m.safetensors")
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_the_file_system_refuses(tmp_path):
    with pytest.raises(cr.ConceptReviveError, match=r"cannot write .*: choose a writable place"):
        A.save(tmp_path / ("m" * 300))
    assert not os.listdir(tmp_path)


def test_a_folder_in_the_files_place(tmp_path):
    (tmp_path / "m.safetensors").mkdir()
    with pytest.raises(
        cr.ConceptReviveError, match=r"cannot write .*m.safetensors \(.*\): choose a writable place"
    ):
        A.save(tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == ["m.safetensors"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_an_unwritable_folder(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(cr.ConceptReviveError, match="choose a writable place"):
        A.save(folder / "m.safetensors")
    assert not os.listdir(folder)


def test_missing_file(tmp_path):
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"cannot read masks from .*none.safetensors \(.*\): give a file written by",
    ):
        cr.MaskSet.load(tmp_path / "none.safetensors")


def test_folder_instead_of_a_file(tmp_path):
    with pytest.raises(cr.ConceptReviveError, match="cannot read masks from"):
        cr.MaskSet.load(tmp_path)


@pytest.mark.parametrize("length", [0, 4, 40, -1])
def test_truncated_file(tmp_path, length):
    path = tmp_path / "m.safetensors"
    A.save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(cr.ConceptReviveError, match=r"cannot read masks from .*m.safetensors"):
        cr.MaskSet.load(path)


def test_text_file(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_text("this is no safetensors file, it is a long sentence\n")
    with pytest.raises(cr.ConceptReviveError, match=r"cannot read masks from .*m.safetensors"):
        cr.MaskSet.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_safetensors_file_of_something_else(tmp_path, metadata):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(2, 2)}, path, metadata=metadata)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"model.safetensors is no mask file: write one with `conceptrevive locate",
    ):
        cr.MaskSet.load(path)


def metadata_of(path):
    with safe_open(path, "pt") as f:
        return f.metadata()


@pytest.mark.parametrize("tensor", [torch.zeros(2, 2), torch.zeros(4, dtype=torch.bool)])
def test_a_mask_file_with_other_tensors(tmp_path, tensor):
    path = tmp_path / "m.safetensors"
    A.save(path)
    save_file({"a": tensor}, path, metadata=metadata_of(path))
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"m.safetensors: a is not a boolean matrix: write the masks again",
    ):
        cr.MaskSet.load(path)


@pytest.mark.parametrize("info", [None, "not json", "[]", '{"colour": "red"}'])
def test_a_mask_file_with_damaged_metadata(tmp_path, info):
    path = tmp_path / "m.safetensors"
    A.save(path)
    metadata = metadata_of(path) | {"conceptrevive": info}
    save_file(dict(A), path, metadata={k: v for k, v in metadata.items() if v is not None})
    with pytest.raises(cr.ConceptReviveError, match=r"m.safetensors"):
        cr.MaskSet.load(path)


def test_an_unknown_field_in_the_metadata(tmp_path):
    path = tmp_path / "m.safetensors"
    A.save(path)
    metadata = metadata_of(path)
    metadata["conceptrevive"] = json.dumps(
        json.loads(metadata["conceptrevive"]) | {"colour": "red"}
    )
    save_file(dict(A), path, metadata=metadata)
    with pytest.raises(cr.ConceptReviveError, match=r"m.safetensors"):
        cr.MaskSet.load(path)
