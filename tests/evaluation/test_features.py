"""Features are what the judge's last layer is given; Inception is named where it is missing."""

import os
import pickle
from dataclasses import replace

import pytest
import torch
import torchmetrics.image.fid
from PIL import Image

from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation import features
from conceptrevive.evaluation.features import inception, inception_features, penultimate
from conceptrevive.evaluation.judges import Classifier

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_last_layer_makes_the_probabilities_of_them():
    judge = Classifier.load()
    images = [Image.new("RGB", (64, 64), c) for c in ("grey", "red", "white")]
    found = penultimate(judge, images)
    last = [m for m in judge.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    assert found.shape == (3, last.in_features)
    logits = last(found).detach()
    told = judge.probabilities(images)
    for members in judge.groups().values():
        assert torch.allclose(logits[:, members].softmax(-1), told[:, members], atol=1e-5)
    assert not last._forward_pre_hooks, "the judge is left as it was"
    with pytest.raises(ConceptReviveError, match="the judge is a Identity without a linear layer"):
        penultimate(replace(judge, model=torch.nn.Identity()), images)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("x"), "torch-fidelity is not installed: pip install torch-fidelity"),
        (
            OSError("no\nroute"),
            r"cannot load Inception for FID \(no route\): install a torchv",
        ),
    ],
)
def test_inception_that_cannot_be_had(monkeypatch, error, said):
    def fails(*_):
        raise error

    monkeypatch.setattr(torchmetrics.image.fid, "NoTrainInceptionV3", fails)
    inception.cache_clear()
    with pytest.raises(ConceptReviveError, match=said):
        inception()


def test_inception_sees_bytes_of_every_size(monkeypatch):
    def net(pixels):
        assert pixels.dtype == torch.uint8
        return torch.tensor([[*pixels.shape[2:], int(pixels[0, 2, 0, 0])]], dtype=torch.float)

    monkeypatch.setattr(features, "inception", lambda device: net)
    images = [Image.new("RGB", (5, 7), (1, 2, 3)), Image.new("L", (4, 4), 9)]
    assert inception_features(images).tolist() == [[7, 5, 3], [4, 4, 9]]


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_weights_are_loaded_without_running_their_code(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Trap()}, "weights.pth")

    def loads(*_):
        return torch.load("weights.pth", weights_only=False)

    monkeypatch.setattr(torchmetrics.image.fid, "NoTrainInceptionV3", loads)
    inception.cache_clear()
    with pytest.raises(ConceptReviveError, match="cannot load Inception for FID") as error:
        inception()
    assert isinstance(error.value.__cause__, pickle.UnpicklingError)
    assert not (tmp_path / "trapped").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
