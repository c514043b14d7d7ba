"""A few steps on the tiny pipeline with made-up latents: going on, what is written and said."""

from __future__ import annotations

import copy
import csv
import json

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from conceptrevive.errors import ConceptReviveError
from training import train_pocket
from training.checkpoints import Past
from training.export import sheet_prompts
from training.latents import tokens_of
from training.stages import read_stage
from training.train_pocket import Run, begin, main, take_step, train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def stage():
    changes = {"steps": 4, "batch": 4, "lr": 1e-2, "rescale": read_stage("v6").rescale}
    return read_stage("v7").model_copy(update=changes)


@pytest.fixture(scope="module")
def data(tiny):
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(8, 4, 8, 8, generator=draw).bfloat16()
    return latents, tokens_of(tiny.tokenizer, ["a cat", "a dog"] * 4)


@pytest.fixture
def quick(monkeypatch):
    """One picture on the sheet."""
    monkeypatch.setattr("training.export.sheet_prompts", lambda world: ["a cat"])


def run_in(folder, tiny, stage):
    return Run(stage, copy.deepcopy(tiny), folder, torch.device("cpu"), Past(step=7, pictures=99))


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tiny, stage, data, tmp_path, quick):
    whole = run_in(tmp_path / "whole", tiny, stage)
    train(whole, *data)
    stopped = run_in(tmp_path / "parts", tiny, stage)
    for _ in range(2):
        take_step(stopped, *data)
    stopped.save()
    again = run_in(tmp_path / "parts", tiny, stage)
    assert again.past.current["steps"] == 2
    train(again, *data)
    for name, p in whole.parameters.items():
        assert torch.equal(p, again.parameters[name]), name
        assert torch.equal(whole.averages.values[name], again.averages.values[name]), name
    assert again.past.step == whole.past.step == 11
    assert not torch.equal(again.parameters["unet.conv_in.weight"], tiny.unet.conv_in.weight), (
        "nothing was learned"
    )


def test_what_is_written_loads_and_says_how_far_it_has_come(tiny, stage, data, tmp_path, quick):
    run = run_in(tmp_path, tiny, stage)
    train(run, *data)
    note = json.loads((tmp_path / "pipeline" / "training.json").read_text())
    assert (note["step"], note["pictures"]) == (11, 99 + 16)
    assert [(s["name"], s["steps"], s["pictures"]) for s in note["stages"]] == [("v7", 4, 16)]
    assert note["total_decay"] == pytest.approx(
        sum(stage.learning_rate(i, i / 4) for i in range(4)) * 0.5
    )
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "pipeline", torch_dtype=torch.float32)
    averages = run.averages.values["unet.conv_in.weight"].half().float()
    assert torch.equal(pipe.unet.conv_in.weight, averages)
    # Halves on disk, yet without a dtype every part comes in float32: plain diffusers can draw.
    plain = StableDiffusionPipeline.from_pretrained(tmp_path / "pipeline")
    stored = load_file(tmp_path / "pipeline" / "text_encoder" / "model.safetensors")
    assert {t.dtype for t in stored.values() if t.is_floating_point()} == {torch.float16}
    networks = (plain.unet, plain.vae, plain.text_encoder)
    assert {p.dtype for net in networks for p in net.parameters()} == {torch.float32}
    assert (tmp_path / "samples-000011.png").exists()
    assert not list(tmp_path.glob("*.new")), "nothing half written"
    train(run_in(tmp_path, tiny, stage), *data)
    assert json.loads((tmp_path / "pipeline" / "training.json").read_text()) == note, "it was done"


def test_a_loss_that_is_not_finite_stops_the_run(tiny, stage, data, tmp_path):
    run = run_in(tmp_path, tiny, stage)
    latents = torch.full_like(data[0], float("nan"))
    with pytest.raises(ConceptReviveError, match=r"^loss is nan at step 7: lower the stage's lr$"):
        take_step(run, latents, data[1])


def test_a_log_line_every_fifty_steps(tiny, stage, data, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(train_pocket, "LOG_EVERY", 2)
    train(run_in(tmp_path, tiny, stage), *data)
    rows = list(csv.reader((tmp_path / "log.csv").open()))
    assert [row[0] for row in rows] == ["8", "10"]


def test_the_sheet_shows_every_object_of_the_world():
    prompts = sheet_prompts(read_stage("v8").world)
    assert len(prompts) == 48 + 16 and "an alarm" not in prompts
    assert prompts[0] == "a golf in a road" and any("clock" in p for p in prompts)


def test_the_stage_before_must_have_been_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = r"^runs/v6/pipeline is not there: run --stage v6 first, or name the folder of its pipel"
    with pytest.raises(ConceptReviveError, match=text):
        begin(read_stage("v7"), None, tmp_path / "vae", tmp_path)
    with pytest.raises(ConceptReviveError, match="has no autoencoder: run `python -m training"):
        begin(read_stage("from-nothing"), None, tmp_path / "vae", tmp_path)
    with pytest.raises(SystemExit, match="has no stage 'v99': choose from first, small-decay, v3"):
        main(["--stage", "v99"])
    (tmp_path / "training.json").write_text("[]")
    with pytest.raises(ConceptReviveError, match="does not say how far training has come"):
        begin(read_stage("v7"), tmp_path, tmp_path / "vae", tmp_path)


def test_a_stage_goes_on_from_a_pipeline(tiny, tmp_path):
    tiny.save_pretrained(tmp_path / "pipeline")
    (tmp_path / "pipeline" / "training.json").write_text('{"step": 5, "pictures": 320}')
    pipe, past = begin(read_stage("v7"), tmp_path / "pipeline", tmp_path / "vae", tmp_path)
    assert past == Past(step=5, pictures=320)
    assert torch.equal(pipe.unet.conv_in.weight, tiny.unet.conv_in.weight)
