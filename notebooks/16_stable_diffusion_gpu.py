# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Stable Diffusion on a GPU
#
# Everything so far ran on a model of emoji. The paper's is Stable Diffusion 1.5, a hundred times larger. Does the same code run
# there, on the free GPU of a Colab notebook? And if every step runs through, what has been shown?
#
# - **You will be able to** say before a run how much memory and time its steps will take; take Stable Diffusion 1.5 from the hub
#   through the whole journey in half precision; tell what a run without errors proves from what it does not.
# - **Prerequisites:** [the first chapter](01_quickstart.ipynb) for the steps, [completing a matrix](06_completing_a_matrix.ipynb) for the signs.
# - **Time:** 20 minutes to read, 2 minutes to run, 25 minutes for the exercises.
# - **Hardware:** two CPU cores, for a small stand-in with random weights. For Stable Diffusion itself a GPU of 16 GB, such as Colab's
#   free one (Runtime → Change runtime type → T4 GPU), and a quarter of an hour (an estimate, made below).

# %% tags=["hide-input"]
import os
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from safetensors.torch import save_file

import conceptrevive as cr
from conceptrevive.cli import main as conceptrevive
from conceptrevive.experiments import operations as full
from conceptrevive.experiments.reproduction.profiles import PAPER
from conceptrevive.experiments.reproduction.scorecard import Scorecard
from conceptrevive.figures import PALETTE
from conceptrevive.models.pipeline import hushed
from conceptrevive.models.random_model import random_sd15
from conceptrevive.teaching import published as results
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import explore
from conceptrevive.teaching.plots import show_pictures, show_rates, use_theme
from conceptrevive.teaching.versions import versions
from conceptrevive.unlearning.activations import ColumnNormFitter, listening

use_theme()
RANDOM_SEED = 0

# %% [markdown]
# ## One cell decides
#
# With a GPU and the hub the next cell loads Stable Diffusion 1.5 {cite}`rombach2022ldm`; without, a **stand-in**: the same parts with the
# same layers, about a twentieth as wide, with **random weights**. Every cell below is the same for both.
#
# :::{important}
# The page that you read in the book was made without a GPU, with the stand-in. Its pictures are noise by design, and what
# its {term}`judge` says of them means nothing. True there all the same: which layers and how many weights are masked, what becomes exactly zero, what the audit
# says of the files, and how many signs a {term}`revival` gets right. **With Stable Diffusion's own weights nothing in this book was measured.**
# :::
#
# Three words of the call matter. `dtype=torch.float16`: half precision, in which the paper prunes, two bytes a weight.
# `variant="fp16"`: the hub has a copy in that format, and half as much is fetched. `device="cuda"`: the GPU. The {term}`concept` is a
# harmless one of the paper's, with its prompts and settings. Of the safety checker this much: `load_pipeline` leaves it
# out, since a picture that it blackens would count as a concept erased; so do not offer the result to others as it is.

# %%
HUB = "stable-diffusion-v1-5/stable-diffusion-v1-5"
REAL = torch.cuda.is_available() and not os.environ.get("HF_HUB_OFFLINE")
PAPERS = cr.get_concept("parachute", "paper")

if REAL:
    PICTURES, OTHERS, concept = 24, 12, PAPERS
    pipe = cr.load_pipeline(
        HUB, device="cuda", dtype=torch.float16, variant="fp16"
    )
else:
    PICTURES, OTHERS = 2, 1
    concept = replace(
        PAPERS,
        judge="pocket",  # ResNet-50 would come from the hub
        labels=("object:parachute",),
        retained=(cr.Probe("an image of a church", ("object:church",)),),
        settings=replace(PAPERS.settings, steps=12),
    )
    pipe = random_sd15(seed=RANDOM_SEED, size=8, share=0.05)
print("Stable Diffusion 1.5" if REAL else "the stand-in, random weights")
print(concept.target_prompts[0], "|", concept.base_prompts[0])
print(concept.settings)

