"""What files lack is refused: libraries leave it empty, or draw it at random, and say nothing."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import conceptrevive as cr
from conceptrevive.cli import main
from conceptrevive.evaluation.judges import Clip
from tests.families import folder

pytestmark = pytest.mark.usefixtures("one_thread")

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture
def copied(tmp_path):
    """A pipeline's folder that may be written into."""
    return shutil.copytree(folder("sd15"), tmp_path / "model")


def changed(file, change):
    """The file with its tensors changed by a function of {name: tensor}."""
    weights = change(load_file(file))
    save_file({n: w.contiguous() for n, w in weights.items()}, file, metadata={"format": "pt"})


def without(part):
    def change(weights):
        name = next(n for n in weights if part in n)
        return {n: w for n, w in weights.items() if n != name}

    return change


def under(prefix):
    return lambda weights: {prefix + n.removeprefix("text_model."): w for n, w in weights.items()}


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (UNET, without("conv_in.weight"), "conv_in.weight"),
        (VAE, without("decoder.conv_in"), "decoder.conv_in"),
        (TEXT, without("mlp.fc2.weight"), "text_encoder lacks weights: 1 of this CLIPTextModel's"),
        (TEXT, without("mlp.fc2.bias"), "mlp.fc2.bias first: give a complete folder"),
        (TEXT, without("token_embedding"), "token_embedding.weight first: give a complete folder"),
        (TEXT, under("some.other.text_model."), "text_encoder lacks weights: 36 of this CLIPText"),
    ],
    ids=["unet", "vae", "text", "bias", "table", "names"],
)
def test_weights_that_are_not_there(file, change, said, copied, capsys):
    changed(copied / file, change)
    masks = copied.parent / "masks"
    argv = ["locate", str(copied), "--concept", "parachute", "--device", "cpu", "--out", str(masks)]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert said in err and str(copied / file.partition("/")[0]) in err
    assert not masks.exists()


@pytest.mark.parametrize("names", [dict, under("text_model.")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_names_of_other_versions_are_no_lack(names, dtype, copied):
    changed(copied / TEXT, lambda w: {n: x.to(dtype) for n, x in names(w).items()})
    kept = load_file(copied / TEXT)
    pipe = cr.load_pipeline(copied, device="cpu")
    loaded = dict(pipe.text_encoder.named_parameters())
    assert len(loaded) == len(kept)
    for name, weight in loaded.items():
        stored = next(w for n, w in kept.items() if n.endswith(name.removeprefix("text_model.")))
        assert torch.equal(stored.float(), weight)


def test_old_names_of_norms_are_no_lack(copied):
    def old(weights):
        names = {n: n for n in weights} | {
            n: n.replace("layer_norm1.weight", "layer_norm1.gamma") for n in weights
        }
        return {names[n]: w for n, w in weights.items()}

    from conceptrevive.models.lacking import _drawn, _Stored

    encoder = cr.load_pipeline(copied, device="cpu").text_encoder
    there = old(encoder.state_dict())
    file = copied / TEXT
    found = {n: _Stored(file, n, "F32", w.shape) for n, w in there.items()}
    assert _drawn(encoder, found) == []


def test_a_denoiser_that_lacks_weights(copied, tmp_path):
    changed(copied / UNET, without("conv_in.weight"))
    with pytest.raises(cr.ConceptReviveError, match=r"conv_in\.weight"):
        cr.load_pipeline(folder("sd15"), device="cpu", denoiser=copied)


def test_quantised_weights_without_their_scales(copied):
    changed(copied / UNET, lambda w: {n: (9 * x).to(torch.int8) for n, x in w.items()})
    with pytest.raises(  # or diffusers' own reason, in old versions
        cr.ConceptReviveError,
        match=r"safetensors holds .*\.weight as I8, quantised, and no config.json says how: give "
        r"the model as it was before it was quantised|cannot load a pipeline",
    ):
        cr.load_pipeline(copied, device="cpu")


@pytest.mark.parametrize("part", ["tokenizer", "text_encoder", "scheduler", "unet"])
def test_components_that_are_not_there(part, copied):
    shutil.rmtree(copied / part)
    with pytest.raises(
        cr.ConceptReviveError, match=f"model lacks its {part}, a .*: give a complete folder with"
    ):
        cr.load_pipeline(copied, device="cpu")


def without_words(folder):
    """All but the configuration of its tokenizer."""
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (folder / name).unlink(missing_ok=True)


def test_a_tokenizer_without_words(copied, tmp_path):
    """Recent versions of transformers make one, for which all prompts are the same."""
    without_words(copied / "tokenizer")
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"tokenizer lacks the vocabulary of its CLIPTokenizer, which knows no word: give a c"
        r"|give a complete folder",  # of versions that refuse it
    ):
        cr.load_pipeline(copied, device="cpu")
    judge = shutil.copytree(folder("judge"), tmp_path / "judge")
    without_words(judge)
    with pytest.raises(
        cr.ConceptReviveError, match=r"judge lacks the vocabulary|cannot load the judge"
    ):
        Clip.load(str(judge))


def test_a_denoiser_from_elsewhere_need_not_be_there(copied):
    shutil.rmtree(copied / "unet")
    pipe = cr.load_pipeline(copied, device="cpu", denoiser=folder("sd15"))
    assert pipe.unet is not None


@pytest.mark.parametrize(
    ("text", "said"), [("{", "cannot be read"), ("[]", "is no JSON object"), ("\0", "cannot be")]
)
def test_a_damaged_index(text, said, copied):
    (copied / "model_index.json").write_text(text)
    with pytest.raises(cr.ConceptReviveError, match=rf"model_index.json {said}.*: give a complete"):
        cr.load_pipeline(copied, device="cpu")


def test_a_judge_that_lacks_weights(tmp_path):
    judge = shutil.copytree(folder("judge"), tmp_path / "judge")
    assert Clip.load(str(judge))
    changed(judge / "model.safetensors", without("visual_projection"))
    with pytest.raises(cr.ConceptReviveError, match="judge lacks weights: 1 of this CLIPModel's"):
        Clip.load(str(judge))
