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
# # Finding and pruning skilled neurons
#
# Which weights draw a bus? {term}`ConceptPrune` {cite}`chavhan2025conceptprune` looks for those that
# work harder when a bus is asked for, and sets them to zero. This chapter builds it from its parts,
# asks how much of what it finds is about the bus, and ends at a church that will not go away.
#
# - **You will be able to** find a {term}`concept`'s weights with a dozen lines of your own; say how the {term}`mask`
#   depends on {term}`denoising steps <denoising step>`, prompts and seed; choose how much to cut, and say what it costs; tell
#   why cutting need not erase.
# - **Prerequisites:** [chapter 1](01_quickstart.ipynb) and
#   [chapter 2](02_pocket_model.ipynb), above all its part on feed-forward blocks.
# - **Time:** 30 minutes to read, 3 minutes to run, 30 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %% tags=["hide-cell"]
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import spearmanr

import conceptrevive as cr
from conceptrevive.concepts import world
from conceptrevive.evaluation.judges import classifier
from conceptrevive.figures import PALETTE
from conceptrevive.intervals import Rate
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import (
    compare_pictures,
    slider_pictures,
    tiled,
)
from conceptrevive.teaching.plots import show_pictures, show_rates, use_theme
from conceptrevive.teaching.published import provenance_line, published_json
from conceptrevive.teaching.versions import versions

use_theme()
RANDOM_SEED = 0
pipe = cr.load_pipeline("pocket", device="cpu")
original = cr.read_weights(pipe)

# %% [markdown]
# ## The success first
#
# `locate` returns a {term}`mask` for each {term}`ff.net.2`, true where a weight is to be pruned, and
# `prune` sets these weights to zero. {numref}`fig-skilled-neurons-erased` draws the same prompts from
# the same noise with and without them.
#
# :::{admonition} Predict before you run
# A tenth of the candidate weights will be zero. Will the four other objects look the same, much the
# same, or worse?
# :::

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skilled-neurons-erased", "caption": "Four buses, and four other objects in the same scenes, before and after the weights of the bus are set to zero. Move the curtain."}}
bus = cr.get_concept("bus")
masks = cr.locate(pipe, bus, seed=RANDOM_SEED)
pruned = cr.prune(original, masks)
print(f"pruned: {masks.fraction:.1%} of {len(masks)} matrices")


def draw(pipe, weights, prompts, seed=RANDOM_SEED):
    """Pictures of the prompts under these weights."""
    s = cr.get_concept("bus").settings
    with cr.swapped(pipe, weights):
        return cr.generate(
            pipe, prompts, seed=seed, steps=s.steps, guidance=s.guidance
        )


SHOWN = [f"a bus in a {s}" for s in ("road", "beach", "park", "street")]
SHOWN += ["a cat in a road", "a star in a beach"]
SHOWN += ["a key in a park", "a crown in a street"]
compare_pictures(
    tiled(draw(pipe, original, SHOWN), columns=4, scale=2),
    tiled(draw(pipe, pruned, SHOWN), columns=4, scale=2),
    ("original", "pruned"),
    "four pictures asked for as buses above, a cat, a star, a key and a "
    "crown below",
)

# %% [markdown]
# The buses are gone. The other objects are still there, though not all as clean as before, and some
# scenes have changed. How did `locate` know where to cut? In four steps, each a line or two.
#
# ## Step 1: listen
#
# Draw the {term}`target prompts <target prompt>`, "a bus in a road", and the
# {term}`base prompts <base prompt>`, "a road", all from the same noise, and listen to what enters
# each `ff.net.2`: a vector $z$ for every place of every picture, called a *token*. Each is first
# scaled to length 1, so that no place shouts. For layer $l$ at step $t$, the norm of column $j$ over
# all tokens $n$ of the target prompts, with and without guidance's prompt, is
#
# $$
# A_{t,l}[j] = \sqrt{ \sum_n \left( \frac{z_{n,j}}{\lVert z_n \rVert_2} \right)^2 } ,
# $$ (eq-skilled-neurons-norm)
#
# and likewise $B_{t,l}[j]$ for the base prompts. The sum is one matrix product: the squares of all
# tokens, weighted with $1 / \lVert z_n \rVert^2$.