# %% [markdown]
# ## Will it fit, and how long will it take?
#
# Both can be known before anything is fetched: shapes say it. A layer that makes $N$ numbers, each from $m$ weights, takes
# $2Nm$ operations (a multiplication and its addition are two); that holds for linear layers and for convolutions. Attention
# {cite}`vaswani2017attention` of $q$ tokens to $k$ tokens, $d$ wide, takes two products: the map of all pairs, and its product with the values. For one
# call of the {term}`UNet`
#
# $$
# F = \sum_{\text{layers}} 2\, N\, m \;+\; \sum_{\text{attention}} 4\, q\, k\, d .
# $$ (eq-stable-diffusion-gpu-operations)
#
# So we build Stable Diffusion 1.5 at its **full size**, on torch's device *meta*: there tensors have shapes, and no values.
#
# :::{admonition} Predict before you run
# The UNet has 0.86 billion weights, and most are used more than once: at every place of a {term}`latent` of 64 × 64. How many operations does
# one call take, and one picture of 50 {term}`denoising steps <denoising step>` under {term}`classifier-free guidance`?
# :::


# %% tags=["bare"]
def operations(net, run):
    """What the equation above adds up, while `run` calls `net`."""
    total = 0

    def layer(module, inputs, output):
        nonlocal total
        total += 2 * output.numel() * module.weight[0].numel()

    def attention(module, inputs, given, output):
        nonlocal total
        x, text = inputs[0], given.get("encoder_hidden_states")
        pairs = x.shape[1] * (x if text is None else text).shape[1]
        total += 4 * len(x) * pairs * module.to_q.out_features

    hooks = []
    for part in net.modules():
        if isinstance(part, torch.nn.Linear | torch.nn.Conv2d):
            hooks.append(part.register_forward_hook(layer))
        elif hasattr(part, "to_q"):
            hook = part.register_forward_hook(attention, with_kwargs=True)
            hooks.append(hook)
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return total


# %% tags=["agrees"]
unet, autoencoder, text_encoder = full.shapes()
model = full.stable_diffusion()  # the package has torch count
assert operations(unet, full.denoise) == model.denoiser

sizes = [sum(p.numel() for p in part.parameters()) for part in full.shapes()]
weights_gb = 2 * sum(sizes) / 1e9
names = ("UNet", "autoencoder", "text encoder")
for name, size in zip(names, sizes, strict=True):
    print(f"{name:<13}{size / 1e6:7.1f} million weights")
print(f"all in float16: {weights_gb:.2f} GB; in float32: {2 * weights_gb:.2f}")
print(f"one call of the UNet: {model.denoiser / 1e9:.0f} billion operations")
print(f"one picture, 50 steps: {model.picture(50) / 1e12:.0f} thousand billion")

# %% [markdown]
# **Memory** is weights and what a call makes on the way. That too is counted on *meta*: each tensor's bytes are added when it is made,
# and taken off when nothing needs it any longer; the peak is what must fit. It grows in proportion to the pictures drawn at a time.
# Attention is taken to be fused {cite}`dao2022flash`, as torch does on GPUs: the map of all pairs is never there as a whole. Not
# counted: CUDA itself, and what libraries and torch's allocator keep. Leave them two gigabytes.

# %% tags=["hide-input"]
candidates = {n: m for n, m in unet.named_modules() if n.endswith("ff.net.2")}


def looked_at(candidates, prompts):
    """One call of the UNet with all that `locate` records of it."""
    fitter = ColumnNormFitter(candidates, 1, 2)
    hear = partial(fitter.update, pictures=prompts)
    with listening(candidates, lambda name, z: hear(name, 0, z)):
        full.denoise(2 * prompts)


EACH = {  # GB for one picture: two halves of guidance, but one to decode
    "locating": full.peak_bytes(partial(looked_at, candidates, 2)) / 2e9,
    "drawing: the UNet": full.peak_bytes(partial(full.denoise, 2)) / 1e9,
    "drawing: decoding": full.peak_bytes(full.decode) / 1e9,
}
for name, size in EACH.items():
    print(f"{name:<19}{size:.2f} GB a picture, float16")

