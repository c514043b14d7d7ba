"""When nothing can be told, it is said: never "no evidence" of what no test could see."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from calibration.round_trips import ROUND_TRIPS
from conceptrevive.auditing.verdict import NOTHING, PRUNING, UNTOLD, audit
from conceptrevive.checkpoints.headers import read_header
from conceptrevive.cli import main
from conceptrevive.errors import ConceptReviveError
from tests.auditing.test_audit import candidates, edited, model, saved
from tests.detectors.test_detectors import clean, wanda

pytestmark = pytest.mark.usefixtures("one_thread")


def quantised(way, w):
    return w | {n: ROUND_TRIPS[way](x.float()).to(x.dtype) for n, x in candidates(w).items()}


@pytest.mark.parametrize("seed", range(6))
def test_clean_gaussian_weights_through_nvfp4_are_not_accused(tmp_path, seed):
    w = 0.02 * torch.randn(256, 1024, generator=torch.Generator().manual_seed(seed))
    report = audit(saved(tmp_path, {"w": ROUND_TRIPS["NVFP4"](w).bfloat16()}))
    assert report.verdict == (UNTOLD,) and report.exit_code == 2
    assert report.unknown[0] == (
        "nothing could be tested: every matrix tested lies on a quantisation grid or holds NaN or "
        "Inf"
    )


@pytest.mark.parametrize("way", ["NVFP4", "Q6_K", "int4 per 128, zero point", "FP8 E4M3 per row"])
def test_pruning_under_a_grid_is_never_no_evidence(tmp_path, capsys, way):
    path = saved(tmp_path, quantised(way, edited("pruned", torch.bfloat16)))
    assert main(["audit", str(path)]) == 2
    text = capsys.readouterr().out
    assert NOTHING not in text and text.startswith(f"{path}: could not tell")
    assert "4 of 14 matrices lie on a quantisation grid" in text


def test_evidence_elsewhere_outweighs_a_grid(tmp_path):
    w = edited("pruned")
    w["other"] = ROUND_TRIPS["NF4"](clean(3)).half()
    report = audit(saved(tmp_path, w))
    assert report.verdict == (PRUNING,) and report.exit_code == 1
    assert any("1 of 15 matrices lie on a quantisation grid" in u for u in report.unknown)


def test_a_grid_that_is_the_base_s_own_hides_nothing(tmp_path):
    w = quantised("NF4", model())
    base = saved(tmp_path, w, "base.safetensors")
    assert audit(saved(tmp_path, w), base=base).verdict == (NOTHING,)
    old = candidates(w)
    w |= {n: x.masked_fill(wanda(x, 0.06), 0) for n, x in old.items()}
    assert audit(saved(tmp_path, w), base=base).verdict == (PRUNING,)


def test_a_file_of_packed_weights_could_not_be_told(tmp_path, capsys):
    w = {
        "layer.weight": torch.randint(256, (32768, 1), dtype=torch.uint8),
        "layer.weight.absmax": torch.rand(512),
        "layer.weight.quant_map": torch.linspace(-1, 1, 16),
    }
    path = saved(tmp_path, w)
    assert main(["audit", str(path), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == ["could not tell"]
    assert report["could_not_tell"] == [
        "nothing could be tested: there is no matrix of floating-point weights of at least 4 × 4",
        "1 tensor of U8 (whole numbers), not read: layer.weight",
    ]
    assert report["unread"] == {"layer.weight": "U8"}
    only = saved(tmp_path, {"w": w["layer.weight"]}, "only.safetensors")
    assert audit(only).exit_code == 2


@pytest.mark.skipif(not hasattr(torch, "float8_e8m0fnu"), reason="this torch has no such dtype")
def test_dtypes_that_cannot_be_read_stop_nothing(tmp_path):
    w = edited("pruned") | {"scale": torch.ones(64, dtype=torch.float8_e8m0fnu)}
    w["packed.a"], w["packed.b"] = (torch.zeros(8, 8, dtype=torch.int32) for _ in "ab")
    report = audit(saved(tmp_path, w))
    assert report.verdict == (PRUNING,)
    assert {
        "1 tensor of F8_E8M0 (scales of quantised weights), not read: scale",
        "2 tensors of I32 (whole numbers), not read: packed.a first",
    } <= set(report.unknown)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fnuz, torch.float8_e5m2fnuz])
def test_fnuz_floats_are_read_and_their_nan_is_none_of_their_zeros(tmp_path, dtype):
    w = clean().clone()
    w[3, 5] = torch.nan
    w[7, :3] = 0
    save_file({"w": w.to(dtype)}, tmp_path / "m.safetensors")
    assert "w" in read_header(tmp_path / "m.safetensors").entries
    report = audit(tmp_path / "m.safetensors")
    scan = report.measured.scans[0]
    assert scan.nonfinite == 1 and scan.zeros == int((w.to(dtype).float() == 0).sum())
    assert [f.title for f in report.findings if f.kind == "damage"] == ["NaN or Inf"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": 3}, 'model is a int: give a path, "pocket" or a hub id'),
        ({"model": None}, 'model is a NoneType: give a path, "pocket" or a hub id'),
        ({"base": 3.5}, 'base is a float: give a path, "pocket" or a hub id'),
        ({"deep": "yes"}, "deep is a str: give True or False"),
        ({"seed": 1.5}, "seed is a float: give a whole number"),
        ({"seed": True}, "seed is True: give a whole number from 0 to 2⁶³ − 1"),
        ({"seed": 2**70}, f"seed is {2**70}: give a whole number from 0 to 2⁶³ − 1"),
        ({"seed": -1}, "seed is -1: give a whole number from 0 to 2⁶³ − 1"),
        ({"revision": 1}, "revision is a int: give a branch, a tag or a commit of the hub model"),
    ],
)
def test_arguments_of_another_type_are_named(given, message):
    with pytest.raises(ConceptReviveError) as e:
        audit(**{"model": "pocket"} | given)
    assert str(e.value) == message
