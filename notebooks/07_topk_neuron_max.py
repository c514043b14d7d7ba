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
# # Top-K and neuron max
#
# A completed matrix holds an estimate of every pruned weight. The attack throws most of it away: four signs in ten,
# and every size. Why should a worse estimate bring back more?
#
# - **You will be able to** tell which completed signs to trust, choose $K$ from a table of {term}`sign accuracy`, and say
#   what a size does to a {term}`revival`.
# - **Prerequisites:** [signs or magnitudes](05_signs_or_magnitudes.ipynb), for why signs matter;
#   [completing a matrix](06_completing_a_matrix.ipynb), for where they come from.
# - **Time:** 25 minutes to read, 2 minutes to run, 30 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %%
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
import torch

import conceptrevive as cr
from conceptrevive.evaluation.outcomes import evaluate_images, judge_concept
from conceptrevive.figures import PALETTE
from conceptrevive.revival.attack import revive_layer
from conceptrevive.revival.quantisation import quantise
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import explore, tiled
from conceptrevive.teaching.plots import show_differences, use_theme
from conceptrevive.teaching.published import (
    provenance_line,
    published,
    published_json,
)
from conceptrevive.teaching.versions import versions

use_theme()
RANDOM_SEED = 0
N = 8  # pictures for each set of weights

# %%
pipe = cr.load_pipeline("pocket")
candle = cr.get_concept("candle")
original = cr.read_weights(pipe)
masks = cr.locate(pipe, candle, seed=RANDOM_SEED)
pruned = cr.prune(original, masks)
completions = cr.complete(pruned, masks)

# %% [markdown]
# ## The last two steps of the attack
#
# Let $M$ be the completed matrix of a layer and $\Omega$ its {term}`mask`. {term}`Top-k` keeps the signs of
# the share $K$ of $\Omega$ with the largest $|M_{ij}|$; call those places $\Omega_K$. Each gets a size $m_{ij}$:
#
# $$
# \hat W_{ij} = \begin{cases} \operatorname{sign}(M_{ij})\, m_{ij} & (i,j) \in \Omega_K \\
# 0 & (i,j) \in \Omega \setminus \Omega_K \\ W_{ij} & \text{otherwise.} \end{cases}
# $$ (eq-topk-neuron-max-revive)
#
# The paper {cite}`zhang2026roots` compares three rules for $m$, all taken from what survived in row $i$: *sample*, which
# is $|\mathcal{N}(\mu_i, \sigma_i^2)|$; *average*, the mean $|W_{ik}|$; and *max*, the largest one ({term}`neuron max`).
# A fourth suggests itself, and is called `expected` in the package: leave the completed value as it is.


# %% tags=["bare"]
def size_of(w, m, rule, rng):
    """A size for every entry, from the survivors of its row."""
    alive, count = w * ~m, (~m).sum(1, keepdim=True)
    if rule == "max":
        return alive.abs().amax(1, keepdim=True).expand_as(w)
    if rule == "average":
        return (alive.abs().sum(1, keepdim=True) / count).expand_as(w)
    mean = alive.sum(1, keepdim=True) / count
    spread = (((w - mean) * ~m) ** 2).sum(1, keepdim=True) / count
    return (mean + spread.sqrt() * torch.randn(w.shape, generator=rng)).abs()


def revive_barely(completed, m, k, rule, rng=None):
    """The equation above, for one layer."""
    estimate = completed.abs() * m
    count = round(k * int(m.sum()))
    kept = torch.zeros_like(m)
    kept.view(-1)[estimate.flatten().topk(count).indices] = True
    if rule == "expected":
        filled = completed
    else:
        filled = completed.sign() * size_of(completed, m, rule, rng)
    return torch.where(m, filled * kept, completed)


# %% tags=["agrees"]
for k in (0.2, 0.6, 1.0):
    for rule in ("sample", "average", "max", "expected"):
        ours, theirs = (
            torch.Generator().manual_seed(RANDOM_SEED) for _ in "ab"
        )
        for name, c in completions.items():
            bare = revive_barely(c.weight, c.mask, k, rule, ours)
            package = revive_layer(c, k, rule, theirs)
            torch.testing.assert_close(bare, package, rtol=1e-5, atol=1e-7)
            assert (package[~c.mask] == original[name][~c.mask]).all()
