"""How pictures are drawn on this processor: timed once, stated, fixed on request, near float32."""

from copy import deepcopy

import numpy as np
import pytest
import torch

import conceptrevive as cr
import conceptrevive.models.precision as precision
from conceptrevive.models.generation import fastest
from conceptrevive.models.precision import CHOICES, VARIABLE, How, applied, choose


@pytest.fixture
def timed(monkeypatch):
    """Timing decides, and remembers nothing from other tests."""
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(precision, "_timed", {})


class Clock:
    """Time that passes only while something is drawn: `seconds` by choice."""

    def __init__(self, monkeypatch, net, seconds):
        self.now, self.net, self.seconds, self.calls = 0.0, net, seconds, 0
        monkeypatch.setattr(precision.time, "perf_counter", lambda: self.now)

    def draw(self):
        first = next(
            p for p in self.net.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[-1] > 1
        )
        last = not first.is_contiguous()
        self.now += self.seconds[How(torch.is_autocast_enabled("cpu"), last)]
        self.calls += 1


@pytest.mark.parametrize("best", CHOICES, ids=str)
def test_the_fastest_is_taken_and_timed_once(tiny, timed, monkeypatch, best):
    clock = Clock(monkeypatch, tiny.unet, {how: 1.0 if how == best else 2.0 for how in CHOICES})
    assert choose(tiny, clock.draw) == best
    calls = clock.calls
    assert calls == 3 * len(CHOICES)
    assert choose(tiny, clock.draw) == best and clock.calls == calls


def test_near_ties_go_to_the_preferred_way(tiny, timed, monkeypatch):
    clock = Clock(monkeypatch, tiny.unet, {how: 1.1 if how == How() else 1.0 for how in CHOICES})
    assert choose(tiny, clock.draw) == How()
    monkeypatch.setattr(precision, "_timed", {})
    clock.seconds = {how: {How(): 2.0, How(bfloat16=True): 1.1}.get(how, 1.0) for how in CHOICES}
    assert choose(tiny, clock.draw) == How(bfloat16=True)


@pytest.mark.parametrize("how", CHOICES, ids=str)
def test_a_choice_can_be_fixed_by_its_name(tiny, monkeypatch, how):
    monkeypatch.setenv(VARIABLE, str(how))
    assert choose(tiny, lambda: pytest.fail("a fixed choice is not timed")) == how


def test_an_unknown_choice_is_named(tiny, monkeypatch):
    monkeypatch.setenv(VARIABLE, "float8")
    message = (
        "CONCEPTREVIVE_SAMPLING is 'float8': choose one of "
        "own, bfloat16, own-channels-last, bfloat16-channels-last"
    )
    with pytest.raises(cr.ConceptReviveError, match=message):
        fastest(tiny)


def test_float16_is_not_mixed_with_bfloat16(tiny, monkeypatch, one_thread):
    half = deepcopy(tiny)
    for part in ("unet", "vae", "text_encoder"):
        getattr(half, part).half()
    assert not fastest(half).bfloat16
    monkeypatch.setenv(VARIABLE, "bfloat16")
    with pytest.raises(cr.ConceptReviveError, match="choose one of own, own-channels-last"):
        fastest(half)


def test_timing_leaves_the_weights_and_chooses_one_way(tiny, timed, one_thread):
    before = {n: p.clone() for n, p in tiny.unet.named_parameters()}
    assert fastest(tiny) in CHOICES
    assert all(torch.equal(p, before[n]) for n, p in tiny.unet.named_parameters())


def test_locating_does_not_record_the_timing(tiny, timed, monkeypatch, one_thread):
    concept = cr.Concept("cat", ("a cat", "cat"), ("a", "an"), settings=cr.Settings(0.2, 2, 3))
    # A timing at which float32 is always the fastest.
    monkeypatch.setattr(precision, "MARGIN", float("inf"))
    masks = cr.locate(tiny, concept, autocast=True)
    monkeypatch.setenv(VARIABLE, "own")
    fixed = cr.locate(tiny, concept)
    assert all(torch.equal(masks[n], fixed[n]) for n in fixed)


@pytest.mark.parametrize("how", CHOICES[1:], ids=str)
def test_every_way_draws_nearly_the_same_picture(tiny, monkeypatch, one_thread, how):
    def draw(way):
        monkeypatch.setenv(VARIABLE, str(way))
        images = cr.generate(tiny, ["a cat", "a dog"], seed=3, steps=4)
        return np.stack([np.asarray(i) for i in images]).astype(float)

    plain, other = draw(How()), draw(how)
    # Of 255 grey values: rounding in float32, three binary digits more of it in bfloat16's eight.
    assert np.abs(plain - other).mean() <= (2.0 if how.bfloat16 else 0.1)
    assert (plain == draw(How())).all()


def test_a_layout_changes_no_value(tiny):
    before = {n: p.clone() for n, p in tiny.unet.named_parameters()}
    with applied(tiny, How(channels_last=True)):
        assert all(torch.equal(p, before[n]) for n, p in tiny.unet.named_parameters())
    with applied(tiny, How()):
        assert all(p.is_contiguous() for p in tiny.unet.parameters())
