"""`locate` against a slow, literal float64 reading of paper §1, with a loop of its own."""

from __future__ import annotations

import copy
import functools
import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

import conceptrevive as cr
import conceptrevive.unlearning.activations as activations
from conceptrevive.unlearning.prompts import check_prompts
from conceptrevive.unlearning.recording import column_norms

pytestmark = pytest.mark.usefixtures("one_thread")

K, TAU, STEPS, GUIDANCE, SEED = 0.10, 3, 6, 7.5, 11
CONCEPT = cr.Concept(
    "cat",
    tuple(f"a cat in a {s}" for s in ("road", "garden", "beach", "room", "park")),
    tuple(f"a {s}" for s in ("road", "garden", "beach", "room", "park")),
    settings=cr.Settings(skill_ratio=K, tau=TAU, steps=STEPS, guidance=GUIDANCE),
)
SETTINGS = dict(skill_ratio=K, tau=TAU, steps=STEPS, guidance=GUIDANCE, seed=SEED)


# --- the reference --------------------------------------------------------------------------------


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
        torch.set_default_dtype(torch.float64)  # in which older transformers make the causal mask
        try:
            return text(torch.tensor([ids.input_ids]))[0]
        finally:
            torch.set_default_dtype(torch.float32)

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
    """{module name: (mask, undecided)}: undecided are those too near a threshold or S_base."""
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


def test_mask_equals_literal_reference(tiny, reference):
    assert_equals_reference(cr.locate(tiny, CONCEPT, **SETTINGS), reference)


def test_settings_come_from_the_concept(tiny, reference):
    assert_equals_reference(cr.locate(tiny, CONCEPT, seed=SEED), reference)


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_batch_size_does_not_matter(tiny, reference, batch_size):
    assert_equals_reference(cr.locate(tiny, CONCEPT, **SETTINGS, batch_size=batch_size), reference)


@pytest.mark.parametrize(
    "change", [{"tau": 2}, {"seed": 12}, {"guidance": 1.5}, {"steps": 5}, {"skill_ratio": 0.05}]
)
def test_each_setting_matters(tiny, reference, change):
    masks = cr.locate(tiny, CONCEPT, **SETTINGS | change)
    assert any(((masks[n].numpy() != mask) & ~near).any() for n, (mask, near) in reference.items())


def test_fewer_steps_give_a_subset(tiny):
    few, many = (cr.locate(tiny, CONCEPT, **SETTINGS | {"tau": tau}) for tau in (1, 3))
    assert all((few[n] <= many[n]).all() for n in few)
    for n, layer in cr.candidate_layers(tiny).items():
        assert few[n].sum(1).max() <= int(K * layer.in_features)


# --- how it runs ----------------------------------------------------------------------------------


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
            match=r"ff.net.2: activations at denoising step 0 are not finite: load the model in",
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
    """Masks may differ where two scores nearly tie."""
    masks = {}
    for how in ("own", "bfloat16"):
        monkeypatch.setenv("CONCEPTREVIVE_SAMPLING", how)
        masks[how] = cr.locate(tiny, CONCEPT, **SETTINGS, autocast=True)
        assert masks[how].sampling == how
    differing = sum(int((masks["own"][n] != masks["bfloat16"][n]).sum()) for n in masks["own"])
    assert 0 < differing < 0.1 * masks["own"].count