print(f"four rules, three K, {len(completions)} layers: the same")

# %% [markdown]
# ## Apparent success: near estimates
#
# How far is each from the original? For the pruned entries of a layer, $w$, and what stands in their place, $\hat w$, the
# usual measure is the relative squared error $\lVert \hat w - w \rVert^2 / \lVert w \rVert^2$. Zeros score 1.
#
# :::{admonition} Predict before you run
# Order the rules by this error: completed values, average, sample, max. Does any do worse than leaving the zeros?
# :::


# %%
def compared(original, revived, masks):
    """Error, correlation and dose of the pruned entries, over the layers."""
    found = []
    for name, m in masks.items():
        w, guess = original[name][m], revived[name][m]
        dose = (w @ guess) / (w @ w)
        error = (guess - w).square().sum() / (w @ w)
        cosine = (w @ guess) / (w.norm() * guess.norm())
        found.append([error.item(), cosine.item(), dose.item()])
    return pd.DataFrame(found, columns=["error", "correlation", "dose"])


def revived_by(completions, k, rule, seed):
    rng = torch.Generator().manual_seed(seed)
    return {n: revive_layer(c, k, rule, rng) for n, c in completions.items()}


ways = {"completed": (1.0, "expected")}
ways |= {rule: (0.6, rule) for rule in ("average", "sample", "max")}
sets = {
    way: revived_by(completions, *how, RANDOM_SEED) for way, how in ways.items()
}
tables = {way: compared(original, w, masks) for way, w in sets.items()}
errors = {way: t["error"].describe() for way, t in tables.items()}
print("relative squared error of pruned entries; zeros have 1")
pd.DataFrame(errors).T[["mean", "min", "max"]].round(2)

# %% [markdown]
# Completed values and the row's average are nearest, and about alike. Neuron max is *further* from the original, on average
# over the layers, than the zeros it replaces. By this measure the attack makes things worse.
#
# ## The probe: pictures
#
# What do the pictures say? The repository's table of twelve objects has two of the rules, at $K = 0.6$.


# %% mystnb={"figure": {"name": "fig-topk-neuron-max-rules", "caption": "Erased top-1 over twelve objects, minus the pruned model's, paired by prompt and noise, with 95 % intervals; K is 0.6."}, "image": {"alt": "Three rows with a dot and an interval each. Neuron max lies near 0.27, neuron average near 0.12, both clear of zero; random signs at neuron max lie a little below zero."}}
table = published_json("pocket/phenomenon")
print(provenance_line(table))
objects = table["objects"]
print(f"{objects['concepts']} objects, {table['n']} pictures each")
rows = {"neuron max": "revived", "neuron average": "neuron_average"}
rows["control: random signs"] = "random_signs"
gains = {}
for label, row in rows.items():
    value, interval = objects[f"{row}_minus_pruned"]
    gains[label] = (value, tuple(interval))
    low, high = interval
    print(f"{label:<22} {value:+.2f} [{low:+.2f}, {high:+.2f}]")
_ = show_differences(gains, label="difference from pruned")

# %% [markdown]
# In {numref}`fig-topk-neuron-max-rules` the rule that is furthest by squared error brings back most: its interval lies
# wholly above that of the average. The error is the wrong measure. What is the right one, and what do $K$ and the
# size do to it?
#
# ## Which signs can be trusted?
#
# Take the pruned entries of a {term}`concept` in five groups of equal number, by their completed size. The repository has that
# for the twelve objects and both solvers ({numref}`fig-topk-neuron-max-fifths`).
#
# :::{admonition} Predict before you run
# Over all groups about seven signs in ten are right. How many in the fifth of largest completed size? In the fifth of
# smallest?
# :::


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-topk-neuron-max-fifths", "caption": "Share of right signs by fifths of size, one line an object. Left: by the size that the completion gave. Right: by the original size, which no attacker sees. The dashed line is a coin."}, "image": {"alt": "Two panels with twelve nearly equal lines each. Left, they rise from just above one half to 0.94. Right, they rise from 0.57 to 0.85."}}
study = published("laptop/accuracy")
print(provenance_line(study))
mine = [e for e in study.entries if e.recipe == "conditional"]
fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.9), sharey=True)
means = {}
for ax, kind in zip(axes, ("completed", "original"), strict=True):
    lines = [[g["value"] for g in e.numbers[f"{kind}_fifths"]] for e in mine]
    for line in lines:
        ax.plot(range(1, 6), line, color=PALETTE["revived"], alpha=0.5)
    ax.axhline(0.5, color="0.3", linestyle="--", linewidth=1)
    ax.set(xlabel=f"fifth by {kind} size", xticks=range(1, 6))
    means[kind] = pd.DataFrame(lines, columns=range(1, 6)).mean()