# %% [markdown]
# {numref}`fig-stable-diffusion-gpu-memory` puts it beside the 16 GB of a T4 {cite}`nvidia2019t4`. The package draws two pictures of
# this size at a time, and locates with 16 prompts at a time, unless told otherwise.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-stable-diffusion-gpu-memory", "caption": "Memory of Stable Diffusion 1.5 by step, estimated from counted shapes: weights (dark) and what a call makes (light). Dashed: 16 GB. Move the sliders: pictures (or prompts) at a time, and bits of a number."}}


def memory_figure(pictures, bits, each, weights, limit):
    """Bars of what is there at the same time, a row a step."""
    fig, ax = plt.subplots(figsize=(5.6, 2.6))
    for y, size in enumerate(each.values()):
        fixed, made = weights * bits / 16, pictures * size * bits / 16
        ax.barh(y, fixed, color=PALETTE["original"])
        ax.barh(y, made, left=fixed, color=PALETTE["revived"], alpha=0.6)
        told = f"{fixed + made:.1f}"
        ax.text(min(fixed + made, 26) + 0.3, y, told, va="center")
    ax.axvline(limit, color="0.2", linestyle="--")
    ax.set_yticks(range(len(each)), list(each))
    ax.set(xlim=(0, 30), ylim=(len(each) - 0.5, -0.5), xlabel="GB")
    return fig


explore(
    partial(
        memory_figure, each=EACH, weights=weights_gb, limit=full.T4.memory / 1e9
    ),
    "Three bars, one a step, each of a dark part for weights and a light part "
    "that grows with the pictures, beside a dashed line at 16 GB",
    values={"pictures": [1, 2, 4, 8, 16, 32], "bits": [16, 32]},
)

# %% [markdown]
# **Time** is operations over what the card does in a second. A T4's peak is 65 · 10¹² in half precision {cite}`nvidia2019t4`. Drawing reaches
# a share of a peak; a quarter is assumed here, with 0.40 to 0.15 as the range. **So these are estimates; no GPU was timed.**

# %% tags=["hide-input"]
settings, picture = PAPERS.settings, model.picture(PAPERS.settings.steps)
prompts = len(PAPERS.target_prompts) + len(PAPERS.base_prompts)
page = PICTURES + OTHERS if REAL else 36
row = PAPER.images + PAPER.retained
work = {
    f"locate: {prompts} prompts, {settings.tau} steps": (
        prompts * 2 * settings.tau * model.denoiser
    ),
    f"draw: 1 picture, {settings.steps} steps": picture,
    f"this page: 4 models, {page} pictures each": 4 * page * picture,
    f"a concept's row of Table 1: {row:,} pictures": row * picture,
}


def clock(operations, share):
    """Time on a T4 that reaches this share of its peak."""
    s = full.seconds(operations, full.T4, share)
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if s >= 2 * size:
            return f"{s / size:.0f} {unit}"
    return f"{s:.0f} s"


shares = (full.UTILISATION, full.MOST, full.LEAST)
told = {name: [clock(f, u) for u in shares] for name, f in work.items()}
columns = ["on a T4, estimated", "at 0.40", "at 0.15"]
pd.DataFrame.from_dict(told, orient="index", columns=columns)

# %% [markdown]
# A concept takes minutes, its row of Table 1 hours, and Table 1, with twelve concepts and six rows, weeks of one such card. Of the steps without the UNet, some **were measured**, on two
# CPU cores: on matrices of exactly Stable Diffusion 1.5's shapes with known structure, completing all sixteen layers, and auditing a file of 4 GB; and once the
# whole journey at full width, with random weights, few prompts and few steps. Its memory is what each step adds.

# %% tags=["hide-input"]
table = pd.read_csv(results.published_file("benchmarks/completion.csv"))
table = table[(table["set"] == "sd15") & (table["rows"] == "all")]
told = {
    "floor": "one matrix product and one inverse a layer, as a yardstick",
    "conditional": "complete, the package's default",
    "attack": "the same, then signs and sizes: the whole attack",
    "prior": "complete, solver prior",
    "paper (gram)": "complete, the paper's loop, 5 sweeps timed and multiplied",
}
for name, what in told.items():
    one = table.set_index("solver").loc[name]
    low, high = f"{one.seconds_low:.1f}", f"{one.seconds_high:.1f}"
    print(f"{what}:\n    {one.seconds:.1f} s [{low}, {high}]", end=", ")
    print(f"{one.peak_mb / 1e3:.2f} GB")
