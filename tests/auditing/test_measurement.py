"""What is measured of each matrix for the report: its zeros, its values, its dtype."""

import pytest
import torch

from conceptrevive.auditing.measurement import DRAWN, RECOVERED, SHOWN, measure
from conceptrevive.auditing.verdict import audit
from tests.auditing.test_audit import candidates, edited, model, saved

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_picture_is_the_zeros_and_the_values_are_the_weights(tmp_path, dtype):
    weights = edited("pruned", dtype)
    measured = measure(saved(tmp_path, weights), deep=True)
    by_name = {layer.name: layer for layer in measured.layers}
    for name, w in candidates(weights).items():
        layer = by_name[name]
        assert torch.equal(layer.image, (w == 0)[: SHOWN[0], : SHOWN[1]])
        assert torch.equal(layer.values, w.flatten()[:: max(1, w.numel() // DRAWN)].float())
        assert layer.found == ("zeros",) and layer.zeros["wanda"] == 1
    assert sum(layer.image.any().item() for layer in measured.layers) == len(candidates(weights))


def test_zeros_chosen_by_activation_are_told_from_zeros_anywhere(tmp_path):
    weights = model()
    generator = torch.Generator().manual_seed(3)
    scattered = weights | {
        n: w.masked_fill(torch.rand(w.shape, generator=generator) < 0.06, 0)
        for n, w in candidates(weights).items()
    }
    for kind, words in ((edited("pruned"), True), (scattered, False)):
        finding = audit(saved(tmp_path, kind), deep=True).findings[0]
        assert finding.title == "scattered exact zeros"
        assert ("as Wanda scores choose them" in finding.text) is words


def test_signs_are_tried_on_some_layers_and_on_all_where_asked(tmp_path):
    path = saved(
        tmp_path, edited("pruned") | {"more": edited("pruned", seed=7)["blocks.0.ff.net.2.weight"]}
    )
    for deep, count in ((False, RECOVERED), (True, 5)):
        layers = measure(path, deep=deep).layers
        assert sum(layer.recoverability is not None for layer in layers) == count


def test_layers_without_a_mark_are_not_looked_into(tmp_path):
    for layer in measure(saved(tmp_path, edited("clean")), deep=True).layers:
        assert layer.found == () and layer.zeros is None
        assert layer.recoverability is None and layer.residuals is None


def test_noise_comes_with_its_columns(tmp_path):
    layers = measure(saved(tmp_path, edited("filled")), deep=True).layers
    noisy = [layer for layer in layers if "noise" in layer.found]
    assert {layer.name for layer in noisy} <= candidates(model()).keys() and noisy
    for layer in noisy:
        axis = int(layer.about("noise").detail["axis"])
        assert len(layer.residuals) == layer.scan.shape[1 - axis]
