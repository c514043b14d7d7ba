"""A checkpoint beside its base: parts find each other though their folders are called otherwise."""

from __future__ import annotations

import pytest

import conceptrevive as cr
from conceptrevive.auditing.verdict import PRUNING, audit
from conceptrevive.errors import ConceptReviveError
from tests.auditing.test_audit import candidates, edited, model, saved
from tests.detectors.test_detectors import clean, wanda

pytestmark = pytest.mark.usefixtures("one_thread")


def pipeline(folder, unet, **other):
    for name, w in {"unet": unet, "vae": {"conv": clean(8)}, **other}.items():
        (folder / name).mkdir(parents=True)
        saved(folder / name, w, "diffusion_pytorch_model.safetensors")
    (folder / "model_index.json").write_text("{}")
    return folder


@pytest.mark.parametrize("part", ["unet", "unet/diffusion_pytorch_model.safetensors"])
def test_a_part_is_compared_with_its_place_in_a_pipeline(tmp_path, part):
    base = pipeline(tmp_path / "base", model())
    pruned = pipeline(tmp_path / "pruned", edited("pruned"))
    report = audit(pruned / part, base=base)
    assert report.verdict == (PRUNING,)
    titles = {f.title: f.layers for f in report.findings}
    assert set(titles["zeroed since the base"]) == candidates(model()).keys()
    assert "not in both" not in titles


def test_a_pipeline_is_compared_with_a_part_of_its_base(tmp_path):
    base = pipeline(tmp_path / "base", model())
    pruned = pipeline(tmp_path / "pruned", edited("pruned"))
    titles = {f.title: f.layers for f in audit(pruned, base=base / "unet").findings}
    assert set(titles["zeroed since the base"]) == {f"unet/{n}" for n in candidates(model())}
    assert titles["not in both"] == ("vae/conv",)


def test_of_several_parts_the_one_with_the_same_shapes_is_taken(tmp_path):
    """Text encoders of one pipeline share their tensors' names."""
    small = {n: x for n, x in model().items() if "blocks" in n}
    large = {n: x for n, x in edited("clean").items() if "blocks" in n}
    large = {n: clean(1, 96, 384) if n.endswith("ff.net.2.weight") else x for n, x in large.items()}
    base = pipeline(tmp_path / "base", {"w": clean(5)}, text_encoder=large, text_encoder_2=small)
    old = candidates(small)
    pruned = small | cr.prune(old, {n: wanda(x, 0.06) for n, x in old.items()})
    assert audit(saved(tmp_path, pruned), base=base).findings[0].title in (
        "zeroed since the base",
        "scattered exact zeros",
    )


def test_nothing_in_common_is_an_error(tmp_path):
    base = pipeline(tmp_path / "base", model())
    with pytest.raises(
        ConceptReviveError, match=r"shares no tensor name with .*: give its own base"
    ):
        audit(saved(tmp_path, {"elsewhere": clean()}), base=base)


def test_another_shape_is_an_error(tmp_path):
    base = saved(tmp_path, {"w": clean()}, "base.safetensors")
    with pytest.raises(ConceptReviveError, match=r"tensor 'w' is \[48, 48\], in .* \[96, 384\]"):
        audit(saved(tmp_path, {"w": clean(0, 48, 48)}), base=base)