made = results.published_json("benchmarks/completion")
print(results.provenance_line(made), end="\n\n")
made = results.published_json("audit/speed")
print(f"audit, {made['gigabytes']:g} GB: {made['audit_seconds']:g} s")
print(results.provenance_line(made), end="\n\n")
try:
    whole = results.published_file("benchmarks/full-size-cpu.csv")
    for _, one in pd.read_csv(whole).iterrows():
        print(f"{one.step:<10}{one.what:<36}{one.seconds:6.0f} s", end="")
        print(f"{one.memory_mb / 1e3:7.1f} GB")
    made = results.published_json("benchmarks/full-size-cpu")
    print(results.provenance_line(made))
except results.PublishedError:
    print("The whole journey at full width, random weights: make full-size")

# %% [markdown]
# ## Apparent success
#
# Locate, prune, and look at what is left. The {term}`masks <mask>` are read with the paper's {term}`skill ratio` and {term}`tau`; of which weights they
# speak is the same sixteen layers here and there.

# %%
original = cr.read_weights(pipe)
masks = cr.locate(pipe, concept, seed=RANDOM_SEED)
pruned = cr.prune(original, masks)
zeros = sum(int((w == 0).sum()) for w in pruned.values())
print(f"{len(masks)} layers, {masks.count:,} weights masked")
print(f"{masks.fraction:.2%} of them all; exact zeros: {zeros:,}")

# %% [markdown]
# Then files, as one would publish them; one of them back by diffusers alone, which knows nothing of this package; and what the
# audit reads in the sixteen layers of each. The {term}`scar` of the pruned file should be plain; and since a revival keeps 0.6 of the signs, the
# rest stays zero, and two traces are to be expected there.

# %%
import diffusers

ROOM = tempfile.TemporaryDirectory()
FOLDER = Path(ROOM.name)
models = {"original": original, "pruned": pruned}
models["revived"] = cr.revive(pruned)
models["hidden"] = cr.obfuscate(original, masks, seed=RANDOM_SEED)
for name, weights in models.items():
    with cr.swapped(pipe, weights), hushed():  # no progress bars
        pipe.save_pretrained(FOLDER / name)

with hushed():
    reloaded = diffusers.StableDiffusionPipeline.from_pretrained(
        FOLDER / "pruned", torch_dtype=pipe.unet.dtype
    )
found = cr.zero_masks(cr.read_weights(reloaded))
same = sum(int((found[n] & masks[n].cpu()).sum()) for n in found)
print(f"zeros in the reloaded file: {same:,} of {masks.count:,} masked")
del reloaded

for name, weights in models.items():
    file = FOLDER / f"{name}.safetensors"
    save_file({f"{n}.weight": w.cpu() for n, w in weights.items()}, file)
    report = cr.audit(file)
    print(f"{name:<9}{' and '.join(report.verdict)}")

# %% [markdown]
# And pictures, from the same prompt and noise: {numref}`fig-stable-diffusion-gpu-pictures`. With the stand-in they are noise;
# that they differ at all, by the numbers below, shows that the weights in use are those that were put there.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-stable-diffusion-gpu-pictures", "caption": "The same prompt and noise, drawn by the four models. In the book this is the stand-in, whose pictures are noise by design."}, "image": {"alt": "One row of four small pictures, named original, pruned, revived and hidden. Made by the stand-in, each is a patch of colourful noise, and they look alike."}}
prompt, drawn = concept.eval_prompts[0], []
given = {"steps": concept.settings.steps, "seed": RANDOM_SEED}
for weights in models.values():
    with cr.swapped(pipe, weights):
        drawn += cr.generate(pipe, [prompt], guidance=7.5, **given)
_ = show_pictures({prompt: drawn}, columns=list(models))


def levels(picture):
    """Its pixels' values, 0 to 255."""
    return torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)