# %% tags=["bare"]
def add_up(z, groups=2):
    """Squared column norms of each group of prompts: (groups, columns).

    z: (2 · prompts, tokens, columns); guidance runs all prompts twice.
    """
    prompts = len(z) // 2
    group = torch.arange(len(z)) % prompts * groups // prompts
    square = z.flatten(0, 1).square()
    weight = (1 / square.sum(-1)).view(len(z), -1)
    member = torch.eye(groups)[:, group]  # groups × samples
    return (member[:, :, None] * weight).flatten(1) @ square


@torch.no_grad()
def listen(pipe, prompts, settings, seed):
    """{layer: norms of shape (2, steps, columns)}, target then base."""
    heard = {name: [] for name in cr.candidate_layers(pipe)}
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, given, into=heard[name]: into.append(add_up(*given))
        )
        for name, layer in cr.candidate_layers(pipe).items()
    ]
    pipe.unet.to(memory_format=torch.contiguous_format)  # as `locate` does
    how = dict(steps=settings.steps, guidance=settings.guidance)
    same = [seed] * len(prompts)
    cr.generate(pipe, prompts, seed=same, autocast=False, **how)
    for hook in hooks:
        hook.remove()
    return {n: torch.stack(each, dim=1).sqrt() for n, each in heard.items()}


# %%
both = [*bus.target_prompts, *bus.base_prompts]
norms = listen(pipe, both, bus.settings, RANDOM_SEED)

LAYER = "mid_block.attentions.0.transformer_blocks.3.ff.net.2"
print("pairs of prompts:", len(bus.target_prompts))
print("norms of a layer:", tuple(norms[LAYER].shape))

# %% [markdown]
# ## Steps 2 and 3: score and compare
#
# A weight matters if it is large and if what it multiplies is large. The {term}`Wanda score`
# {cite}`sun2024wanda` is the product, and of each row, each {term}`neuron`, the fraction $k$ with the
# highest score is taken; $k$ is the {term}`skill ratio`. But the busiest columns are busy for every
# picture, so a weight is kept only if it scores higher for the target than for the base:
#
# $$
# \begin{aligned}
# M_{t}[i,j] \Leftrightarrow {}
# & |W_{ij}| A_{t}[j] \text{ in row } i\text{'s top } \lfloor k \cdot 4d \rfloor \\
# & \text{and } |W_{ij}| A_{t}[j] > |W_{ij}| B_{t}[j] .
# \end{aligned}
# $$ (eq-skilled-neurons-mask)
#
# In the second line $|W_{ij}|$ cancels: whether a column passes depends on the column alone
# ({numref}`fig-skilled-neurons-columns`).
#
# ## Step 4: unite
#
# The final mask is the union over the first $\tau$ steps ({term}`tau`), here 6 of 12.


# %% tags=["bare"]
def skilled(weight, target, base, k):
    """The mask of one layer at one step."""
    scores = weight.abs() * target
    top = scores.topk(int(k * weight.shape[1]), dim=1).indices
    mask = torch.zeros_like(weight, dtype=torch.bool).scatter(1, top, True)
    return mask & (target > base)


def unite(weight, norms, k, tau):
    """Pruned at any of the first tau steps."""
    steps = zip(*norms[:, :tau], strict=True)
    return torch.stack([skilled(weight, a, b, k) for a, b in steps]).any(0)


# %% tags=["agrees"]
s = bus.settings
for name, weight in original.items():
    bare = unite(weight, norms[name], s.skill_ratio, s.tau)
    assert torch.equal(bare, masks[name]), name
print(f"the package's mask, bit for bit: {masks.count:,} weights")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skilled-neurons-columns", "caption": "The 512 columns of one layer at the first step: norm for target prompts against norm for base prompts. Columns above the line pass the test. Grey: nothing pruned. Colour: how many of the column's 128 weights are."}, "image": {"alt": "A cloud of dots along a rising diagonal on logarithmic axes. Most lie near the line. Dots well above the line and of large norm are dark, which means that most of their weights are pruned; dots below the line and dots of small norm are grey."}}
target, base = norms[LAYER][:, 0]
mask = skilled(original[LAYER], target, base, s.skill_ratio)
fig, ax = plt.subplots(figsize=(5.6, 3.2))
count = mask.sum(0)
ax.scatter(base[count == 0], target[count == 0], color="0.75", s=10)
dots = ax.scatter(
    base[count > 0],
    target[count > 0],
    c=count[count > 0],
    cmap="viridis_r",
    s=18,
)
ends = [
    float(min(base.min(), target.min())),
    float(max(base.max(), target.max())),
]
ax.plot(ends, ends, color="0.3", linewidth=1)
ax.set(xscale="log", yscale="log")
ax.set(xlabel="norm for base prompts, B[j]", ylabel="norm for target, A[j]")
fig.colorbar(dots, label="weights pruned in the column")
taken = count.sort(descending=True).values
half = int((taken.cumsum(0) < taken.sum() / 2).sum()) + 1
print(f"half of this mask lies in {half} of {len(taken)} columns")