axes[0].set(ylabel="signs right", ylim=(0.45, 1.0))
plt.show()
print("mean over objects\n", pd.DataFrame(means).T.round(2), sep="")
surest = [e.numbers["completed_fifths"] for e in mine]
gaps = pd.Series([f[4]["value"] - f[0]["value"] for f in surest])
print(f"largest − smallest fifth: {gaps.min():.2f} to {gaps.max():.2f}")

# %% [markdown]
# The completion knows what it knows. In the smallest fifth it is close to a coin; in the largest it is nearly always
# right. The paper's Tables 5 and 6 say the same of Stable Diffusion's golf ball: 0.82 in the top fifth and 0.58 in the rest
# (from a single reading).
#
# Why? Given the rest of its column a weight is normal, with the completed value $\mu$ as its mean and a standard
# deviation $s$ that is the same along a row. The sign of $\mu$ is right with probability $\Phi(|\mu| / s)$. The further
# from zero, the surer. The probability can be checked, too: this is {term}`calibration`
# ({numref}`fig-topk-neuron-max-calibration`).

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-topk-neuron-max-calibration", "caption": "What the completion claims and what is true, one line an object, in five bins of the claim. On the dashed line claims are exact."}, "image": {"alt": "Twelve nearly equal lines over the claimed probability from one half to one. They lie above the diagonal: where 0.75 is claimed, about 0.9 are right."}}
fig, ax = plt.subplots(figsize=(4.2, 3.4))
for e in mine:
    bins = e.numbers["calibration"]
    ax.plot(
        [b["claimed"] for b in bins],
        [b["value"] for b in bins],
        "o-",
        color=PALETTE["revived"],
        alpha=0.5,
        markersize=4,
    )
ax.plot((0.5, 1), (0.5, 1), color="0.3", linestyle="--", linewidth=1)
ax.set(xlabel="probability claimed", ylabel="signs right")
plt.show()

# %% [markdown]
# In every bin more signs are right than claimed. The formula takes a pruned weight for an ordinary one. But pruned
# weights are large, and the sign of a large weight is easier to guess (right panel of
# {numref}`fig-topk-neuron-max-fifths`). For Top-K that does no harm: it needs the order, not the probability.
#
# ## K is a trade-off
#
# With one size for all kept signs, and each kept sign right with probability $q_K$ whatever the size of the weight, the
# outputs' correlation of [an earlier chapter](05_signs_or_magnitudes.ipynb) becomes
#
# $$
# \rho(K) = \kappa\, \sqrt{K}\, (2 q_K - 1) .
# $$ (eq-topk-neuron-max-tradeoff)
#
# The more signs, the larger $\sqrt K$; the less sure the last of them, the smaller the *edge* $2q_K - 1$. From the
# table of fifths alone one can read off $K$. Beside it stands the correlation measured on the weights.


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-topk-neuron-max-tradeoff", "caption": "Correlation of the revived with the original pruned weights against K, with neuron max. Dots: predicted from the published fifths of the twelve objects. Line: measured live for the candle, mean over layers. The dashed line is the paper's K."}, "image": {"alt": "Two flat hills over K from 0.1 to 1. The predicted one has its top at 0.6, the measured one between 0.4 and 0.5."}}
def measured(original, completions, masks, k):
    revived = revived_by(completions, k, "max", RANDOM_SEED)
    return compared(original, revived, masks)["correlation"].mean()


