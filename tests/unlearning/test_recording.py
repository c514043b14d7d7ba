"""τ counts the denoiser's predictions, however a family guides; padding is not looked at."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import HeunDiscreteScheduler

import conceptrevive as cr
from conceptrevive.models.adapters.choosing import adapter_of, choose_adapter
from conceptrevive.models.adapters.families import Chroma
from conceptrevive.models.calling import latent_size
from conceptrevive.models.layers import denoiser
from conceptrevive.unlearning.padding import TextTokens, real_tokens
from conceptrevive.unlearning.recording import column_norms
from tests.families import SIZE, TO_BE_SIZED, build

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS = (["a cat", "a cat in the park"], ["a garden", "a park"])


def small(name):
    pipe = build(name)
    if name in TO_BE_SIZED:
        adapter = type(adapter_of(pipe))
        choose_adapter(pipe, adapter(size=(SIZE, SIZE)))
    return pipe


def heard(pipe, name, prompts=PROMPTS, **settings):
    """What a layer and the denoiser were given at each of their calls, and the norms."""
    inputs, calls, net = [], [], denoiser(pipe)
    handles = [
        net.get_submodule(name).register_forward_pre_hook(lambda _, z: inputs.append(z[0])),
        net.register_forward_hook(lambda *_: calls.append(1)),
    ]
    given = dict(tau=2, steps=4, guidance=3.0, seed=0, layers=[name], batch_size=4)
    try:
        norms = column_norms(pipe, prompts, **given | settings)
    finally:
        for handle in handles:
            handle.remove()
    return inputs, len(calls), norms


@pytest.mark.parametrize(
    ("name", "layer", "guidance", "samples", "calls"),
    [
        ("sd2", "mid_block.attentions.0.transformer_blocks.0.ff.net.2", 3.0, 2, 2),
        ("sd2", "mid_block.attentions.0.transformer_blocks.0.ff.net.2", 1.0, 1, 2),
        ("lcm", "mid_block.attentions.0.transformer_blocks.0.ff.net.2", 3.0, 1, 2),
        ("pix2pix", "mid_block.attentions.0.transformer_blocks.0.ff.net.2", 3.0, 3, 2),
        ("chroma", "transformer_blocks.0.ff.net.2", 3.0, 2, 4),
        ("flux", "transformer_blocks.0.ff.net.2", 3.0, 1, 2),
        ("dit", "transformer_blocks.0.ff.net.2", 3.0, 2, 2),
    ],
)
def test_layouts_of_guidance(name, layer, guidance, samples, calls):
    """Halves of a batch, two calls, three parts, or none: all are seen, τ times, and no more.

    LCM would go on if it were asked to be interrupted.
    """
    _, called, norms = heard(small(name), layer, (["tabby"], [""]), guidance=guidance)
    assert called == calls
    assert norms.samples == samples * 2
    assert norms[layer].shape[:2] == (2, 2) and (norms[layer].sum(-1) > 0).all()


def test_a_scheduler_that_asks_twice_a_step_counts_twice():
    pipe = small("sd2")
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    layer = "mid_block.attentions.0.transformer_blocks.0.ff.net.2"
    inputs, called, norms = heard(pipe, layer, tau=3)
    assert called == len(inputs) == 3, "three calls are a step and a half"
    assert norms[layer].shape[1] == 3
    with pytest.raises(cr.ConceptReviveError, match="took 7 of the 8 denoising steps to look at"):
        heard(pipe, layer, tau=8)


def test_a_second_pass_that_the_adapter_does_not_know_of():
    pipe = small("chroma")
    choose_adapter(pipe, Undeclared(size=(SIZE, SIZE)))
    with pytest.raises(
        cr.ConceptReviveError,
        match="ChromaPipeline hands its denoiser the same latents more often than the 1 times a "
        "step of its Undeclared adapter: give an Adapter with its `layout`",
    ):
        heard(pipe, "transformer_blocks.0.ff.net.2")


class Undeclared(Chroma):
    def layout(self, model, guidance):
        return (("prompt",),)


# --- padding --------------------------------------------------------------------------------------


def test_which_tokens_are_padding():
    ids = torch.tensor([[5, 9, 9, 9], [5, 6, 9, 9], [5, 6, 7, 9], [9, 9, 9, 9]])
    assert real_tokens(ids, 9, ends=True).int().tolist() == [
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 1],
        [1, 0, 0, 0],
    ]
    assert real_tokens(ids, 9, ends=False).int().tolist() == [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [0, 0, 0, 0],
    ]
    left = real_tokens(ids.flip(1), 9, ends=False, left=True)
    assert left.int().tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]


def t5_length(prompt):
    """Bytes and the end; None is the part of guidance without a prompt."""
    return len(prompt or "") + 1


@pytest.mark.parametrize(
    ("name", "layer", "counted"),
    [
        ("sd3", "transformer_blocks.0.ff_context.net.2", "clip then t5"),
        ("sd3", "transformer_blocks.0.ff_context.net.2", "clip then zeros"),
        ("flux", "single_transformer_blocks.1.proj_out", "t5 then picture"),
        ("auraflow", "joint_transformer_blocks.0.ff_context.out_projection", "registers then t5"),
        ("lumina2", "layers.0.feed_forward.linear_2", "packed"),
        ("sd2", "mid_block.attentions.0.transformer_blocks.0.attn2.to_k", "clip"),
        ("sd2", "mid_block.attentions.0.transformer_blocks.0.ff.net.2", "all"),
    ],
)
def test_padding_is_not_looked_at(name, layer, counted):
    pipe = small(name)
    if counted == "clip then zeros":
        pipe.text_encoder_3 = None
    inputs, called, norms = heard(pipe, layer, tau=1)
    prompts = [p for group in PROMPTS for p in group]
    parts = {1: [prompts], 2: [[None] * 4, prompts]}[len(inputs[0]) // 4]
    passes = [parts] if called == 1 else [[prompts], [[None] * 4]]
    sums = torch.zeros(2, inputs[0].shape[-1], dtype=torch.float64)
    for z, told in zip(inputs, passes, strict=True):
        for part, texts in zip(z.unflatten(0, (-1, 4)), told, strict=True):
            for i, (tokens, text) in enumerate(zip(part, texts, strict=True)):
                for place in own_tokens(pipe, counted, text, len(tokens), told):
                    token = tokens[place].double()
                    sums[i // 2] += (token / token.norm()).square()
    torch.testing.assert_close(norms[layer][:, 0].double(), sums.sqrt(), rtol=1e-4, atol=1e-6)


def own_tokens(pipe, counted, text, tokens, told):
    """Places of the tokens that count, as the words say."""
    t5 = t5_length(text)
    clip = len(pipe.tokenizer(text or "").input_ids)
    picture = math.prod(latent_size(pipe)) // 4
    if counted == "clip then t5":
        assert tokens == 77 + 256
        return [*range(clip), *range(77, 77 + t5)]
    if counted == "clip then zeros":
        assert tokens > 77
        return range(clip)
    if counted == "t5 then picture":
        assert tokens == 512 + picture
        return [*range(t5), *range(512, tokens)]
    if counted == "registers then t5":
        assert tokens == 8 + 256
        return range(8 + t5)
    if counted == "packed":
        system = max(tokens_of_lumina(pipe, other) for part in told for other in part)
        assert tokens == system + picture
        return range(tokens_of_lumina(pipe, text) + picture)
    return range(clip) if counted == "clip" else range(tokens)


def tokens_of_lumina(pipe, text):
    """The prompt stands behind an instruction; no prompt stands alone."""
    return t5_length(text and f"{pipe.system_prompt} <Prompt Start> {text}")


def test_text_of_another_length_than_the_adapter_knows(tiny):
    text = TextTokens(tiny)
    with text.listening():
        tiny.encode_prompt(["a cat"], "cpu", 1, False)
        assert text.of_encoder("text_encoder").sum() == len(tiny.tokenizer("a cat").input_ids)
        assert text.of_layer("mid_block.ff.net.2", ["prompt"], 1, 16) is None
        with pytest.raises(
            cr.ConceptReviveError,
            match=r"attn2\.to_k is given 30 tokens, of which 24 were to be text by the Adapter "
            "adapter of this StableDiffusionPipeline: give an Adapter that knows",
        ):
            text.of_layer("mid_block.attn2.to_k", ["prompt"], 1, 30)
    with text.listening():
        assert text.of_encoder("text_encoder") is None, "what was heard before is forgotten"