# %% [markdown]
# ## Where and when
#
# :::{admonition} Predict before you run
# In the first step there is almost nothing but noise. Will its mask already hold most of the final
# one, or will each of the six steps add about a sixth?
# :::
#
# {numref}`fig-skilled-neurons-growth` goes through the steps, beyond $\tau$ as well.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skilled-neurons-growth", "caption": "The mask of the bus while τ grows. Each line is a layer, in the order in which data pass through; each spot is a column, those that τ = 6 prunes most on the left. Black: all of the column's weights are pruned. Move the slider or press Play."}}
ORDER = sorted(norms, key=lambda n: "dmu".index(n[0]))  # down, mid, up


def growth(original, norms, k):
    """One figure for each τ."""
    for tau in range(1, norms[ORDER[0]].shape[1] + 1):
        rows = []
        for name in ORDER:
            six, mask = (
                unite(original[name], norms[name], k, t).float().mean(0)
                for t in (6, tau)
            )
            rows.append(mask[six.argsort(descending=True)])
        share = torch.stack(rows)
        fig, ax = plt.subplots(figsize=(5.6, 3.2))
        ax.imshow(share, aspect="auto", cmap="Greys", vmin=0, vmax=1)
        ax.set_title(f"τ = {tau}: {share.mean():.1%} of the weights")
        ax.set(xlabel="column, sorted", ylabel="layer")
        ax.set_yticks([1.5, 5.5, 11.5], ["down", "mid", "up"])
        yield fig


slider_pictures(
    list(growth(original, norms, s.skill_ratio)),
    range(1, s.steps + 1),
    "Sixteen lines, one a layer, dark at the left where columns are pruned "
    "whole, with more dark columns as more steps are united",
    control="τ",
    start=s.tau - 1,
)

# %% [markdown]
# The first step gives half of the final mask at once, because the top $k$ of every row is taken,
# whether or not anything in the row is about a bus yet. How much is? Take the share of
# $\sum_j A_{t,l}[j]^2$ that lies in columns with $A > 1.5\,B$, for each layer and step
# ({numref}`fig-skilled-neurons-when`).

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skilled-neurons-when", "caption": "Share of a layer's squared activation, at each denoising step, in columns whose norm for the bus is more than 1.5 times that for the bare scene. Steps left of the line are looked at."}, "image": {"alt": "A grid of sixteen layers by twelve steps. Brighter cells mark layers and steps where much of the activation belongs to the bus."}}


def own_share(norms):
    """(steps,): the share of one layer."""
    target, base = norms
    energy = target.square()
    return (energy * (target > 1.5 * base)).sum(-1) / energy.sum(-1)


shares = torch.stack([own_share(norms[name]) for name in ORDER])
fig, ax = plt.subplots(figsize=(5.6, 2.8))
picture = ax.imshow(shares, aspect="auto", cmap="viridis", vmin=0)
ax.axvline(s.tau - 0.5, color="white", linewidth=2)
ax.set_xticks(range(s.steps), range(1, s.steps + 1))
ax.set_yticks([1.5, 5.5, 11.5], ["down", "mid", "up"])
ax.set(xlabel="denoising step", ylabel="layer")
_ = fig.colorbar(picture, label="share that is the bus's own")

for step in (0, s.tau - 1):
    near = taken = 0
    for name, weight in original.items():
        a, b = norms[name][:, step]
        mask = skilled(weight, a, b, s.skill_ratio)
        near += int(mask[:, a < 1.1 * b].sum())
        taken += int(mask.sum())
    print(f"step {step + 1}: {near / taken:.0%} of the mask where A < 1.1 B")