edges = 2 * means["completed"][::-1].to_numpy() - 1  # the surest first
shares = torch.arange(1, 6) / 5
sizes = {n: w[masks[n]].abs() for n, w in original.items()}
kappa = sum(s.mean() / s.square().mean().sqrt() for s in sizes.values())
kappa = (kappa / len(sizes)).item()
hill = [kappa * edges[: i + 1].sum() / 5 / s**0.5 for i, s in enumerate(shares)]

fig, ax = plt.subplots()
ax.plot(shares, hill, "o", color=PALETTE["original"], label="from the fifths")
tenths = [k / 10 for k in range(1, 11)]
live = [measured(original, completions, masks, k) for k in tenths]
ax.plot(tenths, live, color=PALETTE["revived"], label="measured")
ax.axvline(0.6, color="0.3", linestyle="--", linewidth=1)
ax.set(xlabel="K", ylabel="correlation", ylim=(0, 0.6))
ax.legend()
plt.show()
best = tenths[live.index(max(live))]
print(f"predicted best: {shares[hill.index(max(hill))]:.1f}, measured: {best}")

# %% [markdown]
# Both hills of {numref}`fig-topk-neuron-max-tradeoff` are flat on top, and the paper's 0.6 is near the top of either. The
# prediction lies lower, and a little further right, since it takes errors for independent of size: the surest signs are
# those of large weights, which count for more. From so flat a hill nobody can tell the best $K$ to a tenth.
#
# ## Size is a dose
#
# Average and max give the same signs to the same places, so they point in nearly the same direction (*sample* strays a
# little, by its own draw). What differs is the length. How much of the original is there, measured along its own direction, is the *dose*
#
# $$
# d = \frac{\sum_j \hat w_j w_j}{\sum_j w_j^2} ,
# $$ (eq-topk-neuron-max-dose)
#
# 0 for the zeros and 1 for the original. The rest of $\hat w$, at right angles to $w$, is noise.

# %%
columns = ("correlation", "dose", "error")
rows = {way: t.mean()[list(columns)] for way, t in tables.items()}
print("mean over sixteen layers")
pd.DataFrame(rows).T.round(2)


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-topk-neuron-max-sizes", "caption": "Sizes in units of the row's average survivor, all layers of the candle together. Dashed: the average over rows of neuron max."}, "image": {"alt": "Three histograms. Completed sizes crowd near zero, survivors spread from 0 to 4 with a mean of 1, pruned weights lie to their right, mostly between 1 and 4. A dashed line marks neuron max just above 4."}}
def in_averages(w, m):
    """Sizes of survivors and of pruned entries, and the largest survivor."""
    average = size_of(w, m, "average", None)
    relative = w.abs() / average
    largest = (size_of(w, m, "max", None) / average)[:, 0]
    return relative[~m], relative[m], largest


parts = [in_averages(original[n], m) for n, m in masks.items()]
survived, gone, top = (torch.cat(p) for p in zip(*parts, strict=True))
guesses = [in_averages(c.weight, c.mask)[1] for c in completions.values()]
print(f"average pruned weight: {gone.mean():.2f} average survivors")
print(f"neuron max:            {top.mean():.2f}")
print(f"completed:             {torch.cat(guesses).mean():.2f}")
fig, ax = plt.subplots()
kinds = {"survived": (survived, "control"), "pruned": (gone, "pruned")}
kinds["completed"] = (torch.cat(guesses), "revived")
for kind, (values, state) in kinds.items():
    how = {"bins": 60, "range": (0, 6), "density": True, "alpha": 0.6}
    ax.hist(values.numpy(), label=kind, color=PALETTE[state], **how)
ax.axvline(top.mean(), color="0.3", linestyle="--", linewidth=1)
ax.set(xlabel="size / average survivor of the row", yticks=[])
ax.legend()
plt.show()

