"""The stages as they are written down: what they hold, and what is said of a file that is wrong."""

from __future__ import annotations

import math
import re

import pytest

from conceptrevive.errors import ConceptReviveError
from training.stages import STAGES, read_stage, read_stages

DEFAULTS = """
[defaults]
lr = 8e-4
batch = 64
finish = 0.5
decay = 0.5
seed = 0
objects = 48
phrases = "first"
artwork = ["noto"]
"""
ONE = DEFAULTS + "[stage.one]\nsteps = 1000\ndata_seed = 1\npictures = 10\n"


def test_the_history_adds_up_to_the_pictures_it_took():
    stages = read_stages()
    pictures, stage, names = 0, stages["v7"], []
    while True:
        pictures += stage.steps * stage.batch
        names.append(stage.name)
        if stage.start is None:
            break
        stage = stages[stage.start]
    assert names == ["v7", "v6", "v5", "v4", "v3", "first"]
    assert pictures == 988_992


def test_stages_show_the_world_they_choose():
    stages = read_stages()
    assert len(stages["first"].world.objects) == 32 and len(stages["v8"].world.objects) == 48
    assert len(stages["v8"].world.phrases.held_out) == 4
    assert not set(stages["v8"].world.phrases.held_out) & set(
        stages["v8"].world.phrases.object_scenes
    )


def test_the_rate_warms_up_stays_and_falls():
    stage = read_stage("v7")
    assert stage.learning_rate(0, 0.0) == pytest.approx(stage.lr / 200)
    assert stage.learning_rate(99, 0.1) == pytest.approx(stage.lr / 2)
    assert stage.learning_rate(300, 0.3) == stage.lr
    assert stage.learning_rate(900, 0.7) == pytest.approx(stage.lr * 0.5)
    assert stage.learning_rate(1311, 1.0) == pytest.approx(stage.lr * 0.02)


def test_a_stage_is_as_long_as_its_steps_or_its_minutes(tmp_path):
    stage = read_stage("v7")
    assert stage.share_done(656, 1e9) == pytest.approx(0.5)
    path = tmp_path / "stages.toml"
    path.write_text(ONE.replace("steps = 1000", "minutes = 20"))
    timed = read_stage("one", path)
    assert timed.share_done(10**9, 5.0) == 0.25
    assert math.isfinite(timed.learning_rate(0, 0.0))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("steps = 1000", "", "stage one: give either steps or minutes"),
        ("steps = 1000", "steps = 5\nminutes = 5", "stage one: give either steps or minutes"),
        ("steps = 1000", "steps = 0", "stage one: steps: Input should be greater than 0"),
        ("steps = 1000", 'steps = "many"', "stage one: steps: Input should be a valid integer"),
        ("lr = 8e-4", "lr = nan", "stage one: lr: Input should be"),
        ("batch = 64", "batch = 64\nlearning = 1", "stage one: learning: unknown key: choose from"),
        ("batch = 64", "", "stage one: batch: Field required"),
        ("objects = 48", "objects = 40", "stage one: objects = 40: choose 32 or 48"),
        ('"first"', '"third"', "stage one: phrases = 'third': choose first or second"),
        ('["noto"]', '["emoji"]', "stage one: artwork 'emoji': choose from noto, "),
        ("data_seed", 'start = "zero"\ndata_seed', "stage one: start = 'zero' is no stage: choose"),
        ("[stage.one]", "[stage.one", "stages.toml: Expected"),
        (
            "pictures = 10",
            'pictures = 10\nrescale = [{ part = "ff", half = "third" }]',
            "stage one: rescale.0.half: Input should be 'both', 'value' or 'gate'",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, old, new, text):
    path = tmp_path / "stages.toml"
    path.write_text(ONE.replace(old, new, 1))
    with pytest.raises(ConceptReviveError, match=re.escape(text)) as caught:
        read_stages(path)
    assert str(path) in str(caught.value)


def test_an_unknown_stage_is_answered_with_the_known_ones():
    with pytest.raises(ConceptReviveError, match=r"has no stage 'v99': choose from first, "):
        read_stage("v99")
    with pytest.raises(ConceptReviveError, match="No such file"):
        read_stages(STAGES.with_name("none.toml"))