# %% [markdown]
# In the middle of the {term}`UNet` the bus is seen early and clearly; in the first steps and the outer layers
# hardly. The test asks for *more* than the base prompts, not for much more, and in the first step about
# half of the mask is in columns that are less than a tenth above them. Such columns may well fall on
# the other side of the line next time.
#
# ## A first probe: how stable is a mask?
#
# Everything above came from one noise and eight sentences. Locate the bus again from other noise,
# from half of the scenes, in other words, and compare the masks by their {term}`Jaccard index`, the
# share of what is in either mask that is in both. For comparison: another concept's mask, and a mask
# with as many weights in each row at random places.
#
# :::{admonition} Predict before you run
# Which overlaps more with the bus's mask: the bus's from other noise, or the church's from the same
# noise? By how much?
# :::


# %% tags=["hide-input"]
def jaccard(one, other):
    """Over all layers."""
    both = sum(int((one[n] & other[n]).sum()) for n in one)
    return both / sum(int((one[n] | other[n]).sum()) for n in one)


def pairs(concept, some):
    """The concept with some of its pairs of prompts."""
    targets, bases = concept.target_prompts[some], concept.base_prompts[some]
    return replace(concept, target_prompts=targets, base_prompts=bases)


said = tuple(f"an image of {p}" for p in bus.target_prompts)
church = cr.get_concept("church")
again = {
    "other noise": cr.locate(pipe, bus, seed=RANDOM_SEED + 1),
    "other noise again": cr.locate(pipe, bus, seed=RANDOM_SEED + 2),
    "four of the scenes": cr.locate(pipe, pairs(bus, slice(0, 4))),
    "the other four": cr.locate(pipe, pairs(bus, slice(4, 8))),
    '"an image of …"': cr.locate(pipe, replace(bus, target_prompts=said)),
    "the church": cr.locate(pipe, church, seed=RANDOM_SEED),
}
source = torch.Generator().manual_seed(RANDOM_SEED)
again["random places"] = {
    n: m.gather(1, torch.rand(m.shape, generator=source).argsort(1))
    for n, m in masks.items()
}

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skilled-neurons-stable", "caption": "Jaccard index of the bus's mask with masks located otherwise."}, "image": {"alt": "Horizontal bars. The mask from other words is nearly the same; those from half of the scenes overlap by about three quarters, those from other noise by a little more than half, and the church's mask by almost as much. Random places hardly overlap."}}
alike = {name: jaccard(masks, other) for name, other in again.items()}
fig, ax = plt.subplots(figsize=(5.6, 2.8))
ax.barh(list(alike), list(alike.values()), color=PALETTE["retained"])
ax.invert_yaxis()
ax.bar_label(ax.containers[0], fmt="%.2f", padding=3)
_ = ax.set(xlabel="Jaccard index with the first mask", xlim=(0, 1))

# %% [markdown]
# Other noise leaves little more than half of the mask in place, and the church's mask, from the same
# noise, nearly as much. Is the mask about the bus at all? {numref}`fig-skilled-neurons-margin` sorts
# its weights by their column's *margin*, the largest $A/B$ of the six steps, and asks of each group
# which share is found again.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skilled-neurons-margin", "caption": "Of the bus's mask, by the margin of the column: the share of weights that is found again for the bus from other noise, and for the church from the same noise. Below each group: its share of the mask."}, "image": {"alt": "Two lines over six groups of growing margin. The bus from other noise rises from about 0.6 to above 0.8; the church stays near 0.7 to 0.75 in the first four groups and then falls below 0.3."}}
EDGES = torch.tensor([1.1, 1.25, 1.5, 2, 4])
found, size = {n: torch.zeros(6) for n in again}, torch.zeros(6)
for name, mask in masks.items():
    a, b = norms[name][:, : s.tau]
    group = torch.bucketize((a / b).amax(0), EDGES)
    size.index_add_(0, group, mask.sum(0).float())
    for other, each in again.items():
        both = (mask & each[name]).sum(0).float()
        found[other].index_add_(0, group, both)

labels = ["≤ 1.1", "–1.25", "–1.5", "–2", "–4", "> 4"]
fig, ax = plt.subplots(figsize=(5.6, 2.8))
for other, colour in (("other noise", "original"), ("the church", "pruned")):
    name = "the bus, other noise" if other == "other noise" else other
    ax.plot(found[other] / size, "o-", color=PALETTE[colour], label=name)
shares = [
    f"{x}\n{y:.0%}" for x, y in zip(labels, size / size.sum(), strict=True)
]
ax.set_xticks(range(6), shares)
ax.set(xlabel="margin A/B of the column", ylabel="found again", ylim=(0, 1))
_ = ax.legend(loc="lower left")

