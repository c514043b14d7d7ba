"""Judges: what cannot be loaded is named with the remedy, whole; groups of labels."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image

import conceptrevive as cr
from conceptrevive.evaluation.judges import Classifier, Clip, group_of
from conceptrevive.files import ASSETS

GREY = Image.new("RGB", (64, 64), "grey")


@pytest.mark.parametrize("judge", [Classifier, Clip])
def test_a_judge_that_cannot_be_reached(judge):
    with pytest.raises(
        cr.ConceptReviveError,
        match="cannot load the judge 'owner/no-judge': check the name and the connection, or give",
    ) as error:
        judge.load("owner/no-judge")
    assert " ".join(str(error.value.__cause__).split()) in str(error.value), "nothing is cut off"


@pytest.mark.parametrize("judge", [Classifier, Clip])
def test_a_judge_that_is_no_name(judge):
    with pytest.raises(cr.ConceptReviveError, match="the judge is a list: give a folder, a hub id"):
        judge.load(["pocket"])


def test_a_clip_without_its_tokenizer(tmp_path):
    folder = tmp_path / "clip"
    shutil.copytree(ASSETS / "clip", folder)
    for file in folder.glob("*token*"):
        file.write_text("{")
    with pytest.raises(
        cr.ConceptReviveError, match=r"cannot load the judge .*give a complete folder"
    ):
        Clip.load(str(folder))


def test_a_judge_on_a_device_without_values():
    with pytest.raises(cr.ConceptReviveError, match="device 'meta' cannot be used here"):
        Classifier.load(device="meta")


def test_groups_of_labels():
    assert (group_of("object:cat"), group_of("golf ball"), group_of("a:b:c")) == ("object", "", "a")


def test_pictures_of_several_groups_are_judged_each_in_its_own():
    judge = Classifier.load()
    best = {g: judge.top1([GREY], g)[0] for g in ("object", "scene")}
    wanted = [("object:cat",), (best["scene"],), (best["object"],)]
    assert judge.correct([GREY] * 3, wanted) == [best["object"] == "object:cat", True, True]
    assert judge.correct([], []) == []
