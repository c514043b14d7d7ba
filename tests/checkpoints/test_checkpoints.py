"""File to file: what is not changed stays bit for bit; safetensors itself reads what is written."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import conceptrevive as cr
from conceptrevive.checkpoints import editing
from conceptrevive.checkpoints.dtypes import BITS, TORCH
from conceptrevive.checkpoints.headers import read_header
from conceptrevive.checkpoints.selection import read_candidates
from conceptrevive.checkpoints.tensors import read_rows, read_tensor
from conceptrevive.cli import main
from tests.checkpoints.broken import KEY, weights

pytestmark = pytest.mark.usefixtures("one_thread")
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def bits(x):
    return x.contiguous().reshape(-1).view(torch.uint8)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b))


def masks_of(w, share=0.1, seed=0):
    g = torch.Generator().manual_seed(seed)
    return cr.MaskSet(
        {
            n.removesuffix(".weight"): torch.rand(x.shape, generator=g) < share
            for n, x in w.items()
            if x.ndim == 2
        }
    )


# --- reading --------------------------------------------------------------------------------------


def test_every_dtype_of_the_format_is_read_bit_for_bit(tmp_path):
    g = torch.Generator().manual_seed(0)
    w = {}
    for name, dtype in TORCH.items():
        if dtype == getattr(torch, "float8_e8m0fnu", None):
            continue  # safetensors cannot write it from torch in every version
        w[name] = (
            torch.randint(0, 2 if name == "BOOL" else 256, (6 * dtype.itemsize,), generator=g)
            .to(torch.uint8)
            .view(dtype)
            .reshape(2, 3)
        )
    w |= {"empty": torch.empty(0, 3), "scalar": torch.tensor(2.5)}
    save_file(w, tmp_path / "all.safetensors")
    header = read_header(tmp_path / "all.safetensors")
    assert header.entries.keys() == w.keys()
    for name, x in w.items():
        assert same(read_tensor(header, name), x), name


def test_rows_are_a_seeded_ordered_selection(tmp_path):
    w = torch.arange(400.0).reshape(40, 5, 2)
    save_file({"w": w}, tmp_path / "w.safetensors")
    header = read_header(tmp_path / "w.safetensors")
    part = read_rows(header, "w", 100, seed=3)
    chosen = (part[:, 0, 0] / 10).long()
    assert part.shape == (10, 5, 2) and torch.equal(part, w[chosen]) and (chosen.diff() > 0).all()
    assert torch.equal(part, read_rows(header, "w", 100, seed=3))
    assert not torch.equal(part, read_rows(header, "w", 100, seed=4))
    assert torch.equal(read_rows(header, "w", 400), w)


# --- file to file ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_prune_revive_obfuscate_a_file(tmp_path, dtype, capsys):
    w = weights(dtype=dtype, pruned=False)
    source, pruned = tmp_path / "model.safetensors", tmp_path / "pruned.safetensors"
    save_file(w, source, metadata={"format": "pt", "author": "somebody"})
    masks = masks_of(w)
    masks.save(tmp_path / "m.safetensors")
    assert (
        main(
            ["prune", str(source), "--masks", str(tmp_path / "m.safetensors"), "--out", str(pruned)]
        )
        == 0
    )
    after = load_file(pruned)
    for name, x in w.items():
        expected = x.masked_fill(masks[name.removesuffix(".weight")], 0) if x.ndim == 2 else x
        assert same(after[name], expected)
    with safe_open(pruned, "pt") as f:
        kept = f.metadata()
        assert kept["author"] == "somebody" and kept["format"] == "pt"
        assert json.loads(kept["conceptrevive"])["operation"] == "prune"
        assert json.loads(kept["conceptrevive"])["version"] == cr.__version__
    assert list(read_header(pruned).entries) == list(read_header(source).entries)
    assert (
        main(["revive", str(pruned), "--out", str(tmp_path / "r.safetensors"), "--seed", "5"]) == 0
    )
    revived = load_file(tmp_path / "r.safetensors")
    expected = cr.revive(
        {n.removesuffix(".weight"): x for n, x in after.items() if x.ndim == 2}, seed=5
    )
    assert all(same(revived[f"{n}.weight"], x) for n, x in expected.items())
    hidden = tmp_path / "h.safetensors"
    assert (
        main(
            [
                "obfuscate",
                str(pruned),
                "--masks",
                str(tmp_path / "m.safetensors"),
                "--out",
                str(hidden),
            ]
        )
        == 0
    )
    for name, x in load_file(hidden).items():
        m = masks.masks.get(name.removesuffix(".weight"))
        assert same(x[~m], w[name][~m]) and (x[m] != 0).all() if m is not None else same(x, w[name])


def test_shards_stay_shards_and_untouched_ones_are_copied(tmp_path):
    w = weights()
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({KEY: w[KEY]}, folder / "s-1.safetensors", metadata={"format": "pt"})
    save_file({"a.ff.net.2.bias": w["a.ff.net.2.bias"]}, folder / "s-2.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(
        json.dumps(
            {
                "metadata": {},
                "weight_map": {KEY: "s-1.safetensors", "a.ff.net.2.bias": "s-2.safetensors"},
            }
        )
    )
    (folder / "config.json").write_text("{}")
    for source, files in ((folder, 4), (index, 3)):
        out = tmp_path / f"out{files}"
        assert main(["revive", str(source), "--out", str(out)]) == 0
        assert len(list(out.iterdir())) == files
        assert (out / index.name).read_bytes() == index.read_bytes()
        assert (out / "s-2.safetensors").read_bytes() == (folder / "s-2.safetensors").read_bytes()
        assert same(load_file(out / "s-1.safetensors")[KEY], cr.revive_matrix(w[KEY]))
        assert read_candidates(out).keys() == {"a.ff.net.2"}


def test_shards_may_be_links_as_in_a_download_cache(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    save_file({KEY: weights()[KEY]}, tmp_path / "blobs" / "0123")
    (tmp_path / "snapshot" / "s-1.safetensors").symlink_to(tmp_path / "blobs" / "0123")
    (tmp_path / "snapshot" / "config.json").write_text("{}")
    (tmp_path / "snapshot" / "m.safetensors.index.json").write_text(
        json.dumps({"weight_map": {KEY: "s-1.safetensors"}})
    )
    before = (tmp_path / "blobs" / "0123").read_bytes()
    assert main(["revive", str(tmp_path / "snapshot"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "blobs" / "0123").read_bytes() == before
    assert not (tmp_path / "out" / "s-1.safetensors").is_symlink()


def test_other_copies_of_the_weights_are_left_out(tmp_path):
    """A variant or a pickle beside the pruned file would still hold what was pruned."""
    folder = tmp_path / "pipe"
    (folder / "unet").mkdir(parents=True)
    (folder / "vae").mkdir()
    (folder / "model_index.json").write_text("{}")
    for place in (
        "unet/diffusion_pytorch_model",
        "unet/diffusion_pytorch_model.fp16",
        "all-in-one",
        "vae/other",
    ):
        save_file(weights(), folder / f"{place}.safetensors")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"x")
    assert main(["revive", str(folder), "--out", str(tmp_path / "out")]) == 0
    written = {
        str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()
    }
    assert written == {
        "model_index.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/other.safetensors",
    }


def test_folders_that_are_links_are_refused(tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(weights(), folder / "m.safetensors")
    (folder / "again").symlink_to(folder)
    assert main(["revive", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "is a link to a folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_where_the_output_may_not_go(tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(weights(), folder / "m.safetensors")
    taken = tmp_path / "taken.safetensors"
    taken.write_text("precious")
    for source, out, message in (
        (folder, folder / "out", "lies within"),
        (folder / "m.safetensors", tmp_path / "out", "end with .safetensors"),
        (folder / "m.safetensors", taken, "exists already"),
        (folder / "m.safetensors", folder / "m.safetensors", "exists already"),
    ):
        assert main(["revive", str(source), "--out", str(out)]) == 2
        assert message in capsys.readouterr().err
    assert taken.read_text() == "precious" and len(list(tmp_path.rglob("*"))) == 3


def test_hub_models_are_asked_for_without_pickles_and_at_their_revision(
    tmp_path, monkeypatch, capsys
):
    import huggingface_hub

    asked = {}
    save_file(weights(), tmp_path / "m.safetensors")

    def download(name, revision=None, allow_patterns=None):
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert main(["audit", "owner/name", "--revision", "abc123", "--json"]) == 1
    assert asked["name"] == "owner/name" and asked["revision"] == "abc123"
    assert "*.safetensors" in asked["patterns"] and not any(
        "bin" in p or "ckpt" in p for p in asked["patterns"]
    )


def test_offline_a_hub_model_that_was_never_fetched_is_one_line(capsys):
    assert main(["audit", "nobody/nothing-here"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "cannot download 'nobody/nothing-here'" in err


# --- invariants -----------------------------------------------------------------------------------


@st.composite
def cases(draw):
    """A candidate weight of any small shape, dtype, scale, and a mask."""
    rows, columns = draw(st.integers(2, 12)), draw(st.integers(2, 24))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    w = torch.randn(rows, columns, generator=g) * draw(st.sampled_from([1e-2, 1.0, 30.0]))
    mask = torch.rand(rows, columns, generator=g) < draw(st.sampled_from([0.0, 0.05, 0.3]))
    mask[:, 0] = False
    return w.to(draw(st.sampled_from(FLOATS))), mask


@quick
@given(cases())
def test_observed_entries_and_everything_else_are_bitwise_unchanged(tmp_path, case):
    w, mask = case
    assume(mask.any())
    source, out = tmp_path / "s.safetensors", tmp_path / "o.safetensors"
    other = {"b": torch.arange(5), "c.ff.net.2.weight": w + 1}
    save_file({KEY: w} | other, source, metadata={"k": "v"})
    for edit in (
        lambda x: cr.prune(x, {"a.ff.net.2": mask}),
        lambda x: cr.revive(x, {"a.ff.net.2": mask}),
        lambda x: cr.obfuscate(x, {"a.ff.net.2": mask}),
    ):
        out.unlink(missing_ok=True)
        editing.edit_checkpoint(source, out, edit, note={}, names={"a.ff.net.2"}, partial=True)
        after = load_file(out)
        assert after[KEY].dtype == w.dtype
        assert same(after[KEY][~mask], w[~mask])
        assert all(same(after[n], x) for n, x in other.items())


@quick
@given(cases())
def test_an_empty_mask_revives_nothing_and_is_no_pruning(case):
    w, mask = case
    nothing = {"w": torch.zeros_like(mask)}
    assert same(cr.revive({"w": w}, nothing)["w"], w)
    for edit in (cr.prune, cr.obfuscate):
        with pytest.raises(cr.ConceptReviveError, match="masks of 1 layers are all empty"):
            edit({"w": w}, nothing)


@quick
@given(cases(), st.integers(-3, 3))
def test_revival_is_equivariant_under_powers_of_two(case, power):
    """Powers of two scale every dtype exactly, so even signs of near-ties cannot move."""
    w, mask = case[0].double(), case[1]
    a = cr.revive_matrix(w, mask, top_k=1.0)
    b = cr.revive_matrix(w * 2.0**power, mask, top_k=1.0)
    assert torch.equal(b, a * 2.0**power)


@quick
@given(cases(), st.integers(0, 2**31))
def test_completion_is_equivariant_under_permutations(case, seed):
    w, mask = case[0].double(), case[1]
    g = torch.Generator().manual_seed(seed)
    rows, columns = torch.randperm(w.shape[0], generator=g), torch.randperm(w.shape[1], generator=g)
    a = cr.complete_matrix(w, mask).weight[rows][:, columns]
    b = cr.complete_matrix(w[rows][:, columns], mask[rows][:, columns]).weight
    assert torch.allclose(a, b, rtol=1e-6, atol=1e-6 * float(w.abs().max()))


@quick
@given(st.data())
def test_flipped_bytes_are_read_or_refused(tmp_path, data):
    """A valid file with bytes changed: still valid to safetensors too, or a named error."""
    path = tmp_path / "m.safetensors"
    save_file({KEY: torch.ones(2, 3), "b": torch.zeros(2)}, path)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(len(whole) - 4, len(whole)))])
    try:
        header = read_header(path)
    except cr.ConceptReviveError as e:
        assert str(path) in str(e)
        return
    if any(e.dtype not in BITS for e in header.entries.values()):
        return  # a dtype that may come: safetensors itself refuses the whole file
    with safe_open(path, "pt") as f:
        assert set(f.keys()) == header.entries.keys()
        for name in header.entries:
            assert same(f.get_tensor(name), read_tensor(header, name))