for name, one in zip(models, drawn, strict=True):
    away = (levels(one).int() - levels(drawn[0]).int()).abs().max()
    print(f"{name:<9}at most {away:3d} of 255 levels from the original")

# %%
outcomes = {}
for name, weights in models.items():
    with cr.swapped(pipe, weights):
        outcomes[name] = cr.evaluate(pipe, concept, n=PICTURES, retained=OTHERS)
    print(f"{name:<9}concept: {outcomes[name].erased}")
if not REAL:
    print("(a judge's word on noise: it means nothing)")

# %% [markdown]
# The same from the command line; a GPU is used where there is one:
#
# ```console
# export HUB=stable-diffusion-v1-5/stable-diffusion-v1-5
# conceptrevive locate $HUB --variant fp16 --concept parachute \
#     --out masks.safetensors
# conceptrevive prune $HUB --variant fp16 \
#     --masks masks.safetensors --out pruned
# conceptrevive audit pruned
# conceptrevive revive pruned --out revived
# conceptrevive obfuscate $HUB --variant fp16 \
#     --masks masks.safetensors --out hidden
# conceptrevive evaluate revived --concept parachute
# ```
#
# Here they run on the folder saved above, and are held to what Python found. Whether a concept's name means the paper's or the {term}`pocket model`'s
# is told by the size of a model's pictures; the stand-in's are small, so it needs `--preset paper`.


# %% tags=["hide-input"]
def command(*words):
    """Run a command; its exit code."""
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = conceptrevive([*map(str, words)])
    print(f"{words[0]:<10}exit code {code}")
    return code


file, steps = FOLDER / "masks.safetensors", concept.settings.steps
told = ("--concept", "parachute", "--preset", "paper", "--steps", steps)
command("locate", FOLDER / "original", *told, "--out", file)
command("prune", FOLDER / "original", "--masks", file, "--out", FOLDER / "cut")
command("revive", FOLDER / "cut", "--out", FOLDER / "back")
command("audit", FOLDER / "cut" / "unet")
theirs = cr.MaskSet.load(file)
equal = all(torch.equal(theirs[n], masks[n].cpu()) for n in theirs)
print(f"masks: {'the same' if equal else 'not the same'} as Python's")
assert REAL or equal  # a GPU may round otherwise in other batches

# %% [markdown]
# ## The probe: a model that knows nothing
#
# Every step ran, every file is as it should be, the audit sees the scar. In the book all that happened to a model of random
# weights, which has never seen a parachute. **So none of it shows that a concept was found, forgotten or revived.** The stand-in is a
# {term}`control`: what comes out the same for it does not tell knowledge from its absence. Which number does?
#
# :::{admonition} Predict before you run
# Completion guesses the signs of the pruned weights. How many are right on random weights, how many on the trained {term}`pocket model`, pruned for the
# same concept?
# :::

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-stable-diffusion-gpu-signs", "caption": "Sign accuracy of completion: share of pruned signs that are right, over all pruned weights and over the surest 0.6, with 95 % Wilson intervals. Dashed: a coin."}, "image": {"alt": "Four rows with a dot and a short bar each. In the book the two rows of the stand-in lie at a dashed line at one half, the two rows of the pocket model far to the right of it."}}


def signs(original, masks):
    """Sign accuracy, all and kept, each with its interval."""
    completed = cr.complete(cr.prune(original, masks), masks)
    found, out = cr.sign_accuracy(original, completed), []
    for share, part in zip(found, (1, 0.6), strict=True):
        n = round(part * masks.count)
        out.append(cr.Rate(share, cr.wilson(round(share * n), n), n))
    return out


pocket = cr.load_pipeline("pocket")
theirs = cr.locate(pocket, cr.get_concept("parachute"), seed=RANDOM_SEED)
this = "SD 1.5" if REAL else "stand-in"
both = signs(original, masks) + signs(cr.read_weights(pocket), theirs)
kinds = [f"{m}: {n}" for m in (this, "pocket") for n in ("all", "surest")]
rates = dict(zip(kinds, both, strict=True))
ax = show_rates(rates, label="share of signs right")
ax.axvline(0.5, color="0.3", linestyle="--", linewidth=1)
plt.show()
for name, rate in rates.items():
    away = rate.interval[0] > 0.5 or rate.interval[1] < 0.5
    print(f"{name:<17}{rate}: {'' if away else 'not '}told from a coin")

