"""timm's format of torchvision's ResNets, against their forward pass written out."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

import conceptrevive as cr
from conceptrevive.evaluation.judges import Classifier
from conceptrevive.evaluation.timm_resnet import is_timm

DEPTHS, WIDTHS, STEM = (3, 4, 6, 3), (8, 16, 24, 32), 6
NAMES = ("garbage truck", "church", "golf ball")
ABOUT = {
    "input_size": [3, 48, 48],
    "test_input_size": [3, 64, 64],
    "test_crop_pct": 0.965,
    "crop_pct": 0.875,
    "interpolation": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


def tensors():
    draw = torch.Generator().manual_seed(0)
    out = {}

    def conv(name, rows, columns, side):
        scale = (2 / (columns * side * side)) ** 0.5
        out[f"{name}.weight"] = torch.randn(rows, columns, side, side, generator=draw) * scale

    def norm(name, width):
        for part, least in (("weight", 0.5), ("bias", -0.5), ("running_var", 0.5)):
            out[f"{name}.{part}"] = torch.rand(width, generator=draw) + least
        out[f"{name}.running_mean"] = torch.randn(width, generator=draw) / 2

    conv("conv1", STEM, 3, 7)
    norm("bn1", STEM)
    given = STEM
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True), 1):
        for block in range(depth):
            at, inner = f"layer{stage}.{block}", width // 4
            for i, (rows, columns, side) in enumerate(
                ((inner, given, 1), (inner, inner, 3), (width, inner, 1)), 1
            ):
                conv(f"{at}.conv{i}", rows, columns, side)
                norm(f"{at}.bn{i}", rows)
            if not block:
                conv(f"{at}.downsample.0", width, given, 1)
                norm(f"{at}.downsample.1", width)
            given = width
    out["fc.weight"] = torch.randn(len(NAMES), WIDTHS[-1], generator=draw) / 1500
    out["fc.bias"] = torch.randn(len(NAMES), generator=draw) / 1500
    return out


def forward(p, x):
    """torchvision's ResNet with bottlenecks, the stride in the middle convolution."""

    def norm(x, name):
        mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, p[f"{name}.weight"], p[f"{name}.bias"])

    x = norm(F.conv2d(x, p["conv1.weight"], stride=2, padding=3), "bn1").relu()
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, depth in enumerate(DEPTHS, 1):
        for block in range(depth):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and not block else 1
            y = norm(F.conv2d(x, p[f"{at}.conv1.weight"]), f"{at}.bn1").relu()
            y = F.conv2d(y, p[f"{at}.conv2.weight"], stride=stride, padding=1)
            y = norm(y, f"{at}.bn2").relu()
            y = norm(F.conv2d(y, p[f"{at}.conv3.weight"]), f"{at}.bn3")
            if not block:
                x = F.conv2d(x, p[f"{at}.downsample.0.weight"], stride=stride)
                x = norm(x, f"{at}.downsample.1")
            x = (x + y).relu()
    return F.linear(x.mean((2, 3)), p["fc.weight"], p["fc.bias"])


def folder(path, state=None, **more):
    told = {"architecture": "resnet50", "label_names": NAMES, "pretrained_cfg": ABOUT} | more
    (path / "config.json").write_text(json.dumps(told))
    save_file(tensors() if state is None else state, path / "model.safetensors")
    return str(path)


def test_it_judges_as_torchvisions_network(tmp_path):
    judge = Classifier.load(folder(tmp_path))
    assert judge.labels == NAMES and is_timm(str(tmp_path))
    noise = torch.randint(0, 256, (5, 80, 100, 3), generator=torch.Generator().manual_seed(1))
    images = [Image.fromarray(x.byte().numpy()) for x in noise]
    # As torchvision prepares them: the shorter side to 64 / 0.965, the centre, mean, deviation.
    small = [x.resize((82, 66), Image.Resampling.BILINEAR).crop((9, 1, 73, 65)) for x in images]
    pixels = torch.stack([torch.tensor(list(x.tobytes())).view(64, 64, 3) for x in small]) / 255
    mean, deviation = torch.tensor(ABOUT["mean"]), torch.tensor(ABOUT["std"])
    wanted = forward(tensors(), ((pixels - mean) / deviation).permute(0, 3, 1, 2)).softmax(-1)
    torch.testing.assert_close(judge.probabilities(images), wanted, rtol=1e-3, atol=1e-4)
    assert 0.01 < wanted.min() and wanted.std(0).max() > 0.001, "pictures make a difference"


def test_an_untold_number_of_classes_and_other_networks(tmp_path):
    with pytest.raises(cr.ConceptReviveError, match=r"cannot load the judge.*this is a vit_tiny"):
        Classifier.load(folder(tmp_path, architecture="vit_tiny"))
    with pytest.raises(cr.ConceptReviveError, match="it has 3 classes and 2 names for them"):
        Classifier.load(folder(tmp_path, label_names=["a", "b"]))
    state = tensors()
    del state["layer2.1.bn2.bias"]
    with pytest.raises(cr.ConceptReviveError, match=r"cannot load the judge.*Missing key"):
        Classifier.load(folder(tmp_path, state))
    with pytest.raises(cr.ConceptReviveError, match="no ResNet of four stages"):
        Classifier.load(folder(tmp_path, {"fc.weight": torch.ones(3, 2)}))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(cr.ConceptReviveError, match="cannot load the judge"):
        Classifier.load(str(tmp_path))


def test_from_the_hub_it_is_asked_for_in_safetensors(monkeypatch):
    asked = []

    def download(source, name):
        asked.append((source, name))
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(cr.ConceptReviveError, match=r"'timm/resnet50\.tv2_in1k': check the name"):
        Classifier.load("timm/resnet50.tv2_in1k")
    assert asked == [("timm/resnet50.tv2_in1k", "config.json")]