# %% [markdown]
# So a mask is a mixture. Where the margin is small, the bus from other noise finds fewer of the weights
# again than the church does from the same noise. Where it is large, the bus finds most of them again and
# the church does not.
#
# :::{admonition} Predict before you run
# Split the bus's mask at a margin of 1.5. The wide part is smaller than the narrow one. Which of them
# erases the bus when it is pruned alone: the wide part, the narrow part, or neither?
# :::

# %%
wide = {
    n: m & ((norms[n][0] / norms[n][1])[: s.tau].amax(0) > 1.5)
    for n, m in masks.items()
}
parts = {"wide": wide, "narrow": {n: masks[n] & ~wide[n] for n in masks}}
EVALUATION = 1_000_000  # other noise than any that located
buses, hits = list(bus.eval_prompts[:12]), {}
for name, part in parts.items():
    share = np.mean([float(m.float().mean()) for m in part.values()])
    pictures = draw(pipe, cr.prune(original, part), buses, EVALUATION)
    hits[name] = classifier().correct(pictures, [bus.labels] * len(buses))
    print(f"{name:<6} {share:.1%} pruned, buses: {Rate.of(hits[name])}")

gain, (low, high) = cr.paired_difference(hits["narrow"], hits["wide"])
print(f"narrow − wide: {gain:+.2f} [{low:+.2f}, {high:+.2f}]")

# %% [markdown]
# The wide part erases by itself; of the larger narrow part twelve pictures show no effect. So this bus
# does have {term}`skilled neurons <skilled neuron>`, or rather skilled columns; much is taken besides them, because every row must
# give up its top $k$. It may also be how another concept's mask can share so much with
# the bus's and yet, as we shall see, hardly erase it: what they share is mostly narrow, and of the widest
# columns it takes few.
#
# ## How much to cut?
#
# The skill ratio was chosen on six objects, by a rule that was written down first
# ([model card](../book/model-card.md)). {numref}`fig-skilled-neurons-ratio` has all that was tried at
# this guidance. From the smallest $k$ to the largest, less is left of the concepts, and less of
# everything else.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skilled-neurons-ratio", "caption": "Top-1 of six erased objects together, and of the retained ones, after pruning with other skill ratios; 95 % Wilson intervals over pictures."}, "image": {"alt": "Two curves over the skill ratio from 0.05 to 0.2. That of the erased objects falls from about 0.4 to below 0.2; that of the retained ones stays near one and then falls to about 0.92."}}
tried = published_json("pocket/settings")
rows = [row for row in tried["rows"] if row["guidance"] == s.guidance]
counts = {
    "pruned": tried["images"] * len(tried["objects"]),
    "retained_pruned": tried["retained_images"] * len(tried["objects"]),
}
fig, ax = plt.subplots(figsize=(5.6, 2.7))
for key, n in counts.items():
    value = np.array([row[key] for row in rows])
    ends = np.array([cr.wilson(round(v * n), n) for v in value])
    colour = PALETTE["pruned" if key == "pruned" else "retained"]
    name = "erased" if key == "pruned" else "retained"
    k = [row["skill_ratio"] for row in rows]
    ax.errorbar(
        k, value, np.abs(ends.T - value), fmt="o-", color=colour, label=name
    )
ax.set(xlabel="skill ratio k", ylabel="top-1 after pruning", ylim=(0, 1.03))
ax.legend(loc="center right")
print("church alone:", *(f"{r['pruned_each']['church']:.2f}" for r in rows))
print(provenance_line(tried))

# %% [markdown]
# At the chosen $k = 0.1$ the {term}`retained concepts <retained concept>` lose little, and the erased
# ones most of what they had, in the mean. {numref}`fig-skilled-neurons-twelve` shows what the mean
# hides. Below it are two {term}`controls <control>`, paired by picture: with as many zeros at random
# places, or with another concept's mask, about 0.8 more of the pictures show the concept. So the place
# matters, for all that masks overlap.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skilled-neurons-twelve", "caption": "Top-1 of twelve objects after pruning each, with 95 % Wilson intervals, 50 pictures each. The original model draws each of them at 0.88 or more."}, "image": {"alt": "Twelve rows of dots with intervals, from church at 0.6 down to several objects at 0. Four objects lie above 0.2: church, gas pump, spider web and bicycle."}}
table = published_json("pocket/phenomenon")
names = sorted(
    world.PAPER_OBJECTS, key=lambda o: -table["concepts"][o]["pruned"]
)
found = {
    o: Rate(c["pruned"], tuple(c["pruned_interval"]), table["n"])
    for o in names
    for c in [table["concepts"][o]]
}
_, ax = plt.subplots(figsize=(5.6, 3.9))
show_rates(found, ax, label="top-1 after pruning")
worst = min(table["concepts"][o]["original"] for o in names)
print(f"lowest original top-1: {worst:.2f}")
for key in ("random_mask", "other_mask"):
    gain, (low, high) = table["objects"][f"{key}_minus_pruned"]
    print(f"{key} − pruned: {gain:+.2f} [{low:+.2f}, {high:+.2f}]")