# %% [markdown]
# ## The explanation
#
# Random weights are independent of one another. What is left of a row says nothing about what was taken, so completion has nothing to work with, and a
# sign is a coin's throw ({numref}`fig-stable-diffusion-gpu-signs`). Training is what ties weights together. A revival lives on that,
# not on the zeros alone: zeros tell **where**, structure tells **which way**. {term}`Sign accuracy` needs the original and no picture, so it is the
# first thing to measure on a new model, minutes before any drawing.
#
# What is known at full size, then? The paper's numbers, which are the paper's {cite}`zhang2026roots`: more than 70 % of signs
# right; {term}`top-1` of the {term}`erased concept`, a mean over twelve objects, 0.93 before pruning by {term}`ConceptPrune` {cite}`chavhan2025conceptprune`, 0.08 after it, 0.54 after the revival; under seven minutes of
# an A100 a concept. Below, claim by claim, the paper's pair of numbers beside those of the pocket model: not the same quantity on another day, but the
# same question asked of another model. Where the interval of our difference holds 0, nothing is decided. What each short name says is told in [the scorecard](18_scorecard.ipynb). Of Table 7 the paper counts {term}`detections <detection>`, we pictures.

# %% tags=["hide-input"]
card = Scorecard.read(results.published_file("laptop/scorecard"))
claims = [c for c in card.lines if c.ours and None not in c.paper]


def pair(a, b):
    return f"{b:.3g} → {a:.3g}"


lines = {
    f"{c.where}: {c.key}": (
        pair(*c.paper),
        pair(c.ours.after, c.ours.before),
        "[{:+.2f}, {:+.2f}]".format(*c.ours.interval),
    )
    for c in claims
}
columns = ["the paper, SD 1.5", "here, pocket", "our difference"]
pd.DataFrame.from_dict(lines, orient="index", columns=columns)

# %% tags=["hide-cell"]
for name in dict.fromkeys(c.experiment for c in claims):
    print(f"{name}:\n{results.provenance_line(card.sources[name])}")

# %% [markdown]
# ## Limits
#
# **When memory runs out** (`CUDA out of memory`), in this order:
#
# | | what | effect |
# |---|---|---|
# | 1 | Runtime → Restart session | what earlier cells and crashed calls hold is freed |
# | 2 | `batch_size=4` in `locate`, `batch_size=1` in `generate` and `evaluate` (`--batch-size`) | {numref}`fig-stable-diffusion-gpu-memory`; results of `locate` are the same up to rounding |
# | 3 | `pipe.vae.enable_slicing()` | pictures are decoded one by one |
# | 4 | `pipe.enable_model_cpu_offload()` | only the part that works is on the GPU; the package sees through it |
# | 5 | `pipe.enable_attention_slicing()` | only where attention is not fused; masks are the same up to rounding |
#
# Not `float32` on a T4: twice the memory, and an eighth of the peak {cite}`nvidia2019t4`. {term}`SalUn` {cite}`fan2024salun` and {term}`Scissorhands` {cite}`wu2024scissorhands`, which need gradients, refuse `float16` and offloaded models: load in
# `bfloat16`, on a larger card.
#
# **Tables of the paper** come from one command, and on one free card not all of them:
#
# ```console
# conceptrevive reproduce accuracy --profile paper --model $HUB
# conceptrevive reproduce cost --profile paper --model $HUB
# conceptrevive reproduce objects --profile smoke --model $HUB \
#     --concept parachute
# ```
#
# The first draws nothing and measures sign accuracy (Tables 5, 6); the second times every step on your card, which is better than the
# estimates above; the third rehearses Table 1 with a few pictures of four
# steps. They fetch the model's copy in `float32`, twice as large, and run it in `float16`. The rest is for [many GPUs](../book/at-scale.md), with the hours each experiment is estimated to take.
#
# **What may differ from the paper** although nothing is wrong: the {term}`judge` (`microsoft/resnet-50` here, torchvision's second weights of
# the same network there {cite}`he2016resnet`), seeds, and 24 pictures instead of 500, whose interval is nearly 0.4 wide at one half. Stable Diffusion's own scheduler (PNDM)
# predicts twice in its first step, which {term}`tau` counts, as the released code does; the stand-in's does not.