# %% [markdown]
# {term}`ConceptPrune` {cite}`chavhan2025conceptprune` took large weights, so the average of what is left is too small twice over: pruned weights were
# about twice as large ({numref}`fig-topk-neuron-max-sizes`), and with four signs in ten left out and some of the others
# wrong, each kept sign has to stand in for more than itself. Neuron max overshoots a single weight by about two, and so
# comes nearer to the whole dose. It pays with noise, and squared error counts the noise.
#
# That pictures follow the dose more than the error is an explanation that fits
# {numref}`fig-topk-neuron-max-rules`; it is no proof. Noise that points nowhere in particular may do little harm in a
# sum over hundreds of columns, up to a point.
#
# ### What the released code does
#
# It takes the *larger* of a normal sample and neuron max (times $1 + 10^{-6}$), so that a few entries lie above the row's
# largest survivor: about one in a thousand, by our reading. Is that so here, and does it matter?

# %%
rng = torch.Generator().manual_seed(RANDOM_SEED)
above, added = [], []
for c in completions.values():
    sample = size_of(c.weight, c.mask, "sample", rng)[c.mask]
    limit = size_of(c.weight, c.mask, "max", rng)[c.mask]
    above.append((sample > limit).float().mean())
    added.append((torch.maximum(sample, limit) / limit - 1).mean())
print(f"above neuron max: {torch.stack(above).mean():.3%} of the entries")
print(f"average size:     {torch.stack(added).mean():+.4%}")

# %% [markdown]
# The package takes neuron max itself, without a draw.
#
# ### A baseline that cannot work
#
# {term}`Quant Recover` rounds each row to sixteen levels and back, in the hope that rounding errors fill something in.
# Zero is one of the levels.

# %%
rounded = quantise(pruned, bits=4)
filled = sum(int((rounded[n][m] != 0).sum()) for n, m in masks.items())
more = sum(int((rounded[n][~m] == 0).sum()) for n, m in masks.items())
print(f"pruned entries that rounding moved: {filled}")
print(f"survivors that it made zero:        {more:,}")
assert filled == 0

# %% [markdown]
# ## K and the rule, live
#
# {numref}`fig-topk-neuron-max-k` draws the candle for five $K$ with two rules, from the same noise. Eight pictures each
# are a look, not a measurement.
#
# :::{admonition} Predict before you run
# Average, $K = 1$: more signs than any other, at a small size. Will it show candles?
# :::


# %%
def drawn(pipe, concept, weights):
    with cr.swapped(pipe, weights):
        pictures = evaluate_images(pipe, concept, n=N, seed=RANDOM_SEED)
    return pictures, judge_concept(concept, pictures)


def at(ready, pipe, concept, completions, K, rule):
    """A sheet of pictures; drawn once and kept in `ready`."""
    if (K, rule) not in ready:
        weights = revived_by(completions, K, rule, RANDOM_SEED)
        ready[K, rule] = drawn(pipe, concept, weights)
    return tiled(ready[K, rule][0], columns=4, scale=2)


STEPS = [0.2, 0.4, 0.6, 0.8, 1.0]
ready = {}
sheet = partial(at, ready, pipe, candle, completions)
for k in STEPS:
    for rule in ("average", "max"):
        sheet(K=k, rule=rule)
counts = {
    rule: [sum(ready[k, rule][1]) for k in STEPS] for rule in ("average", "max")
}
extra = {"pruned": pruned, "rounded": rounded, "completed": sets["completed"]}
for way, weights in extra.items():
    print(f"{way:<10} {cr.Rate.of(drawn(pipe, candle, weights)[1])}")
pd.DataFrame(counts, index=pd.Index(STEPS, name="K"))

# %% mystnb={"figure": {"name": "fig-topk-neuron-max-k", "caption": "Eight prompts for a candle from the same noise, revived with different K and sizes. Move both sliders; under a kernel they draw anew, with every tenth of K and all rules."}}
explore(
    sheet,
    "Eight small pictures that should show a candle each",
    values={"rule": ["average", "max"], "K": STEPS},
    live={"rule": ["sample", "average", "max", "expected"], "K": tenths},
)

# %% [markdown]
# No $K$ stands out, as the flat hill suggests. Neuron max shows a candle more than the average in every line of the
# table; eight pictures could not carry that by themselves, the twelve objects of {numref}`fig-topk-neuron-max-rules` do.
# Rounded weights, and the completed values left as they are, show no more candles here than the zeros do.