print(provenance_line(table))

# %% [markdown]
# ## A second probe: the church that stays
#
# The easy story is: a concept lives in its skilled neurons; cut them, and it is gone. The church was
# located and pruned by the same rule as the bus, about as many weights went, and churches are still
# drawn.
#
# :::{admonition} Predict before you run
# Now take four times the skill ratio for the church, $k = 0.4$, and in the end set **every** candidate
# weight to zero. Will the churches go? And how would you know that what the {term}`judge` calls a church is one?
# :::
#
# [Chapter 2](02_pocket_model.ipynb) has taught us to show the judge other ruins, too.

# %% tags=["hide-input"]
most = cr.locate(pipe, church, skill_ratio=0.4, seed=RANDOM_SEED)
print(f"k = 0.4 prunes {most.fraction:.0%} of the candidate weights")
LEVELS = {
    "original": original,
    "k = 0.1": cr.prune(original, again["the church"]),
    "k = 0.4": cr.prune(original, most),
    "all zero": {n: torch.zeros_like(w) for n, w in original.items()},
}
asked = list(church.eval_prompts[:12])
churches = {n: draw(pipe, w, asked, EVALUATION) for n, w in LEVELS.items()}
things = [f"a photo of {world.with_article(o)}" for o in world.OBJECTS]
things = [p for p in things if "church" not in p and "castle" not in p][:12]
churches["other ruins"] = draw(pipe, LEVELS["all zero"], things, EVALUATION)

seen = {}
for name, pictures in churches.items():
    seen[name] = classifier().correct(pictures, [church.labels] * 12)
    print(f"{name:<12} churches: {Rate.of(seen[name])}")
gain, (low, high) = cr.paired_difference(seen["k = 0.4"], seen["k = 0.1"])
print(f"k = 0.4 − k = 0.1: {gain:+.2f} [{low:+.2f}, {high:+.2f}]")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skilled-neurons-church", "caption": "Six of the twelve churches, from the same noise: the whole model, pruned at the usual skill ratio, at four times as much, and with every candidate weight zero."}, "image": {"alt": "Four rows of six small pictures. First row: white churches with a dark spire and a red door. Second and third: smaller or plainer white houses, some still with a spire. Last: blurred patches, two of them with the faint outline of a church."}}
del churches["other ruins"]
_ = show_pictures({name: row[:6] for name, row in churches.items()})

ruined = published_json("pocket/quality")["drawing"]["every_ff_zeroed_each"]
kept = [o for o in names if o != "spider web"]
rho = spearmanr(
    [ruined[o]["value"] for o in kept],
    [table["concepts"][o]["pruned"] for o in kept],
).statistic
half = 1.96 / np.sqrt(len(kept) - 3)
low, high = np.tanh(np.arctanh(rho) + np.array([-half, half]))
print(
    f"rank correlation: {rho:.2f} [{low:.2f}, {high:.2f}], {len(kept)} objects"
)

# %% [markdown]
# More than a third of the candidate weights are gone at $k = 0.4$, and the difference from the usual
# cut is too small for twelve pictures; the things in {numref}`fig-skilled-neurons-church` are still
# white houses, some with a spire. Only when everything is zero are churches rare, and then the outline
# of one can still be made out here and there; no other ruin is called a church. By elimination, the
# easy story leaks in two places.
#
# - **In weights that the mask spares.** What draws the churches at $k = 0.4$ is not in the mask: it is
#   in columns as busy without a church, in weights of low score, or outside the candidates.
# - **In parts that are never cut.** In the ruins no `ff.net.2` weight is at work. The outlines come
#   from attention and convolutions, which pass them on without the feed-forward blocks.
#
# How much each explains is open. If the second were the whole reason, objects that survive in ruins
# should be those that survive pruning. The rank correlation above (published shares, without the spider
# web, whose ruins chapter 2 has exposed) has an interval that includes zero.

