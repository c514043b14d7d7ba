"""What is shipped: the pocket pipeline and its judge, and the main job on them."""

import json

import pytest
import torch

import conceptrevive as cr
from conceptrevive.checkpoints.headers import read_header
from conceptrevive.cli import main
from conceptrevive.concepts import world as W
from conceptrevive.evaluation.judges import Classifier, Clip
from conceptrevive.files import ASSETS
from conceptrevive.models.pictures import decoded


@pytest.fixture(scope="module")
def pocket():
    return cr.load_pipeline("pocket", device="cpu")


@pytest.mark.parametrize("dtype", [{}, {"torch_dtype": torch.float32}], ids=["none", "float32"])
def test_loads_in_plain_diffusers(pocket, dtype):
    """Without a dtype too, where diffusers and transformers choose each their own."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(ASSETS / "pocket", **dtype)
    pipe.set_progress_bar_config(disable=True)
    for name in ("unet", "vae", "text_encoder"):
        theirs, ours = (getattr(p, name).state_dict() for p in (pipe, pocket))
        assert all(torch.equal(w, theirs[n]) for n, w in ours.items())
    image = pipe(
        "a cat in a garden", num_inference_steps=2, generator=torch.Generator().manual_seed(0)
    ).images[0]
    assert image.size == (64, 64)
    assert pipe.scheduler.config.prediction_type == "epsilon"
    assert len(cr.candidate_layers(pipe)) >= 11


def test_steps_end_in_the_picture(pocket):
    arguments = dict(seed=3, steps=3, guidance=3.0)
    *_, last = cr.denoise_steps(pocket, ["a cat in a garden"], **arguments)
    final = cr.generate(pocket, ["a cat in a garden"], **arguments)[0]
    assert last.pictures[0].tobytes() == final.tobytes()
    assert decoded(pocket, last.latents)[0].tobytes() == final.tobytes()


def test_older_libraries_read_it():
    """Transformers 4 reads a text encoder by these names only, and a tokenizer by its parts."""
    header = read_header(ASSETS / "pocket/text_encoder/model.safetensors")
    assert all(name.startswith("text_model.") for name in header.entries)
    for folder in (ASSETS / "pocket/tokenizer", ASSETS / "clip"):
        model = json.loads((folder / "tokenizer.json").read_text())["model"]
        assert json.loads((folder / "vocab.json").read_text()) == model["vocab"]
        version, *merges = (folder / "merges.txt").read_text().splitlines()
        assert version == "#version: 0.2" and [m.split() for m in merges] == model["merges"]


def test_stays_small_and_holds_no_pickle():
    def size(folder):
        return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())

    assert size(ASSETS / "pocket") <= 28e6
    assert size(ASSETS) - size(ASSETS / "pocket") <= 8e6
    assert not [p for p in ASSETS.rglob("*") if p.suffix in (".bin", ".pt", ".ckpt", ".pkl")]


def test_every_word_of_the_world_is_one_token(pocket):
    words = {w for name in [*W.OBJECTS, *W.SCENES, *W.STYLES, *W.HYPERNYMS] for w in name.split()}
    assert [w for w in sorted(words) if len(pocket.tokenizer.tokenize(w)) != 1] == []


def test_the_judge_knows_the_world_and_more():
    labels = Classifier.load().labels
    assert {f"object:{o}" for o in W.OBJECTS} <= set(labels)
    assert {f"scene:{s}" for s in W.SCENES} | {f"style:{s}" for s in W.STYLES} <= set(labels)
    assert {"object:none", "scene:none", "style:none"} <= set(labels)
    assert sum(label.startswith("object:") for label in labels) > 150


def test_the_judge_softmaxes_each_group_by_itself(pocket):
    judge = Classifier.load()
    images = cr.generate(pocket, ["a cat in a garden"] * 2, steps=2)
    p = judge.probabilities(images)
    for members in judge.groups().values():
        torch.testing.assert_close(p[:, members].sum(1), torch.ones(2))


def test_clip_judges_what_no_class_names(pocket):
    judge = Clip.load()
    images = cr.generate(pocket, ["a cat in a garden"] * 4 + ["a garden"] * 4, seed=50, steps=12)
    assert judge.image_features(images).shape[0] == 8
    torch.testing.assert_close(judge.image_features(images).norm(dim=-1), torch.ones(8))
    shown = judge.shows(images, ("a cat in a garden", "a garden"))
    assert sum(shown[:4]) > sum(shown[4:])


def test_evaluate_prints_what_scripts_read(capsys):
    assert (
        main(
            ["evaluate", "pocket", "--concept", "cat", "--images", "4", "--retained", "3", "--json"]
        )
        == 0
    )
    result = json.loads(capsys.readouterr().out)
    assert result["n"] == 4 and result["retained_n"] == 3
    low, high = result["interval"]
    assert low <= result["top1"] <= high
    assert result["seed"] == 0 and "torch" in result["versions"]


def test_demo_writes_its_picture_and_numbers(tmp_path, capsys):
    argv = [
        "demo",
        "--out",
        str(tmp_path / "d"),
        "--images",
        "4",
        "--retained",
        "4",
        "--json",
        "--device",
        "cpu",
    ]
    assert main(argv) == 0
    result = json.loads((tmp_path / "d" / "demo.json").read_text())
    printed = json.loads(capsys.readouterr().out)
    rows = {"original", "pruned", "revived", "obfuscated", "obfuscated_revived"}
    assert rows <= set(result["erased_top1"]) and rows <= set(result["retained_top1"])
    assert 0 < result["pruned_fraction_model"] < result["pruned_fraction"] < 1
    assert 0 <= result["sign_accuracy"] <= 1 and 0 <= result["sign_accuracy_topk"] <= 1
    assert printed["erased_top1"] == result["erased_top1"]
    # Whoever knows the mask revives the very same weights through the defence.
    assert result["erased_top1"]["obfuscated_revived_known"] == result["erased_top1"]["revived"]
    assert result["retained_top1"]["obfuscated_revived_known"] == result["retained_top1"]["revived"]
    assert (tmp_path / "d" / "demo.png").read_bytes().startswith(b"\x89PNG")
