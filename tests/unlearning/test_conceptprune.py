"""`locate` against a slow, literal float64 reading of paper §1, with its own loop, hooks and guidance."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

import conceptrevive as cr
import conceptrevive.unlearning.activations as activations

pytestmark = pytest.mark.usefixtures("one_thread")

K, TAU, STEPS, GUIDANCE, SEED = 0.10, 3, 6, 7.5, 11
CONCEPT = cr.Concept(
    "cat",
    tuple(f"a cat in a {s}" for s in ("road", "garden", "beach", "room", "park")),
    tuple(f"a {s}" for s in ("road", "garden", "beach", "room", "park")),
    settings=cr.Settings(skill_ratio=K, tau=TAU, steps=STEPS, guidance=GUIDANCE),
)
SETTINGS = dict(skill_ratio=K, tau=TAU, steps=STEPS, guidance=GUIDANCE, seed=SEED)


@pytest.fixture
def exact(monkeypatch):
    """No bfloat16, so that masks can be compared entry by entry."""
    monkeypatch.setattr(activations, "precision", lambda _model: nullcontext())


# --- the reference ----------------------------------------------------------------------------------------------


@torch.no_grad()
def reference_norms(pipe, prompts) -> list[dict[str, np.ndarray]]:
    """[{module name: A, (columns,)} per step]: one prompt at a time, all in float64."""
    unet, text, scheduler = (
        copy.deepcopy(pipe.unet).double(),
        copy.deepcopy(pipe.text_encoder).double(),
        pipe.scheduler,
    )
    sums = [{} for _ in range(TAU)]
    heard = {}

    def encode(prompt):
        ids = pipe.tokenizer(
            prompt,
            padding="max_length",
            max_length=pipe.tokenizer.model_max_length,
            truncation=True,
        )
        return text(torch.tensor([ids.input_ids]))[0]

    hooks = []
    for name, module in unet.named_modules():
        if name.endswith("ff.net.2"):
            hooks.append(
                module.register_forward_hook(
                    lambda _m, x, _y, name=name: heard.__setitem__(name, x[0].numpy())
                )
            )
    for prompt in prompts:
        x = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(SEED))[None].double()
        scheduler.set_timesteps(STEPS)
        x = x * float(scheduler.init_noise_sigma)
        for step in range(TAU):
            t = scheduler.timesteps[step]
            half = []
            for words in ("", prompt):
                half.append(
                    unet(
                        scheduler.scale_model_input(x, t), t, encoder_hidden_states=encode(words)
                    ).sample
                )
                for name, z in heard.items():
                    for token in z.reshape(-1, z.shape[-1]).astype(np.float64):
                        unit = token / math.sqrt(sum(v * v for v in token.tolist()))
                        sums[step][name] = sums[step].get(name, 0) + unit**2
            eps = half[0] + GUIDANCE * (half[1] - half[0])
            x = scheduler.step(eps, t, x).prev_sample
    for hook in hooks:
        hook.remove()
    return [{name: np.sqrt(s) for name, s in step.items()} for step in sums]


@pytest.fixture(scope="module")
def reference(tiny):
    """{module name: (mask, undecided)}: undecided entries are too near a row threshold or S_target = S_base."""
    target, base = (
        reference_norms(tiny, CONCEPT.target_prompts),
        reference_norms(tiny, CONCEPT.base_prompts),
    )
    out = {}
    for name in target[0]:
        weight = tiny.unet.get_submodule(name).weight.double().numpy()
        rows, columns = weight.shape
        mask, near = np.zeros((rows, columns), bool), np.zeros((rows, columns), bool)
        count = math.floor(K * columns)
        for a, b in zip(target, base, strict=True):
            for i in range(rows):
                s_target = [abs(weight[i, j]) * a[name][j] for j in range(columns)]
                s_base = [abs(weight[i, j]) * b[name][j] for j in range(columns)]
                ranked = sorted(s_target, reverse=True)
                for j in range(columns):
                    if s_target[j] >= ranked[count - 1] and s_target[j] > s_base[j]:
                        mask[i, j] = True
                    edges = (ranked[count - 1], ranked[count], s_base[j])
                    # An entry at the threshold itself matters only if another score is as near.
                    close = ranked[count - 1] - ranked[count] <= 1e-5 * ranked[count - 1]
                    threshold = close and any(abs(s_target[j] - e) <= 1e-5 * e for e in edges[:2])
                    near[i, j] |= threshold or abs(s_target[j] - s_base[j]) <= 1e-5 * s_base[j]
        out[name] = mask, near
    return out


def assert_equals_reference(masks, reference):
    assert set(masks) == set(reference)
    for name, (mask, near) in reference.items():
        wrong = (masks[name].numpy() != mask) & ~near
        assert not wrong.any(), f"{name}: {wrong.sum()} of {mask.sum()} entries differ"


def test_reference_decides_nearly_everything_and_is_not_trivial(reference):
    for mask, near in reference.values():
        assert near.mean() < 0.01
        # The base test took some of each row's ⌊k·4d⌋ entries away.
        assert 0.1 * K < mask.mean() < K


def test_mask_equals_literal_reference(tiny, reference, exact):
    assert_equals_reference(cr.locate(tiny, CONCEPT, **SETTINGS), reference)


def test_settings_come_from_the_concept(tiny, reference, exact):
    assert_equals_reference(cr.locate(tiny, CONCEPT, seed=SEED), reference)


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_batch_size_does_not_matter(tiny, reference, exact, batch_size):
    assert_equals_reference(cr.locate(tiny, CONCEPT, **SETTINGS, batch_size=batch_size), reference)


@pytest.mark.parametrize(
    "change", [{"tau": 2}, {"seed": 12}, {"guidance": 1.5}, {"steps": 5}, {"skill_ratio": 0.05}]
)
def test_each_setting_matters(tiny, reference, exact, change):
    masks = cr.locate(tiny, CONCEPT, **SETTINGS | change)
    assert any(((masks[n].numpy() != mask) & ~near).any() for n, (mask, near) in reference.items())


def test_fewer_steps_give_a_subset(tiny, exact):
    few, many = (cr.locate(tiny, CONCEPT, **SETTINGS | {"tau": tau}) for tau in (1, 3))
    assert all((few[n] <= many[n]).all() for n in few)
    for n, layer in cr.candidate_layers(tiny).items():
        assert few[n].sum(1).max() <= int(K * layer.in_features)


# --- how it runs --------------------------------------------------------------------------------------------------


class Watch:
    """Records what the denoiser is called with."""

    def __init__(self, unet):
        self.unet, self.samples, self.times = unet, [], []

    def __enter__(self):
        self.hook = self.unet.register_forward_pre_hook(self.see, with_kwargs=True)
        return self

    def see(self, _module, args, kwargs):
        self.samples.append(args[0].detach().float().clone())
        self.times.append(int(args[1] if len(args) > 1 else kwargs["timestep"]))

    def __exit__(self, *exc):
        self.hook.remove()


@pytest.mark.parametrize("tau", [1, 4])
def test_tau_limits_the_steps_taken(tiny, tau):
    with Watch(tiny.unet) as watch:
        cr.locate(tiny, CONCEPT, **SETTINGS | {"tau": tau}, batch_size=8)
    assert len(watch.times) == 2 * tau, (
        "one call a step for the first four pairs of prompts, one for the last"
    )
    tiny.scheduler.set_timesteps(STEPS)
    assert watch.times == [int(t) for t in tiny.scheduler.timesteps[:tau]] * 2
    assert [len(s) for s in watch.samples] == [16] * tau + [4] * tau, (
        "target and base prompts, both guidance halves"
    )


def test_all_prompts_start_from_the_same_noise(tiny):
    with Watch(tiny.unet) as watch:
        cr.locate(tiny, CONCEPT, **SETTINGS | {"tau": 1}, batch_size=2)
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(SEED))
    assert sum(len(s) for s in watch.samples) == 2 * 2 * len(CONCEPT.target_prompts)
    assert all(torch.equal(row, noise) for s in watch.samples for row in s)


def test_seeds_reproduce_bit_for_bit(tiny):
    a, b = (cr.locate(tiny, CONCEPT, **SETTINGS) for _ in range(2))
    assert all(torch.equal(a[n], b[n]) for n in a)


def test_schedulers_that_add_noise_take_it_from_the_seed(tiny, monkeypatch):
    monkeypatch.setattr(
        tiny, "scheduler", EulerAncestralDiscreteScheduler.from_config(tiny.scheduler.config)
    )
    a, b, c = (cr.locate(tiny, CONCEPT, **SETTINGS | {"seed": seed}) for seed in (1, 1, 2))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert any(not torch.equal(a[n], c[n]) for n in a)


def test_carries_its_settings_and_leaves_the_model_alone(tiny):
    before = {n: p.clone() for n, p in tiny.unet.named_parameters()}
    done = []
    masks = cr.locate(tiny, CONCEPT, **SETTINGS, batch_size=2, progress=done.append)
    assert (masks.concept, masks.skill_ratio, masks.tau, masks.seed) == ("cat", K, TAU, SEED)
    assert done == [2] * 5
    assert all(torch.equal(p, before[n]) for n, p in tiny.unet.named_parameters())
    assert not any(m._forward_pre_hooks for m in tiny.unet.modules())
    assert all(m.dtype == torch.bool and m.any() for m in masks.values())


def test_hooks_are_removed_after_an_error(tiny):
    def stop(_count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cr.locate(tiny, CONCEPT, **SETTINGS, progress=stop)
    assert not any(m._forward_pre_hooks for m in tiny.unet.modules())


def test_not_finite_activations_are_named(tiny):
    name = next(iter(cr.candidate_layers(tiny)))
    weights = cr.read_weights(tiny, [name])
    with (
        cr.swapped(tiny, {name: torch.full_like(weights[name], math.nan)}),
        pytest.raises(
            cr.ConceptReviveError,
            match=r".*ff.net.2: activations at denoising step 0 are not finite: load the model in float32",
        ),
    ):
        cr.locate(tiny, CONCEPT, **SETTINGS)


@pytest.mark.parametrize("k", [0, -0.1, 1.01, math.nan])
def test_skill_ratio_out_of_range(tiny, k):
    with pytest.raises(
        cr.ConceptReviveError, match=rf"skill_ratio is {k}: it is a share of each row, in \(0, 1\]"
    ):
        cr.locate(tiny, CONCEPT, skill_ratio=k)


def test_skill_ratio_that_selects_nothing(tiny):
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"skill_ratio 0.01 selects no entry of .*ff\.net\.2's 64 columns: raise it",
    ):
        cr.locate(tiny, CONCEPT, skill_ratio=0.01)


@pytest.mark.parametrize("tau", [0, -1, STEPS + 1])
def test_tau_out_of_range(tiny, tau):
    with pytest.raises(
        cr.ConceptReviveError,
        match=f"tau is {tau}: it counts denoising steps, from 1 to the {STEPS} taken",
    ):
        cr.locate(tiny, CONCEPT, tau=tau)


def test_bfloat16_moves_few_entries_of_a_mask(tiny, monkeypatch):
    """Drawing in bfloat16 is the usual way on a processor; masks may differ where two scores nearly tie."""
    masks = {}
    for how in ("own", "bfloat16"):
        monkeypatch.setenv("CONCEPTREVIVE_SAMPLING", how)
        masks[how] = cr.locate(tiny, CONCEPT, **SETTINGS)
        assert masks[how].sampling == how
    differing = sum(int((masks["own"][n] != masks["bfloat16"][n]).sum()) for n in masks["own"])
    assert 0 < differing < 0.1 * masks["own"].count
