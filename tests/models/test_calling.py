"""Pipelines that cannot draw are named in one line, with what was asked and what to do."""

from __future__ import annotations

import pytest
import torch
from diffusers import PNDMScheduler

import conceptrevive as cr
from conceptrevive.models.calling import run_pipeline
from tests import families

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("scheduler", "steps"),
    [(None, 2000), (PNDMScheduler(skip_prk_steps=True), 2000)],
    ids=["DDIM", "PNDM"],
)
def test_more_steps_than_the_scheduler_has(tiny, monkeypatch, scheduler, steps):
    if scheduler:
        monkeypatch.setattr(tiny, "scheduler", scheduler)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"steps is 2000: the (DDIM|PNDM)Scheduler of this StableDiffusionPipeline has 1000",
    ):
        cr.generate(tiny, ["a cat"], steps=steps)


def test_a_consistency_model_of_too_many_steps():
    pipe = families.build("lcm")
    assert len(cr.generate(pipe, ["a cat"], steps=2)) == 1
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"LatentConsistencyModelPipeline cannot draw 1 prompts in 51 steps .*choose steps",
    ):
        cr.generate(pipe, ["a cat"], steps=51)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            "set a smaller batch_size, or load",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "set a smaller batch_size"),
        (
            KeyError("a\nscheduler"),
            r"choose steps, guidance and size .*\(KeyError: 'a\\nscheduler'\)",
        ),
        (AssertionError(), r"choose steps, guidance and size .*\(AssertionError: \)"),
        (
            TypeError("draw() got an unexpected keyword argument 'prompt'"),
            r"it is called otherwise; give an Adapter whose `prompts` and `extra` say how \(Type",
        ),
    ],
    ids=repr,
)
def test_whatever_a_pipeline_raises(tiny, monkeypatch, error, message):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(tiny.unet, "forward", fail)
    with pytest.raises(cr.ConceptReviveError, match=message) as caught:
        cr.generate(tiny, ["a cat"], steps=1)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), cr.ConceptReviveError("of a callback")])
def test_interruptions_and_our_own_errors_pass(tiny, monkeypatch, error):
    def stop(*args):
        raise error

    with pytest.raises(type(error)) as caught:
        run_pipeline(tiny, ["a"], [0], steps=1, guidance=2.0, callback_on_step_end=stop)
    assert caught.value is error


def test_a_call_that_hands_all_on_draws(tiny):
    """A user's own class around a pipeline."""

    class Own(type(tiny)):
        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs)

    own = Own(**tiny.components, requires_safety_checker=False)
    own.set_progress_bar_config(disable=True)
    same = [cr.generate(pipe, ["a cat"], steps=2)[0].tobytes() for pipe in (own, tiny)]
    assert same[0] == same[1]
