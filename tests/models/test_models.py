"""Loading pipelines, and reading and writing their weights without leaving a trace."""

from __future__ import annotations

import shutil

import pytest
import torch

import conceptrevive as cr
from conceptrevive.files import ASSETS
from conceptrevive.models.layers import denoiser
from conceptrevive.models.pipeline import parse_device, resolve

pytestmark = pytest.mark.usefixtures("one_thread")

BLOCK = "attentions.0.transformer_blocks.0.ff.net.2"
LAYERS = {
    f"down_blocks.0.{BLOCK}": (16, 64),
    f"down_blocks.1.{BLOCK}": (32, 128),
    f"up_blocks.0.{BLOCK}": (32, 128),
    f"up_blocks.0.{BLOCK.replace('attentions.0', 'attentions.1')}": (32, 128),
    f"up_blocks.1.{BLOCK}": (16, 64),
    f"up_blocks.1.{BLOCK.replace('attentions.0', 'attentions.1')}": (16, 64),
    f"mid_block.{BLOCK}": (32, 128),
}
ONE = f"down_blocks.0.{BLOCK}"


def state(pipe):
    return {n: p.detach().clone() for n, p in pipe.unet.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


# --- where a model is -----------------------------------------------------------------------------


def test_resolve(tiny_folder):
    assert resolve("pocket") == str(ASSETS / "pocket")
    assert resolve(tiny_folder) == resolve(str(tiny_folder)) == str(tiny_folder)
    assert resolve(tiny_folder / "unet") == str(tiny_folder / "unet")
    assert resolve("owner/name") == "owner/name"


@pytest.mark.parametrize("load", [resolve, cr.load_pipeline], ids=lambda f: f.__name__)
class TestNoModelThere:
    @pytest.mark.parametrize(
        "model", ["nowhere", "./nowhere", "/no/where", "a/b/c", "~/nowhere", "../nowhere"]
    )
    def test_missing_folder(self, load, model):
        with pytest.raises(
            cr.ConceptReviveError,
            match=f"no folder '{model}' here: give an existing folder, a hub id",
        ):
            load(model)

    def test_file(self, load, tmp_path):
        (tmp_path / "model.ckpt").write_bytes(b"x")
        with pytest.raises(
            cr.ConceptReviveError,
            match=r"model.ckpt is a file: give the folder of a diffusers pipeline",
        ):
            load(tmp_path / "model.ckpt")

    def test_folder_of_something_else(self, load, tmp_path):
        with pytest.raises(
            cr.ConceptReviveError,
            match=r"holds neither model_index.json nor config.json: give the folder",
        ):
            load(tmp_path)


def test_a_hub_model_that_cannot_be_reached():
    with pytest.raises(
        cr.ConceptReviveError,
        match="cannot load a pipeline from 'owner/no-such-model': check the name and the "
        "connection, or give a folder on this machine",
    ) as error:
        cr.load_pipeline("owner/no-such-model", device="cpu")
    # The library's own words are not cut off either.
    assert " ".join(str(error.value.__cause__).split()) in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": 3}, "model is a int: give a folder, a hub id"),
        ({"model": None}, "model is a NoneType: give a folder"),
        ({"dtype": "float32"}, "dtype is a str: give a torch dtype, e.g. torch.float32"),
        ({"revision": 1}, "revision is a int: give a branch, tag or commit by name"),
        (
            {"device": "meta"},
            r"device 'meta' cannot be used here \(it holds no values\): try 'cpu'",
        ),
    ],
    ids=str,
)
def test_arguments_of_a_wrong_kind(tiny_folder, arguments, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.load_pipeline(**{"model": tiny_folder, "device": "cpu"} | arguments)


def test_whatever_a_library_raises_while_loading(tiny_folder, monkeypatch):
    import diffusers

    def fail(*args, **kwargs):
        raise KeyError("an index of another kind")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", fail)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"give a complete folder with its weights in safetensors .*an index of another kind",
    ):
        cr.load_pipeline(tiny_folder, device="cpu")


def test_an_unusable_device():
    for name in ("toaster", "cuda:99", "meta"):
        with pytest.raises(
            cr.ConceptReviveError, match=f"device '{name}' cannot be used here .*: try 'cpu'"
        ):
            parse_device(name)
    assert parse_device("cpu") == torch.device("cpu")
    with pytest.raises(cr.ConceptReviveError, match="device is a int: give a name such as 'cpu'"):
        parse_device(0)


# --- loading --------------------------------------------------------------------------------------


def test_a_folder_loads_as_it_was_saved(tiny, tiny_folder):
    pipe = cr.load_pipeline(tiny_folder, device="cpu")
    assert type(pipe).__name__ == "StableDiffusionPipeline" and pipe.safety_checker is None
    assert same(state(pipe), state(tiny))
    assert {p.dtype for p in pipe.unet.parameters()} == {torch.float32}
    assert next(pipe.unet.parameters()).device.type == "cpu"


def test_dtype_is_the_callers(tiny_folder):
    pipe = cr.load_pipeline(str(tiny_folder), device="cpu", dtype=torch.float16)
    assert {p.dtype for p in pipe.unet.parameters()} == {torch.float16}
    assert {w.dtype for w in cr.read_weights(pipe).values()} == {torch.float16}