# %% [markdown]
# ## Summary
#
# - Large completed values have the right sign more often, from little more than a coin in the smallest fifth to nearly
#   always in the largest, over twelve objects.
# - $K$ trades the number of signs against their edge. The hill is flat, and the paper's 0.6 is near its top.
# - Pruned weights were the large ones. Neuron max restores more of the original's direction than the average does, with
#   more noise; over twelve objects it brought back more.
# - Squared error ranks these two the other way round. Rounding moves no zero at all.

# %% [markdown]
# ## What could be wrong
#
# - **Dose is an explanation after the fact.** It was not tested by changing the dose alone; scale neuron max up and down
#   and see.
# - **Correlation and dose are of weights**, layer by layer. What the layers do together is seen in pictures only.
# - **The live part is one concept, one seed, eight pictures.** The published tables have twelve objects; their intervals
#   speak of these objects.
# - **Entries of a layer are not independent**, so intervals over entries are too narrow. The spread over objects is what
#   the lines show.
# - **The best K here is the {term}`pocket model`'s**, at a {term}`skill ratio` five times the paper's.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: above the largest (●○○, 5 minutes)
#
# Survivors of a row are normal with mean 0, and the largest of them is $c$ standard deviations. Which share of entries
# does the released code's rule put above it? Write a function of `c`.
#
# :::{admonition} Hint
# :class: dropdown
# The share of a normal distribution outside of $\pm c$. `math.erfc(c / 2**0.5)` knows it.
# :::

# %%
share_above = ...
check("topk_neuron_max.1", share_above)


# %% tags=["solution", "hide-cell"]
def share_above(c):
    return torch.erfc(torch.tensor(c / 2**0.5)).item()


print(f"one in a thousand at c = 3.29: {share_above(3.29):.4f}")
check("topk_neuron_max.1", share_above)

# %% [markdown]
# ### Exercise 2: one more sign? (●●○, 15 minutes)
#
# Of the signs that are kept so far, the share `q` is right. By {eq}`eq-topk-neuron-max-tradeoff`, which share of right
# signs must a small further group have at least, so that keeping it too makes $\rho$ larger? Write a function of `q`.
# Then look at the table of fifths: where would you stop?
#
# :::{admonition} Hint
# :class: dropdown
# $\rho \propto S / \sqrt{n}$ with $n$ signs kept and $S$ the sum of their edges. Add $\delta$ signs of edge $e$, and ask
# when the derivative by $\delta$ is positive.
# :::

# %%
least_share = ...
check("topk_neuron_max.2", least_share)


# %% tags=["solution", "hide-cell"]
def least_share(q):
    # d ln(S / √n) = e / S − 1 / 2n > 0: half of the mean edge S / n.
    return (1 + (2 * q - 1) / 2) / 2


fifths = means["completed"][::-1].to_numpy()
for i in range(1, 5):
    kept = fifths[:i].mean()
    print(f"K = {i / 5}: next {fifths[i]:.2f}, needs {least_share(kept):.2f}")
check("topk_neuron_max.2", least_share)

# %% [markdown]
# ### Exercise 3: two aims, two sizes (●●○, 10 minutes)
#
# All pruned weights have size 1, and all signs are kept, a share `q` > ½ of them right. Which size makes the squared error
# least, and which makes the dose {eq}`eq-topk-neuron-max-dose` equal to 1? Write a function of `q` that returns both.
#
# :::{admonition} Hint
# :class: dropdown
# With size $c$ a right sign errs by $1 - c$, a wrong one by $1 + c$. The dose is $c$ times the edge.
# :::

# %%
two_sizes = ...
check("topk_neuron_max.3", two_sizes)


# %% tags=["solution", "hide-cell"]
def two_sizes(q):
    # d/dc [q (1 − c)² + (1 − q)(1 + c)²] = 0 at c = 2q − 1.
    edge = 2 * q - 1
    return edge, 1 / edge


check("topk_neuron_max.3", two_sizes)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
