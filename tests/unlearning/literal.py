"""Slow readings of SalUn and Scissorhands: one picture at a time, with autograd alone."""

from __future__ import annotations

import copy
import math

import torch

import conceptrevive as cr

CONCEPT = cr.Concept(
    "cat",
    ("a cat in a road", "a cat in a park"),
    ("a road", "a park"),
    retained=(cr.Probe("a dog", ("dog",)), cr.Probe("a fox", ("fox",))),
    settings=cr.Settings(skill_ratio=0.1, tau=2, steps=2, guidance=2.0),
)

#: Layers of several kinds, in an order that is not the model's.
LAYERS = (
    "mid_block.attentions.0.transformer_blocks.0.ff.net.2",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v",
    "time_embedding.linear_1",
    "conv_out",
)


class Literal:
    """A copy of the tiny pipeline's denoiser whose gradients are taken picture by picture."""

    def __init__(self, pipe, layers=LAYERS):
        self.pipe, self.layers = pipe, layers
        self.unet = copy.deepcopy(pipe.unet).requires_grad_(False)
        for name in layers:
            self.unet.get_submodule(name).weight.requires_grad_(True)

    def text(self, prompt):
        ids = self.pipe.tokenizer(
            prompt, padding="max_length", max_length=24, truncation=True
        ).input_ids
        with torch.no_grad():
            return self.pipe.text_encoder(torch.tensor([ids]))[0]

    def predict(self, noisy, t, prompt):
        told = self.text(prompt)
        return self.unet(noisy[None], torch.tensor([t]), encoder_hidden_states=told).sample[0]

    def noisy(self, latent, t, noise):
        kept = float(self.pipe.scheduler.alphas_cumprod[t])
        return math.sqrt(kept) * latent + math.sqrt(1 - kept) * noise

    def gradient(self, latent, t, noise, prompt, guidance):
        """{module name: gradient} of one picture's mean squared error."""
        self.unet.zero_grad(set_to_none=True)
        noisy = self.noisy(latent, t, noise)
        out = self.predict(noisy, t, prompt)
        if guidance:
            out = (1 + guidance) * out - guidance * self.predict(noisy, t, "")
        ((out - noise) ** 2).mean().backward()
        return {n: self.unet.get_submodule(n).weight.grad.double().flatten(1) for n in self.layers}

    def weight(self, name):
        return self.unet.get_submodule(name).weight.detach().double().flatten(1)


def highest(scores, ratio):
    """{module name: mask}: plain sorting of all scores, and which are too near the threshold."""
    ranked = sorted((float(x) for s in scores.values() for x in s.flatten()), reverse=True)
    count = math.floor(ratio * len(ranked))
    last, next_one = ranked[count - 1], ranked[count]
    masks = {n: s >= last for n, s in scores.items()}
    near = {
        n: ((s - last).abs() < 1e-4 * last) | ((s - next_one).abs() < 1e-4 * last)
        for n, s in scores.items()
    }
    return masks, near, count