# %% [markdown]
# ## Summary
#
# - ConceptPrune in a dozen lines: norms of unit tokens, Wanda scores, the highest of each row, more for the
#   target than for the base, the union of the first steps. The package does the same, bit for bit.
# - The mask lies in few columns, and grows fastest in the first step, where the least is known.
# - A mask is a mixture. Columns of large margin are found again from other noise, and not for another
#   concept; they erased the bus by themselves. Columns of small margin come and go; pruned alone they left all
#   twelve buses.
# - Retained concepts lose little at the chosen skill ratio. Some concepts survive it, and for the church
#   a much larger one as well.
# - What a pruned model no longer draws, it need not have lost: that is [chapter 1](01_quickstart.ipynb)'s
#   question, and the rest of the book's.

# %% [markdown]
# ## What could be wrong
#
# - **One bus, three noises, twelve pictures.** The live parts of this chapter show how to ask; other
#   concepts can answer otherwise.
# - **The settings were chosen on six of the twelve objects** of {numref}`fig-skilled-neurons-twelve`, by
#   their pruned accuracy, from other noise.
# - **The judge decides what a church is.** Small white houses are a matter of taste, and the world has a
#   castle, too.
# - **The margin is our measure,** made after seeing that masks differ, and cut at 1.5 because
#   {numref}`fig-skilled-neurons-when` was; a largest ratio of six favours columns that fluctuate. It is
#   the second split we tried: the first compared what three noises share with the rest, which differ in
#   size, and was given up for that.
# - **The {term}`pocket model`'s concepts sit in more of its weights** than Stable Diffusion's: its skill ratio is
#   five times the 0.02 that {cite:t}`zhang2026roots` use for objects.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: two masks by chance (●○○, 5 minutes)
#
# Two masks prune a share $p$ each, at places independent of one another, in a large matrix. Which
# Jaccard index do you expect? Give it for $p =$ `masks.fraction`, and compare it with the last bar of
# {numref}`fig-skilled-neurons-stable`.
#
# :::{admonition} Hint
# :class: dropdown
# Of all places a share $p^2$ is in both. How many are in either?
# :::

# %%
by_chance = ...
check("skilled_neurons.1", by_chance, masks.fraction)

# %% tags=["solution", "hide-cell"]
p = masks.fraction
by_chance = p**2 / (2 * p - p**2)
check("skilled_neurons.1", by_chance, masks.fraction)

# %% [markdown]
# ### Exercise 2: without the base prompts (●●○, 10 minutes)
#
# Of the weights that the highest scores alone would take in `LAYER` at the first step, which share does the
# test against the base prompts spare?
#
# :::{admonition} Hint
# :class: dropdown
# `skilled` with a base of zeros lets every column pass.
# :::

# %%
spared = ...
check("skilled_neurons.2", spared, original[LAYER], norms[LAYER][:, 0])

# %% tags=["solution", "hide-cell"]
weight, (target, base) = original[LAYER], norms[LAYER][:, 0]
kept = skilled(weight, target, base, 0.1).sum()
spared = 1 - kept / skilled(weight, target, torch.zeros_like(base), 0.1).sum()
check("skilled_neurons.2", spared, original[LAYER], norms[LAYER][:, 0])

# %% [markdown]
# ### Exercise 3: one ranking for the whole layer (●●●, 15 minutes)
#
# ConceptPrune ranks within each row. Write `skilled_in_layer(weight, target, base, k)`, which takes the
# fraction $k$ of highest scores of the whole matrix instead, with the same test. Then prune with it and
# look: what happens to rows of small weights?
#
# :::{admonition} Hint
# :class: dropdown
# `scores.flatten().topk(...)` and a mask that is flat until the end.
# :::

# %%
skilled_in_layer = ...
check("skilled_neurons.3", skilled_in_layer)


# %% tags=["solution", "hide-cell"]
def skilled_in_layer(weight, target, base, k):
    """The mask of one layer at one step, ranked over all of it."""
    scores = (weight.abs() * target).flatten()
    top = scores.topk(int(k * weight.numel())).indices
    mask = torch.zeros_like(scores, dtype=torch.bool).scatter(0, top, True)
    return mask.view_as(weight) & (target > base)


check("skilled_neurons.3", skilled_in_layer)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
