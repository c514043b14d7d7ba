"""Noise levels against diffusers' own schedulers."""

from __future__ import annotations

import diffusers as D
import pytest
import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.unlearning.noising import noise_levels

X, NOISE = torch.randn(2, 2, 3, 1, 2, generator=torch.Generator().manual_seed(0))
LEVEL = torch.tensor([3, 997])


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_noisy_pictures_and_targets_are_the_schedulers(kind):
    scheduler = D.DDPMScheduler(prediction_type=kind)
    levels = noise_levels(scheduler)
    torch.testing.assert_close(levels.noisy(X, LEVEL, NOISE), scheduler.add_noise(X, NOISE, LEVEL))
    wanted = {
        "epsilon": NOISE,
        "sample": X,
        "v_prediction": scheduler.get_velocity(X, NOISE, LEVEL),
    }
    torch.testing.assert_close(levels.target(X, LEVEL, NOISE), wanted[kind])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_all_levels_count_whatever_steps_are_set():
    scheduler = D.EulerDiscreteScheduler()
    scheduler.set_timesteps(5)
    assert len(noise_levels(scheduler).times) == 1000


def test_flow_matching_is_a_straight_line():
    scheduler = D.FlowMatchEulerDiscreteScheduler(shift=3.0)
    levels = noise_levels(scheduler)
    scheduler.set_timesteps(4)
    fresh = D.FlowMatchEulerDiscreteScheduler(shift=3.0)
    torch.testing.assert_close(
        levels.noisy(X, LEVEL, NOISE), fresh.scale_noise(X, levels.times[LEVEL], NOISE)
    )
    torch.testing.assert_close(levels.target(X, LEVEL, NOISE), NOISE - X)


def test_schedulers_that_cannot_be_trained_with_are_named():
    with pytest.raises(
        ConceptReviveError, match=r"object has no alphas_cumprod: set pipe\.scheduler"
    ):
        noise_levels(object())
    flow = D.DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    with pytest.raises(ConceptReviveError, match="the model predicts 'flow_prediction': one of"):
        noise_levels(flow)
