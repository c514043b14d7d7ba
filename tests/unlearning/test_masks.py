"""Wanda masks by hand, pruning, and mask files: what is written is read, nothing else is."""

from __future__ import annotations

import json
import math
import os

import numpy as np
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


# --- Wanda ----------------------------------------------------------------------------------------


def test_wanda_mask_by_hand():
    weight = torch.tensor([[1.0, -4.0, 2.0, 3.0, 0.5], [-5.0, 1.0, 1.0, 1.0, -1.0]])
    target = torch.tensor([2.0, 1.0, 3.0, 1.0, 4.0])
    base = torch.tensor([1.0, 2.0, 1.0, 0.5, 4.0])
    # Target scores: 2 4 6 3 2 and 10 1 3 1 4. The top two are {2, 1} and {0, 4}; columns 1 and 4
    # fail target > base.
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


# --- prune ----------------------------------------------------------------------------------------


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


# --- MaskSet --------------------------------------------------------------------------------------


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


# --- files ----------------------------------------------------------------------------------------


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
    with pytest.raises(
        cr.ConceptReviveError, match="is a folder: give the mask file that `locate`"
    ):
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


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(2, 2), "a: the mask is torch.float32: make it boolean, True where pruned"),
        (torch.zeros(4, dtype=torch.bool), r"a: the mask has shape \(4,\): give a matrix"),
    ],
)
def test_a_mask_file_with_other_tensors(tmp_path, tensor, message):
    path = tmp_path / "m.safetensors"
    A.save(path)
    save_file({"a": tensor}, path, metadata=metadata_of(path))
    with pytest.raises(
        cr.ConceptReviveError,
        match=rf"m\.safetensors: {message}; write the masks again with `locate`",
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


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"skill_ratio": math.nan}, r"skill_ratio is nan: it is a share of each row, in \(0, 1\]"),
        ({"skill_ratio": "0.1"}, "skill_ratio is a str: give a number"),
        ({"tau": "ten"}, "tau is a str: give a whole number"),
        ({"tau": 0}, "tau is 0: it is at least 1"),
        ({"seed": 1.5}, "seed is a float: give a whole number"),
        ({"seed": -1}, "seed is -1: it is at least 0"),
        ({"sampling": 3}, "sampling is a int: give one of"),
        ({"concept": None}, "concept is a NoneType: give text"),
        ({"version": [1]}, "version is a list: give text"),
        ({"layers": ["a", "b"]}, "layers is a list: give the text of a selection"),
        ({"chosen_by": 3}, "chosen_by is a int: give the name of a function"),
    ],
)
def test_notes_of_the_wrong_kind(tmp_path, notes, message):
    """Neither in Python nor in a file that somebody wrote by hand."""
    with pytest.raises(cr.ConceptReviveError, match=f"^{message}"):
        cr.MaskSet(dict(A), **{"concept": "cat"} | notes)
    path = tmp_path / "m.safetensors"
    A.save(path)
    metadata = metadata_of(path)
    metadata["conceptrevive"] = json.dumps(json.loads(metadata["conceptrevive"]) | notes)
    save_file(dict(A), path, metadata=metadata)
    with pytest.raises(
        cr.ConceptReviveError, match=rf"m\.safetensors: {message}.*; write the masks again with"
    ):
        cr.MaskSet.load(path)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([torch.ones(2, 2).bool()], r"masks is a list: give \{module name: boolean matrix\}"),
        ({"a": torch.ones(2, 2)}, "a: the mask is torch.float32: make it boolean"),
        ({"a": np.ones((2, 2), bool)}, "a: the mask is a ndarray: give a torch.bool tensor"),
        ({"a": torch.ones(2).bool()}, r"a: the mask has shape \(2,\): give a matrix"),
        ({0: torch.ones(2, 2).bool()}, "the key 0 of masks is a int: give the module's name"),
    ],
)
def test_a_mask_set_of_the_wrong_kind(masks, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.MaskSet(masks)


def test_numbers_of_numpy_are_numbers(tmp_path):
    path = tmp_path / "m.safetensors"
    cr.MaskSet(dict(A), skill_ratio=np.float32(0.5), tau=np.int64(3), seed=np.int32(1)).save(path)
    back = cr.MaskSet.load(path)
    assert (back.skill_ratio, back.tau, back.seed) == (0.5, 3, 1)


def test_only_mask_sets_combine():
    with pytest.raises(
        cr.ConceptReviveError, match="combined with is a dict: give another MaskSet"
    ):
        A | dict(B)


def test_other_files_are_not_overwritten(tmp_path):
    """A slip of the keyboard must not cost anybody's weights."""
    path = tmp_path / "weights.safetensors"
    for write in (lambda: save_file({"a": torch.ones(2)}, path), lambda: path.write_text("x")):
        write()
        before = path.read_bytes()
        with pytest.raises(
            cr.ConceptReviveError,
            match=r"weights.safetensors exists and is no mask file: choose an",
        ):
            A.save(path)
        assert path.read_bytes() == before


@pytest.mark.parametrize("path", [None, 3, b"masks"])
def test_paths_are_names(path):
    for call in (A.save, cr.MaskSet.load):
        with pytest.raises(cr.ConceptReviveError, match=f"path is a {type(path).__name__}: give"):
            call(path)


# --- what cannot be pruned ------------------------------------------------------------------------

W = {"a.ff.net.2": torch.ones(2, 3), "b.ff.net.2": torch.ones(1, 2)}
EMPTY = cr.MaskSet({n: torch.zeros_like(m) for n, m in A.items()})


@pytest.mark.parametrize("use", [cr.prune, cr.obfuscate], ids=lambda f: f.__name__)
def test_nothing_done_is_no_success(use):
    with pytest.raises(cr.ConceptReviveError, match="the masks of 2 layers are all empty, which"):
        use(W, EMPTY)
    with pytest.raises(cr.ConceptReviveError, match="the masks have no layers: locate a concept"):
        use(W, cr.MaskSet({}))


@pytest.mark.parametrize("use", [cr.prune, cr.obfuscate, cr.revive], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (object(), r"weights is a object: give \{module name: matrix\}, see `read_weights`"),
        ([W["a.ff.net.2"]], "weights is a list: give"),
        (W | {"a.ff.net.2": np.ones((2, 3))}, "a.ff.net.2: the weight is a ndarray: give a torch"),
        (W | {3: torch.ones(2)}, "the key 3 of weights is a int: give the module's name"),
        (
            {f"{n}.weight": w for n, w in W.items()},
            "a.ff.net.2: the weights' key is 'a.ff.net.2.weight', a parameter's name: key weights "
            "by module name, as `read_weights` does, or take '.weight' off the keys",
        ),
        (
            W | {"a.ff.net.2": torch.ones(2, 3, device="meta")},
            "a.ff.net.2: the weight is on the meta device and has no values: load the model",
        ),
        (
            W | {"a.ff.net.2": torch.ones(2, 3, dtype=torch.uint8)},
            "a.ff.net.2: the weight is torch.uint8, not floating-point: dequantise it first",
        ),
    ],
    ids=["object", "list", "numpy", "number as key", "state dictionary", "meta", "quantised"],
)
def test_weights_of_the_wrong_kind(use, weights, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        use(weights, A)


@pytest.mark.parametrize("use", [cr.prune, cr.obfuscate, cr.revive], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({n: m.numpy() for n, m in A.items()}, "a.ff.net.2: the mask is a ndarray: give a torch"),
        (list(A.values()), r"masks is a list: give \{module name: boolean matrix\}, see `locate`"),
        (A["a.ff.net.2"], "masks is a Tensor: give"),
    ],
    ids=["numpy", "list", "tensor"],
)
def test_masks_of_the_wrong_kind(use, masks, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        use(W, masks)


def test_a_pipeline_is_no_mapping_of_weights(tiny):
    masks = cr.MaskSet({n: w > 0 for n, w in cr.read_weights(tiny).items()})
    for call in (lambda: cr.revive(tiny), lambda: cr.prune(tiny, masks)):
        with pytest.raises(
            cr.ConceptReviveError, match=r"weights is a StableDiffusionPipeline: .* `read_weights`"
        ):
            call()
    with pytest.raises(cr.ConceptReviveError, match=r"take '\.weight' off the keys"):
        cr.prune(tiny.unet.state_dict(), masks)


def test_float8_is_pruned():
    weights = {n: w.to(torch.float8_e4m3fn) for n, w in W.items()}
    pruned = cr.prune(weights, A)
    assert pruned["a.ff.net.2"].dtype == torch.float8_e4m3fn
    assert torch.equal(pruned["a.ff.net.2"].float() == 0, A["a.ff.net.2"])