@pytest.mark.parametrize("how", ["bfloat16", "own-channels-last"])
def test_masks_do_not_depend_on_the_machines_fastest_way(tiny, monkeypatch, how):
    """Neither on what a machine would choose, nor on the layout that pictures drawn before left."""
    expected = cr.locate(tiny, CONCEPT, **SETTINGS)
    assert expected.sampling == "own"
    monkeypatch.setenv("CONCEPTREVIVE_SAMPLING", how)
    cr.generate(tiny, ["a cat"], steps=1)
    masks = cr.locate(tiny, CONCEPT, **SETTINGS)
    assert masks.sampling == "own"
    assert all(torch.equal(masks[n], expected[n]) for n in expected)
    convolutions = [m.weight for m in tiny.unet.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(w.is_contiguous() for w in convolutions)


# --- every layer is seen --------------------------------------------------------------------------


@pytest.fixture
def compiled(tiny):
    """The tiny pipeline with layers compiled, as they are in `locate`, before anybody listens."""
    pipe = copy.copy(tiny)
    pipe.unet = copy.deepcopy(tiny.unet)
    for name in cr.candidate_layers(pipe):
        pipe.unet.get_submodule(name.removesuffix(".net.2")).compile(backend="eager")
    cr.generate(pipe, ["a cat"] * 10, steps=1, autocast=False)
    return pipe


@pytest.mark.skipif(not hasattr(torch.compiler, "set_stance"), reason="torch before 2.6")
def test_a_compiled_network_is_heard(tiny, compiled):
    masks, expected = (cr.locate(pipe, CONCEPT, **SETTINGS) for pipe in (compiled, tiny))
    assert masks.count > 0 and all(torch.equal(masks[n], expected[n]) for n in expected)


def test_a_compiled_network_is_refused_where_torch_cannot_run_it_plainly(compiled, monkeypatch):
    monkeypatch.setattr(torch.compiler, "set_stance", lambda _stance: nullcontext(), raising=False)
    message = (
        r"ff\.net\.2: 0 of 20 samples were seen at denoising step 0: the network may be compiled, "
        r"cached or wrapped, so that its layers are not called: locate on the plain model"
    )
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.locate(compiled, CONCEPT, **SETTINGS)
    assert not any(m._forward_pre_hooks for m in compiled.unet.modules())


@pytest.mark.parametrize("skipped", [0, 2])
def test_a_layer_that_a_step_left_out_is_named(tiny, monkeypatch, skipped):
    """A cache that reuses a block's output at some steps."""
    last = list(cr.candidate_layers(tiny))[-1]
    block = tiny.unet.get_submodule(last.removesuffix(".net.2"))
    real, calls = block.forward, []

    def forward(x):
        calls.append(x)
        return x if len(calls) == skipped + 1 else real(x)

    monkeypatch.setattr(block, "forward", forward)
    message = rf"{last}: 0 of 20 samples were seen at denoising step {skipped}: the network may be"
    with pytest.raises(cr.ConceptReviveError, match=message.replace(".", r"\.")):
        cr.locate(tiny, CONCEPT, **SETTINGS)


def test_both_guidance_halves_are_expected(tiny, monkeypatch):
    """A pipeline that says it guides, and shows its layers half of what that takes."""
    fitter = activations.ColumnNormFitter
    update = fitter.update

    def half(self, name, step, z, pictures, counted):
        update(self, name, step, z[: len(z) // 2], pictures, counted)

    monkeypatch.setattr(fitter, "update", half)
    with pytest.raises(
        cr.ConceptReviveError, match="10 of 20 samples were seen at denoising step 0"
    ):
        cr.locate(tiny, CONCEPT, **SETTINGS)


def test_without_guidance_there_is_one_half(tiny):
    groups = CONCEPT.target_prompts, CONCEPT.base_prompts
    run = dict(tau=2, steps=STEPS, seed=SEED, batch_size=4)
    assert column_norms(tiny, groups, guidance=1.0, **run).samples == 10
    assert column_norms(tiny, groups, guidance=3.0, **run).samples == 20


def test_samples_that_are_no_pictures_are_refused(tiny):
    name, layer = next(iter(cr.candidate_layers(tiny).items()))
    fitter = activations.ColumnNormFitter({name: layer}, steps=1, groups=2)
    for shape in ((7, 3, layer.in_features), (8, layer.in_features)):
        message = (
            rf"{name}: activations of shape .* at denoising step 0 do not belong to 4 pictures"
        )
        with pytest.raises(cr.ConceptReviveError, match=message):
            fitter.update(name, 0, torch.ones(shape), pictures=4)


def test_a_scheduler_that_takes_fewer_steps_is_named(tiny, monkeypatch):
    real = type(tiny).__call__

    def two_steps(self, *args, num_inference_steps, **kwargs):
        return real(self, *args, num_inference_steps=2, **kwargs)

    monkeypatch.setattr(type(tiny), "__call__", functools.wraps(real)(two_steps))
    message = "StableDiffusionPipeline took 2 of the 3 denoising steps to look at: lower tau"
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.locate(tiny, CONCEPT, **SETTINGS)


# --- the fitter -----------------------------------------------------------------------------------


def test_batches_add_up_to_all_at_once():
    """Batch after batch equals the whole, and both the definition."""
    g = torch.Generator().manual_seed(0)
    layers = {"a": torch.nn.Linear(6, 2), "b": torch.nn.Linear(4, 2)}
    z = {n: torch.randn(2, 2, 6, 5, m.in_features, generator=g) for n, m in layers.items()}
    whole, parts = (activations.ColumnNormFitter(layers, steps=1, groups=2) for _ in range(2))
    for name, x in z.items():  # halves, groups, pictures, tokens, columns
        whole.update(name, 0, x.flatten(0, 2), pictures=12)
        for i in range(0, 6, 3):
            parts.update(name, 0, x[:, :, i : i + 3].flatten(0, 2), pictures=6)
    one, other = whole.norms, parts.norms
    assert one.samples == other.samples == 24 and list(one) == ["a", "b"] and len(one) == 2
    for name, x in z.items():
        unit = x / x.norm(dim=-1, keepdim=True)
        expected = unit.square().sum((0, 2, 3)).sqrt()[:, None]
        torch.testing.assert_close(one[name], expected)
        torch.testing.assert_close(other[name], expected)


def test_of_layers_that_never_ran_the_first_is_named():
    layers = {f"layer {i}": torch.nn.Linear(6, 2) for i in range(20)}
    fitter = activations.ColumnNormFitter(layers, steps=1, once=layers.keys())
    fitter.update("layer 0", 0, torch.ones(1, 1, 6), pictures=1)
    with pytest.raises(cr.ConceptReviveError, match=r"^layer 1 does not run where this pipeline"):
        fitter.norms  # noqa: B018


def test_a_layer_without_a_record_has_no_norms():
    layers = {"a": torch.nn.Linear(6, 2), "b": torch.nn.Linear(6, 2)}
    fitter = activations.ColumnNormFitter(layers, steps=2)
    fitter.update("a", 0, torch.ones(1, 1, 6), pictures=1)
    with pytest.raises(
        cr.ConceptReviveError, match="b: 0 of 1 samples were seen at denoising step 0"
    ):
        fitter.norms  # noqa: B018
    fitter.update("b", 0, torch.ones(1, 1, 6), pictures=1)
    with pytest.raises(
        cr.ConceptReviveError, match="a: 0 of 1 samples were seen at denoising step 1"
    ):
        fitter.norms  # noqa: B018


def test_listening_takes_its_hooks_away_and_hears_keywords_too():
    layer, heard = torch.nn.Linear(3, 2), []
    with activations.listening({"a": layer}, lambda name, z: heard.append((name, tuple(z.shape)))):
        layer(torch.ones(1, 3))
        layer(input=torch.ones(4, 3))
    layer(torch.ones(5, 3))
    assert heard == [("a", (1, 3)), ("a", (4, 3))] and not layer._forward_pre_hooks
    with pytest.raises(KeyError), activations.listening({"a": layer}, print):
        raise KeyError
    assert not layer._forward_pre_hooks
    with pytest.raises(AttributeError), activations.listening({"a": layer, "b": None}, print):
        pass
    assert not layer._forward_pre_hooks


# --- what cannot be located -----------------------------------------------------------------------


def concept(target, base=("a road",)):
    return cr.Concept("cat", tuple(target), tuple(base), settings=CONCEPT.settings)


def test_prompts_that_are_cut_are_named(tiny):
    """Cut to the same text, target and base would find nothing, or something else."""
    long = "a garden of many flowers and a "
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"target prompt 2 of 'cat' has 29 tokens, of which the model reads 24: shorten "
        r"'a garden of many flowers and a cat'",
    ):
        cr.locate(tiny, concept(["a cat", long + "cat"], ["a road", long]))
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"base prompt 1 of 'cat' has .* tokens, of which .* '(a gard.*)…'",
    ) as error:
        cr.locate(tiny, concept(["a cat"], [long * 4]))
    assert len(str(error.value)) < 200


def test_a_tokenizer_that_reads_it_all_is_enough(tiny, monkeypatch):
    """Of several text encoders one may cut a prompt that another reads whole."""
    limit = copy.copy(tiny.tokenizer)
    limit.model_max_length = 512
    parts = dict(tiny.components)
    monkeypatch.setattr(
        type(tiny), "components", property(lambda _: parts | {"tokenizer_2": limit})
    )
    check_prompts(tiny, concept(["a cat " * 10]))
    limit.model_max_length = 30
    with pytest.raises(cr.ConceptReviveError, match="tokens, of which the model reads 30"):
        check_prompts(tiny, concept(["a cat " * 10]))


def test_shipped_prompts_are_read_whole():
    pipe = cr.load_pipeline("pocket", device="cpu")
    for shipped in cr.pocket_concepts().values():
        check_prompts(pipe, shipped)


def test_a_model_that_does_not_read_its_prompts_has_nothing_to_prune(tiny):
    deaf = copy.copy(tiny)
    deaf.unet = copy.deepcopy(tiny.unet)
    for name, p in deaf.unet.named_parameters():
        if "attn2.to_v" in name:
            p.data.zero_()
    with pytest.raises(
        cr.ConceptReviveError, match="nothing was found for 'cat': no column is larger for the"
    ):
        cr.locate(deaf, CONCEPT, **SETTINGS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"skill_ratio": "0.1"}, "skill_ratio is a str: give a number"),
        ({"tau": 2.0}, "tau is a float: give a whole number"),
        ({"steps": True}, "steps is a bool: give a whole number"),
        ({"guidance": math.nan}, "guidance is nan: it is a finite number, such as 7.5"),
        ({"guidance": None, "seed": -1}, "seed is -1: give one from 0"),
        ({"seed": 1.5}, "seed is a float: give a whole number"),
        ({"seed": 10**6}, "seed is 1000000: from 1000000 on seeds belong to evaluations"),
        ({"batch_size": 0}, "batch_size is 0: it must be at least 1"),
        ({"batch_size": "8"}, "batch_size is a str: give a whole number"),
    ],
)
def test_settings_of_the_wrong_kind(tiny, given, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.locate(tiny, CONCEPT, **given)


def test_a_concepts_name_is_no_concept(tiny):
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"concept is a str: give a Concept, as `get_concept\(name\)` ret",
    ):
        cr.locate(tiny, "parachute")
    with pytest.raises(
        cr.ConceptReviveError, match=r"UNet2DConditionModel .*cannot be drawn with, it lacks"
    ):
        cr.locate(tiny.unet, CONCEPT)