def test_pickled_weights_are_not_read(tiny, tiny_folder, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_folder, folder)
    for file in (folder / "unet").glob("*.safetensors"):
        file.unlink()
    torch.save(tiny.unet.state_dict(), folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(cr.ConceptReviveError, match=r"cannot load a pipeline from .*pickled"):
        cr.load_pipeline(folder, device="cpu")


def test_damaged_weights(tiny_folder, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_folder, folder)
    file = next((folder / "unet").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(cr.ConceptReviveError, match=r"cannot load a pipeline from .*damaged"):
        cr.load_pipeline(folder, device="cpu")


def test_an_index_that_is_no_json(tmp_path):
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(cr.ConceptReviveError, match="cannot load a pipeline from"):
        cr.load_pipeline(tmp_path, device="cpu")


# --- layers ---------------------------------------------------------------------------------------


def test_candidates_are_the_second_feed_forward_layers(tiny):
    found = cr.candidate_layers(tiny)
    assert {n: tuple(m.weight.shape) for n, m in found.items()} == LAYERS
    assert all(tiny.unet.get_submodule(n) is m for n, m in found.items())
    assert found == cr.candidate_layers(tiny.unet)


def test_named_layers_and_patterns(tiny):
    other = ONE.replace("ff.net.2", "attn2.to_v")
    names = [other, f"unet/{ONE}", f"_orig_mod.{other}.weight"]
    assert list(cr.candidate_layers(tiny, names)) == names, "as they are given"
    assert set(cr.candidate_layers(tiny, "attn1.to_q")) == {
        n.replace("ff.net.2", "attn1.to_q") for n in LAYERS
    }


@pytest.mark.parametrize("name", ["nowhere.ff.net.2", "conv_norm_out", "unet/nowhere"])
def test_unknown_layers(tiny, name):
    message = f"UNet2DConditionModel has no linear layer or convolution named '{name}': were these"
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.candidate_layers(tiny, [name])
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.read_weights(tiny, [name])
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.write_weights(tiny, {name: torch.zeros(16, 64)})


def test_a_model_without_candidates(tiny):
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"the preset feed-forward \(second linear layer of every feed-forward block\) fits "
        r"no layer of AutoencoderKL; it has \d+: .*conv_in \(1\).* and \d+ more kinds; choose "
        r"attention, convolutions, linear, all, or name layers by a pattern",
    ):
        cr.candidate_layers(tiny.vae)


def test_something_that_is_no_model():
    with pytest.raises(
        cr.ConceptReviveError,
        match="dict has neither a unet nor a transformer: give a diffusers pipeline",
    ):
        denoiser({})


# --- weights --------------------------------------------------------------------------------------


def test_reading_copies(tiny):
    before = state(tiny)
    weights = cr.read_weights(tiny)
    assert {n: tuple(w.shape) for n, w in weights.items()} == LAYERS
    for n, w in weights.items():
        assert torch.equal(w, before[f"{n}.weight"]) and not w.requires_grad
        w.zero_()
    assert same(state(tiny), before)


def test_writing_changes_the_named_layers_only(tiny):
    before = state(tiny)
    old = cr.read_weights(tiny, [ONE])
    try:
        cr.write_weights(tiny, {ONE: old[ONE].double() + 1})
        now = state(tiny)
        assert torch.equal(now[f"{ONE}.weight"], old[ONE] + 1)
        assert now[f"{ONE}.weight"].dtype == torch.float32
        now[f"{ONE}.weight"] = old[ONE]
        assert same(now, before)
    finally:
        cr.write_weights(tiny, old)


@pytest.mark.parametrize("wrong", ["shape", "name"])
def test_all_is_checked_before_the_first_is_written(tiny, wrong):
    before = state(tiny)
    last = f"mid_block.{BLOCK}" if wrong == "shape" else "nowhere"
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"shape \(16, 64\) does not fit the layer's \(32, 128\)|named 'nowhere'",
    ):
        cr.write_weights(tiny, {ONE: torch.zeros(16, 64), last: torch.zeros(16, 64)})
    assert same(state(tiny), before)


def test_swapped_runs_with_other_weights_and_restores(tiny):
    before = state(tiny)
    new = {n: torch.full_like(w, 0.5) for n, w in cr.read_weights(tiny).items()}
    with cr.swapped(tiny, new):
        assert same(cr.read_weights(tiny), new)
    assert same(state(tiny), before)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_swapped_restores_after_an_error(tiny, error):
    before = state(tiny)
    with pytest.raises(error), cr.swapped(tiny, {ONE: torch.zeros(16, 64)}):
        assert (cr.read_weights(tiny)[ONE] == 0).all()
        raise error
    assert same(state(tiny), before)


def test_swapped_nests(tiny):
    before = state(tiny)
    with cr.swapped(tiny, {ONE: torch.zeros(16, 64)}):
        with cr.swapped(tiny, {ONE: torch.ones(16, 64)}):
            assert (cr.read_weights(tiny)[ONE] == 1).all()
        assert (cr.read_weights(tiny)[ONE] == 0).all()
    assert same(state(tiny), before)


def test_swapped_refuses_what_does_not_fit(tiny):
    before = state(tiny)
    with (
        pytest.raises(cr.ConceptReviveError, match="does not fit the layer's"),
        cr.swapped(tiny, {ONE: torch.zeros(2, 2)}),
    ):
        raise AssertionError("the block ran")
    assert same(state(tiny), before)


def test_a_safety_checker_never_runs(tiny, tiny_folder, monkeypatch):
    """It blackens pictures, and a black picture would count as a concept erased."""
    from copy import copy

    import diffusers

    class Checked(type(tiny)):
        safety_checker = "a checker of a fine-tune"

    other = copy(tiny)
    other.__class__ = Checked
    loader = diffusers.DiffusionPipeline
    monkeypatch.setattr(loader, "download", lambda *_, **__: tiny_folder)
    monkeypatch.setattr(loader, "from_pretrained", lambda *_, **__: other)
    assert cr.load_pipeline("some/fine-tune", device="cpu").safety_checker is None