# %% [markdown]
# ## Summary
#
# - One call loads Stable Diffusion 1.5 in half precision; after it every cell is the pocket model's.
# - Shapes alone tell memory and operations. Decoding needs most memory a picture, drawing most time; the attack itself takes seconds.
# - A random stand-in passes every step, so passing them proves that the tools work, and nothing of a concept.
# - Sign accuracy told the trained pocket model from it. Measure it first.

# %% [markdown]
# ## What could be wrong
#
# - **Time and memory at full size are estimates.** A card may reach less than 0.15 of its peak; the allocator may need more than
#   is counted.
# - **The branch with a GPU was not run** where this page was made. The tests load a model in the hub's layout through it, no further.
# - **Random weights of a layer's usual start** are one kind of ignorance. A model trained without the concept is another, and a better
#   control; we have none of this size.
# - **Signs of one layer are not independent trials**, so the intervals of the trained model may be too narrow.
# - **The pocket model may revive more easily** than Stable Diffusion, or less: it is smaller, and a larger share of it is pruned.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: a tenth of a per cent (●○○, 5 minutes)
#
# Pruning touches "about 0.12 % of all weights", says the paper. The candidates are sixteen matrices, five of 320 × 1280, five of 640 × 2560, six of
# 1280 × 5120. Which share of the **UNet's** weights can the mask of a single denoising step take at most, at a skill ratio of 0.02?
#
# :::{admonition} Hint
# :class: dropdown
# At most ⌊0.02 · columns⌋ weights of each row. `sizes[0]` is how many the UNet has.
# :::

# %%
share = ...
check("stable_diffusion_gpu.1", share)

# %% tags=["solution", "hide-cell"]
matrices = [m.weight.shape for m in candidates.values()]
taken = sum(rows * int(0.02 * columns) for rows, columns in matrices)
share = taken / sizes[0]
print(f"{share:.3%}")
check("stable_diffusion_gpu.1", share)

# %% [markdown]
# ### Exercise 2: the map that is not there (●●○, 10 minutes)
#
# Without a fused kernel each layer of self-attention writes down, in float16, one number for each pair of tokens and each head, for every picture and
# both halves of guidance. Write `map_bytes(pictures, heads, tokens)`. How large is it for one picture in the first layers (8 heads, 64 × 64 tokens)?
#
# :::{admonition} Hint
# :class: dropdown
# Two halves, two bytes. Pairs of tokens: their square.
# :::

# %%
map_bytes = ...
check("stable_diffusion_gpu.2", map_bytes)


# %% tags=["solution", "hide-cell"]
def map_bytes(pictures, heads, tokens):
    return 2 * pictures * heads * tokens**2 * 2


print(f"{map_bytes(1, 8, 64 * 64) / 1e9:.2f} GB")
check("stable_diffusion_gpu.2", map_bytes)

# %% [markdown]
# ### Exercise 3: how many signs? (●●○, 10 minutes)
#
# You measure sign accuracy on a model of your own and get `share`. Write `needed(share)`: from how many signs on does the 95 % {term}`Wilson interval`
# leave out ½? It may be a whole number or not.
#
# :::{admonition} Hint
# :class: dropdown
# Wilson's interval holds exactly those true shares $p$ with $|\mathrm{share} - p| \le 1.96\, \sqrt{p(1-p)/n}$. Put $p = \tfrac12$ {cite}`wilson1927interval`.
# :::

# %%
needed = ...
check("stable_diffusion_gpu.3", needed)


# %% tags=["solution", "hide-cell"]
def needed(share):
    return 0.25 * 1.96**2 / (share - 0.5) ** 2


print(*(f"{needed(p):,.0f} signs at {p}" for p in (0.51, 0.55, 0.7)), sep="\n")
check("stable_diffusion_gpu.3", needed)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
