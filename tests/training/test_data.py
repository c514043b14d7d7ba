"""What is painted and what is said of it, on made-up icons."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from conceptrevive.concepts import world as W
from conceptrevive.errors import ConceptReviveError
from training import artwork
from training.data import draw_item, render
from training.latents import prepare
from training.pocket import ALL, build_tokenizer
from training.scenes import PAINTERS, paint_scene
from training.stages import read_stage
from training.styles import FILTERS, apply_style
from training.worlds import FIRST, SECOND_PHRASES, World, world_of

SQUARE = '<rect width="16" height="16" fill="#d00"/>'


@pytest.fixture
def icons(tmp_path, monkeypatch):
    """A set in which every object is a red square."""
    pytest.importorskip("resvg_py")
    folder = tmp_path / "noto"
    folder.mkdir()
    names = {icon: {"body": SQUARE} for icon in ALL.objects.values()}
    (folder / "icons.json").write_text(json.dumps({"icons": names, "width": 16, "height": 16}))
    monkeypatch.setattr(artwork, "ARTWORK", tmp_path)
    return tmp_path


def items(world, count=4000):
    rng = np.random.default_rng(0)
    return [draw_item(rng, world, styled=0.24) for _ in range(count)]


@pytest.mark.parametrize("world", [FIRST, world_of(48, "second")], ids=["first", "second"])
def test_held_out_pairs_and_phrasings_are_never_said(world):
    drawn = items(world)
    for item in drawn:
        for other in (item.scene, item.style):
            assert not (item.object and other and W.held_out(item.object, other))
    said = {i.caption for i in drawn}
    for phrase in world.phrases.held_out:
        for o in world.objects:
            for s in W.SCENES:
                assert phrase.format(o=W.with_article(o), s=W.with_article(s)) not in said
    assert {i.object for i in drawn} - {None} == set(world.objects)
    assert {i.scene for i in drawn} - {None} == set(W.SCENES)


def test_names_come_with_the_articles_people_use():
    drawn = items(world_of(48, "second"))
    share = [i.caption.startswith(("the ", "a photo of the ", "image of the ")) for i in drawn]
    assert 0.01 < np.mean(share) < 0.06
    assert any(i.caption == i.object for i in drawn), "bare nouns"
    assert any(", " in i.caption for i in drawn)
    first = [i.caption.replace("in the style of", "") for i in items(FIRST)]
    assert not any("the" in caption.split() for caption in first)


def test_pictures_are_the_same_for_any_number_of_workers(icons):
    world = world_of(48, "second")
    pictures, said = render(600, 3, world, ("noto",), workers=1)
    again, told = render(600, 3, world, ("noto",), workers=2)
    assert np.array_equal(pictures, again) and said == told
    other, _ = render(600, 4, world, ("noto",), workers=1)
    assert not np.array_equal(pictures, other)
    plain = next(i for i, item in enumerate(said) if item.object and not item.style)
    assert (np.abs(pictures[plain].astype(int) - (221, 0, 0)).sum(-1) == 0).any(), "its icon"


def test_painted_pictures_are_kept_for_the_stages_that_share_them(icons, tiny, tmp_path, capsys):
    changes = {"pictures": 20, "artwork": ["noto"]}
    stage = read_stage("v6").model_copy(update=changes)
    device = torch.device("cpu")
    latents, tokens = prepare(stage, tiny, device, tmp_path / "cache")
    assert latents.dtype == torch.bfloat16 and len(latents) == len(tokens) == 20
    same = read_stage("v7").model_copy(update=changes)
    assert torch.equal(prepare(same, tiny, device, tmp_path / "cache")[0], latents)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    other = stage.model_copy(update={"phrases": "second"})
    prepare(other, tiny, device, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_without_artwork_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(artwork, "ARTWORK", tmp_path)
    with pytest.raises(ConceptReviveError, match=r"icons\.json is missing: run `make artwork` fir"):
        render(1, 0, sets=("noto",))


def test_every_scene_and_style_of_the_world_is_painted():
    assert tuple(PAINTERS) == W.SCENES and tuple(FILTERS) == W.STYLES
    rng = np.random.default_rng(0)
    scenes = {s: np.asarray(paint_scene(s, rng)) for s in (None, *W.SCENES)}
    assert all(p.shape == (64, 64, 3) and p.dtype == np.uint8 for p in scenes.values())
    road = paint_scene("road", rng)
    for style in W.STYLES:
        assert not np.array_equal(np.asarray(apply_style(road, style, rng)), np.asarray(road))
    with pytest.raises(
        ConceptReviveError, match=r"^unknown scene 'moon': choose from road, garden"
    ):
        paint_scene("moon", rng)
    with pytest.raises(
        ConceptReviveError, match=r"^unknown style 'oil': choose from sketch, pixel"
    ):
        apply_style(road, "oil", rng)


def test_every_word_is_one_token_and_the_tokenizer_is_the_same_every_time(tmp_path):
    world = World(ALL.objects, SECOND_PHRASES)
    tokenizer = build_tokenizer(tmp_path / "a", world)
    words = {
        w for name in [*world.objects, *W.SCENES, *W.STYLES, *W.HYPERNYMS] for w in name.split()
    }
    words |= {"the", "a", "an", "in", "with", "of", "photo", "picture", "image", "style", ","}
    assert [w for w in sorted(words) if len(tokenizer.tokenize(w)) != 1] == []
    build_tokenizer(tmp_path / "b", world)
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
