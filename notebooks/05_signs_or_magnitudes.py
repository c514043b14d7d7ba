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
# # Signs or magnitudes?
#
# A pruned weight had a sign and a size. Suppose somebody gave you one of the two exactly, for every zero in the
# model. Which would you ask for, and why?
#
# - **You will be able to** build an {term}`oracle` that knows half of a weight, predict from a formula what each
#   half is worth, and say how many right signs an attacker needs.
# - **Prerequisites:** [the first chapter](01_quickstart.ipynb); [the scar](04_the_scar.ipynb), for who knows what;
#   correlation.
# - **Time:** 25 minutes to read, 2 minutes to run, 45 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %%
import matplotlib.pyplot as plt
import pandas as pd
import torch

import conceptrevive as cr
from conceptrevive.evaluation.outcomes import evaluate_images, judge_concept
from conceptrevive.experiments.reproduction.recipes import Erased
from conceptrevive.experiments.reproduction.signs import RECIPES
from conceptrevive.figures import PALETTE
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import slider_pictures, tiled
from conceptrevive.teaching.plots import show_differences, use_theme
from conceptrevive.teaching.published import provenance_line, published
from conceptrevive.teaching.versions import versions

use_theme()
RANDOM_SEED = 0
N = 8  # pictures for each set of weights

pipe = cr.load_pipeline("pocket")
candle = cr.get_concept("candle")
original = cr.read_weights(pipe)
masks = cr.locate(pipe, candle, seed=RANDOM_SEED)
pruned = cr.prune(original, masks)

# %% [markdown]
# ## Apparent success: every size is known
#
# We prune the candle from the {term}`pocket model`, and play an attacker who has learnt every pruned size to the
# last bit. Of the 16 bits of a half-precision weight they know 15. Only the signs they have to toss.
#
# By the numbers this is nearly the original: each row has its old norm, the histogram of sizes is the old one, no
# zero is left. A second attacker knows the signs alone, one bit in sixteen, and draws the sizes.
#
# Write $s_{ij}$ for the signs and $m_{ij}$ for the sizes that somebody believes in. Where the {term}`mask` $\Omega$
# says that an entry was pruned, they write
#
# $$
# \tilde W_{ij} = \begin{cases} s_{ij}\, m_{ij} & (i,j) \in \Omega \\ W_{ij} & \text{otherwise.} \end{cases}
# $$ (eq-signs-or-magnitudes-oracle)
#
# Beside the exact ones there are coins for signs, and two kinds of sizes: normal draws with mean and
# standard deviation of what survived in the row, and its largest survivor ({term}`neuron max`).


# %% tags=["bare"]
def coins(w, m, rng):
    return torch.randint(0, 2, w.shape, generator=rng) * 2.0 - 1


def sampled(w, m, rng):
    """|N(mean, variance)| of what survived in each row."""
    alive = (~m).sum(1, keepdim=True)
    mean = (w * ~m).sum(1, keepdim=True) / alive
    spread = (((w - mean) * ~m) ** 2).sum(1, keepdim=True) / alive
    return (mean + spread.sqrt() * torch.randn(w.shape, generator=rng)).abs()


def largest(w, m, rng):
    return (w * ~m).abs().amax(1, keepdim=True)


def exact(w, m, rng):
    return w


def oracle(original, masks, signs, sizes, seed):
    """Signs and sizes, each by its own rule; the equation above."""
    out = {}
    for i, (name, w) in enumerate(original.items()):
        one, other = (torch.Generator().manual_seed(seed + i) for _ in "ab")
        m = masks[name]
        filled = signs(w, m, one).sign() * sizes(w, m, other).abs()
        out[name] = torch.where(m, filled, w)
    return out


# %% [markdown]
# These are the oracles of the repository's experiment, weight for weight. One more is a check of the bookkeeping:
# both halves exact must give the original, bit for bit.

# %% tags=["agrees"]
RULES = {
    "exact signs, random magnitudes": (exact, sampled),
    "random signs, exact magnitudes": (coins, exact),
    "exact signs, neuron max": (exact, largest),
    "exact signs, exact magnitudes": (exact, exact),
}
erased = Erased(original, masks, RANDOM_SEED)
sets = {"original": original, "pruned": pruned}
for rule, (signs, sizes) in RULES.items():
    sets[rule] = oracle(original, masks, signs, sizes, RANDOM_SEED)
    theirs = RECIPES[rule].make(erased)
    for name, w in sets[rule].items():
        torch.testing.assert_close(w, theirs[name], rtol=1e-5, atol=1e-7)

both = sets.pop("exact signs, exact magnitudes")
assert all(torch.equal(both[n], original[n]) for n in original)
print(f"{masks.count:,} of {sum(w.numel() for w in original.values()):,}")
print("the package's oracles are these; both halves make the original")

# %% [markdown]
# :::{admonition} Predict before you run
# Exact sizes with coins for signs, or exact signs with made-up sizes: which of the two draws candles? Does the other
# draw any?
# :::


# %%
def drawn(pipe, concept, weights):
    """The evaluation's pictures, and in which the judge sees the concept."""
    with cr.swapped(pipe, weights):
        pictures = evaluate_images(pipe, concept, n=N, seed=RANDOM_SEED)
    return pictures, judge_concept(concept, pictures)


pictures, seen = {}, {}
for rule, weights in sets.items():
    pictures[rule], seen[rule] = drawn(pipe, candle, weights)
    print(f"{rule:<31} {cr.Rate.of(seen[rule])}")

# %% mystnb={"figure": {"name": "fig-signs-or-magnitudes-oracles", "caption": "The same eight prompts for a candle from the same noise, under five sets of weights. Move the slider or press Play."}}
slider_pictures(
    [tiled(sheet, columns=4, scale=2) for sheet in pictures.values()],
    list(pictures),
    "Eight small pictures that should show a candle each",
    control="weights",
)

# %% [markdown]
# ## The probe: twelve objects
#
# {numref}`fig-signs-or-magnitudes-oracles` is one {term}`concept`. The experiment of the repository has the twelve objects of
# the paper's tables, each under every oracle, from the same noise ({term}`paired seeds`).

# %%
study = published("laptop/signs")
print(provenance_line(study))
rows = {
    recipe: each.rates | {"concepts": each.concepts}
    for recipe, each in study.pooled.items()
}
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# *erased* is the mean {term}`top-1` on pictures of the {term}`erased concept`, *retained* that on
# {term}`retained concepts <retained concept>`. What matters are the differences, picture by picture
# ({numref}`fig-signs-or-magnitudes-pooled`).


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-signs-or-magnitudes-pooled", "caption": "Paired differences of the erased concepts' top-1 over the twelve objects, with 95 % intervals. Each row is the first set of weights minus the second."}, "image": {"alt": "Five rows with a dot and an interval each. Exact signs with random magnitudes minus pruned lies near 0.74, random signs with exact magnitudes minus pruned near zero, signs minus magnitudes near 0.77, neuron max minus random magnitudes a little above zero, neuron max minus original at zero."}}
def pooled(study, recipe):
    """Every picture's outcome, concept after concept."""
    mine = [e for e in study.entries if e.recipe == recipe]
    return [d == "1" for e in mine for d in e.outcomes["erased"]]


SIGNS, SIZES, MAX, _ = RULES
pairs = {
    "exact signs − pruned": (SIGNS, "pruned"),
    "exact sizes − pruned": (SIZES, "pruned"),
    "exact signs − exact sizes": (SIGNS, SIZES),
    "neuron max − random sizes": (MAX, SIGNS),
    "neuron max − original": (MAX, "original"),
}
gaps = {}
for label, (one, other) in pairs.items():
    gaps[label] = cr.paired_difference(pooled(study, one), pooled(study, other))
    value, (low, high) = gaps[label]
    print(f"{label:<26} {value:+.2f} [{low:+.2f}, {high:+.2f}]")
_ = show_differences(gaps, label="difference of erased top-1")

# %% [markdown]
# Signs without sizes bring nearly all back. Sizes without signs bring back nothing that these pictures can tell from
# pruning. And among sizes the crudest, one number for a whole row, does better than a draw per entry: given the
# signs, it cannot be told from the original here.
#
# The paper {cite}`zhang2026roots` has the same order in its Fig. 2. On Stable Diffusion exact signs with random
# magnitudes reach a mean of 0.34, and exact magnitudes with random signs 0.09, where pruning leaves 0.08 in its
# Table 1. (The 0.34 and the 0.09 we have from a single reading of the paper; it gives no intervals.) The gap is much
# wider on the pocket model. The random draws of the two need not be made alike, and the models differ by a factor of
# nearly a hundred in size, so the two numbers should not be read as one scale.
#
# That signs carry so much has been seen elsewhere: what a pruned network needs of its initial weights to train well
# again are their signs; the sizes can be drawn anew {cite}`zhou2019signs`.
#
# ## The explanation: a toy layer
#
# Take one row $w$ of pruned weights and what somebody puts in their place, $\tilde w$. For inputs $x$ that are
# independent, with mean 0 and variance 1, the outputs $w \cdot x$ and $\tilde w \cdot x$ have the correlation
#
# $$
# \rho = \frac{\sum_j w_j \tilde w_j}{\lVert w \rVert \, \lVert \tilde w \rVert} .
# $$ (eq-signs-or-magnitudes-cosine)
#
# Let a share $f$ of the signs be wrong, and let signs, true sizes $|w|$ and believed sizes $m$ be independent. In a
# long row the sums become means, and the correlation a product:
#
# $$
# \rho = (1 - 2f)\, \kappa(|w|)\, \kappa(m), \qquad \kappa(a) = \frac{\mathbb{E}\,a}{\sqrt{\mathbb{E}\,a^2}} \le 1
# $$ (eq-signs-or-magnitudes-product)
#
# with $\kappa(|w|)\,\kappa(m)$ replaced by 1 where the sizes are exact. Call $\kappa$ the *evenness* of the sizes: it
# is 1 if all are alike. For normal weights it is $\sqrt{2/\pi} \approx 0.80$.
#
# :::{admonition} Predict before you run
# Normal weights, exact signs, sizes drawn anew from the same distribution. What correlation do the outputs keep? How
# many signs could be wrong instead, with exact sizes, for the same loss?
# :::


# %%
def correlation(a, b):
    return ((a * b).sum() / (a.norm() * b.norm())).item()


def evenness(sizes):
    return (sizes.mean() / sizes.square().mean().sqrt()).item()


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-signs-or-magnitudes-toy", "caption": "A toy layer of 64 rows and 512 columns of normal weights. Lines: the product formula. Dots: measured on 2000 random inputs."}, "image": {"alt": "Three straight lines fall from the left to zero where half of the signs are wrong: exact sizes from 1, one size for all from 0.8, sizes drawn anew from 0.64. Measured dots lie on the lines."}}
rng = torch.Generator().manual_seed(RANDOM_SEED)
w = torch.randn(64, 512, generator=rng)
x = torch.randn(512, 2000, generator=rng)
fresh = torch.randn(64, 512, generator=rng).abs()
kinds = {
    "exact sizes": (w.abs(), 1.0, "original"),
    "one size": (torch.ones_like(w), (2 / torch.pi) ** 0.5, "revived"),
    "drawn sizes": (fresh, 2 / torch.pi, "pruned"),
}
fig, ax = plt.subplots()
share = torch.linspace(0, 0.5, 6)
for kind, (m, kappas, state) in kinds.items():
    found = []
    for f in share:
        turned = torch.rand(w.shape, generator=rng) < f
        guess = torch.where(turned, -1, 1) * w.sign() * m
        found.append(correlation(w @ x, guess @ x))
    colour = {"color": PALETTE[state]}
    ax.plot(share, (1 - 2 * share) * kappas, label=kind, **colour)
    ax.plot(share, found, "o", **colour)
ax.set(xlabel="share of wrong signs f", ylabel="output correlation")
ax.legend()
plt.show()

# %% [markdown]
# {numref}`fig-signs-or-magnitudes-toy` has the whole answer. Wrong sizes cost a factor, 0.64 for normal weights however
# wrong they are drawn: a weight too strong or too weak still pushes its way. Wrong signs cost a factor that goes to 0,
# and at a coin's half nothing of the output is left. A size is missed by a little; a sign is missed wholly.
#
# ## Does it hold in the model?
#
# Two things may break the formula: trained weights are not normal, and the inputs of `ff.net.2` are neither
# independent nor of mean 0. So we measure. A hook listens to what the layers really get while four pictures of a
# candle are drawn, and only the pruned weights are applied to it.


# %%
def inputs_of(pipe, names, concept):
    """What each layer multiplies, every sixteenth token."""
    modules = dict(pipe.unet.named_modules())
    heard = {name: [] for name in names}
    hooks = [
        modules[name].register_forward_pre_hook(
            lambda _, args, name=name: heard[name].append(
                args[0].detach().flatten(0, -2)[::16].float()
            )
        )
        for name in names
    ]
    prompts, how = concept.target_prompts[:4], concept.settings
    try:
        cr.generate(
            pipe,
            prompts,
            seed=RANDOM_SEED,
            steps=how.steps,
            guidance=how.guidance,
        )
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(rows) for name, rows in heard.items()}


z = inputs_of(pipe, masks, candle)


# %%
def kept_outputs(z, original, weights, masks):
    """Correlation of the pruned weights' outputs, one a layer."""
    found = []
    for name, m in masks.items():
        truth, guess = (w[name] * m for w in (original, weights))
        found.append(correlation(z[name] @ truth.T, z[name] @ guess.T))
    return pd.Series(found)


def predicted(original, masks, rule):
    """The product formula with the evenness of this model's weights."""
    signs, sizes = RULES[rule]
    out = []
    for i, (name, m) in enumerate(masks.items()):
        rng = torch.Generator().manual_seed(RANDOM_SEED + i)
        w = original[name]
        sizes_of = sizes(w, m, rng).abs().expand_as(w)[m]
        kappas = evenness(w[m].abs()) * evenness(sizes_of)
        kappas = 1.0 if sizes is exact else kappas
        out.append(kappas * (0.0 if signs is coins else 1.0))
    return pd.Series(out)


rows = {}
for rule in (SIGNS, SIZES, MAX):
    found = kept_outputs(z, original, sets[rule], masks)
    said = predicted(original, masks, rule).mean()
    rows[rule] = (said, found.mean(), found.min(), found.max())
heads = ["predicted", "measured", "lowest layer", "highest"]
pd.DataFrame.from_dict(rows, orient="index", columns=heads).round(2)

# %% [markdown]
# The prediction knows nothing of the inputs, and is close on average; layers differ. It also says why sizes matter so
# little *here*: pruning took the large weights of each row, and large weights resemble one another. Their evenness is
# above the normal 0.80, so one size for all fits them well.

# %%
true = {n: evenness(original[n][m].abs()) for n, m in masks.items()}
rest = {n: evenness(original[n][~m].abs()) for n, m in masks.items()}
even = pd.DataFrame({"pruned": true, "survived": rest})
print("evenness of sizes, sixteen layers")
even.describe().loc[["min", "mean", "max"]].round(3)

# %% [markdown]
# ## A dial: how many right signs?
#
# No attacker knows all signs. Start from exact signs with neuron max, and turn a growing share of them at random; who
# was turned stays turned. Next to it stands what an attacker really has: signs from a
# {term}`matrix completion` ([how that works](06_completing_a_matrix.ipynb)), all of them kept, also with neuron max.
#
# :::{admonition} Predict before you run
# With neuron max, {eq}`eq-signs-or-magnitudes-product` leaves $(1 - 2f)\,\kappa(|w|)$. At which share $f$ do candles
# begin to fail in {numref}`fig-signs-or-magnitudes-dial`: 5 %, 20 %, 40 %?
# :::


# %%
def turned(original, masks, share, seed):
    """Exact signs with neuron max, a share of the signs turned."""
    out = {}
    for i, (name, w) in enumerate(original.items()):
        rng = torch.Generator().manual_seed(seed + i)
        wrong = torch.rand(w.shape, generator=rng) < share
        signs = torch.where(wrong, -1, 1) * w.sign()
        m = masks[name]
        out[name] = torch.where(m, signs * largest(w, m, rng), w)
    return out


SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
dial, hits, kept = {}, {}, {}
for f in SHARES:
    weights = turned(original, masks, f, RANDOM_SEED)
    same = f == 0  # the oracle from above, already drawn
    if not same:
        dial[f], hits[f] = drawn(pipe, candle, weights)
    else:
        dial[f], hits[f] = pictures[MAX], seen[MAX]
    kept[f] = kept_outputs(z, original, weights, masks).mean()

completions = cr.complete(pruned, masks)
everywhere, _ = cr.sign_accuracy(original, completions)
revived = cr.revive(pruned, masks, top_k=1.0)
dial["completed"], hits["completed"] = drawn(pipe, candle, revived)
kept["completed"] = kept_outputs(z, original, revived, masks).mean()

# %% mystnb={"figure": {"name": "fig-signs-or-magnitudes-dial", "caption": "Eight prompts for a candle from the same noise, with exact signs at neuron max of which a share is turned; last, the completed signs. Move the slider or press Play."}}
slider_pictures(
    [tiled(sheet, columns=4, scale=2) for sheet in dial.values()],
    [f"{f:.0%}" if f in SHARES else f for f in dial],
    "Eight small pictures that should show a candle each",
    control="signs turned",
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-signs-or-magnitudes-curve", "caption": "The same pictures counted, with 95 % Wilson intervals, above the correlation of the pruned weights' outputs. The square is the completion, at its own share of wrong signs."}, "image": {"alt": "Two panels over the share of wrong signs from 0 to 50 percent. Above, the share of candles with wide intervals falls from nearly 1 towards 0. Below, the output correlation falls in a straight line from 0.93 to 0. A square marks the completion at 28 percent in both panels."}}
fig, (top, low) = plt.subplots(2, 1, figsize=(5.6, 4.6), sharex=True)
for f in hits:
    is_dial = f in SHARES
    at = f if is_dial else 1 - everywhere
    rate = cr.Rate.of(hits[f])
    mark, state = ("o", "original") if is_dial else ("s", "revived")
    colour = {"color": PALETTE[state]}
    top.plot((at, at), rate.interval, linewidth=4, alpha=0.4, **colour)
    top.plot(at, rate.value, mark, **colour)
    low.plot(at, kept[f], mark, **colour)
line = [(1 - 2 * f) * even.pruned.mean() for f in SHARES]
low.plot(SHARES, line, color="0.3", linestyle="--", label="formula")
low.legend()
top.set(ylabel="candles seen", ylim=(-0.03, 1.03))
low.set(ylabel="output correlation", xlabel="share of wrong signs")
plt.show()

# %% [markdown]
# In {numref}`fig-signs-or-magnitudes-curve` a fifth of wrong signs leaves every candle standing, though a good part of the
# correlation is gone by then; at a coin's half there is none. In between eight pictures cannot say where it fails. The
# outputs follow the formula all the way.
#
# So an attacker does not need all signs, nor nearly all, but clearly more than half. The completion has about 28 % wrong.
# It keeps a little less of the outputs than errors spread evenly would, and some candles. Whether it draws fewer than
# the dial does at the same share is again more than eight pictures tell.
#
# ## Limits: when sizes matter
#
# "Signs, not sizes" is no law. The formula has $\kappa$, and $\kappa$ can be small: where a few weights are much larger
# than all others, equal sizes drown those few. Take sizes $e^{\sigma g}$ with normal $g$; their evenness is
# $e^{-\sigma^2/2}$.

# %%
rng = torch.Generator().manual_seed(RANDOM_SEED)
g = torch.randn(256, 512, generator=rng)
signs = coins(g, None, rng)
rows = {}
for sigma in (0.25, 0.5, 1.0, 1.5):
    w = signs * (sigma * g).exp()
    tossed = coins(w, None, rng) * w.abs()
    rows[sigma] = (correlation(w, signs), correlation(w, tossed))
heads = ["exact signs, one size", "coins, exact sizes"]
heavy = pd.DataFrame.from_dict(rows, orient="index", columns=heads)
heavy.insert(0, "formula", [2.718 ** (-(s**2) / 2) for s in heavy.index])
heavy.rename_axis("sigma").round(2)

# %% [markdown]
# So before you carry the conclusion to another model or another way of pruning, compute the evenness of what was pruned.
# Coins stay worthless on average, whatever the sizes.

# %% [markdown]
# ## Summary
#
# - Over twelve objects exact signs with made-up sizes brought nearly everything back; exact sizes with coins for signs
#   could not be told from pruning.
# - Wrong sizes cost the outputs a factor that is never far from 1 for sizes that are much alike, and pruned ones are.
#   Wrong signs cost a factor that goes to zero.
# - On the model's own inputs the formula comes close, on average over the layers, though it assumes independent ones.
# - On one concept a fifth of wrong signs did no harm that eight pictures show, and half of them left nothing.
#
# So the attack need only guess signs. [How](06_completing_a_matrix.ipynb), and [which of the guessed ones can be trusted,
# and what size should they get](07_topk_neuron_max.ipynb)?

# %% [markdown]
# ## What could be wrong
#
# - **The oracles know what no attacker knows.** They explain; they do not attack.
# - **Eight pictures of one concept** for the dial. Its intervals are wide, and other concepts may fail earlier or later.
# - **Sixteen pictures a concept** in the published table. Its intervals are those of the pictures, for these twelve
#   objects, and say nothing about others.
# - **A correlation is not a picture.** The formula is about one layer's outputs, with everything before it intact. Sixteen
#   layers act one after another, and nothing here says how errors add up on the way.
# - **Turned signs are spread evenly.** A completion's errors are not: it is right about large weights more often, and in
#   some layers more often than in others (exercise 4).

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: evenness (●○○, 10 minutes)
#
# Sizes are spread uniformly between $a$ and $b$, $0 \le a < b$. Write a function of `a` and `b` that returns their
# evenness $\kappa$.
#
# :::{admonition} Hint
# :class: dropdown
# The mean is $(a+b)/2$. For the mean square integrate $x^2/(b-a)$, or add the variance $(b-a)^2/12$ to the square of the
# mean.
# :::

# %%
uniform_evenness = ...
check("signs_or_magnitudes.1", uniform_evenness)


# %% tags=["solution", "hide-cell"]
def uniform_evenness(a, b):
    mean = (a + b) / 2
    return mean / (mean**2 + (b - a) ** 2 / 12) ** 0.5


check("signs_or_magnitudes.1", uniform_evenness)

# %% [markdown]
# ### Exercise 2: how many signs? (●●○, 10 minutes)
#
# An attacker uses {term}`neuron max`, and the evenness of the pruned weights is `kappa`. They want an output correlation
# of at least `wanted` > 0. Which share of signs must be *right*? Write a function of `wanted` and `kappa`; it returns
# `None` where no share is enough.
#
# :::{admonition} Hint
# :class: dropdown
# Solve {eq}`eq-signs-or-magnitudes-product` for $f$, with $\kappa(m) = 1$. A share of right signs is at most 1.
# :::

# %%
needed = ...
check("signs_or_magnitudes.2", needed)


# %% tags=["solution", "hide-cell"]
def needed(wanted, kappa):
    share = (1 + wanted / kappa) / 2
    return share if share <= 1 else None


check("signs_or_magnitudes.2", needed)

# %% [markdown]
# ### Exercise 3: as bad as a quarter (●●○, 10 minutes)
#
# Sizes are $e^{\sigma g}$ with normal $g$. For which $\sigma$ does one size for all, with exact signs, cost as much
# correlation as a quarter of wrong signs with exact sizes?
#
# :::{admonition} Hint
# :class: dropdown
# Set $e^{-\sigma^2/2}$ equal to $1 - 2f$.
# :::

# %%
sigma = ...
check("signs_or_magnitudes.3", sigma)

# %% tags=["solution", "hide-cell"]
# exp(-sigma² / 2) = 1/2, so sigma² = 2 ln 2.
sigma = torch.tensor(2.0).log().mul(2).sqrt().item()
check("signs_or_magnitudes.3", sigma)

# %% [markdown]
# ### Exercise 4: errors in the right places (●●●, 15 minutes)
#
# One size for all, and errors that need not be spread evenly. Then the product formula holds with another share of right
# signs $q$ in place of $1 - f$: $\rho = (2q - 1)\,\kappa(|w|)$. Write `trusted_share(w, guess)`, which returns this $q$
# from the true weights and the guessed ones, and compare it with the plain {term}`sign accuracy` of a completed layer.
#
# :::{admonition} Hint
# :class: dropdown
# Put $\tilde w_j = \pm 1$ into {eq}`eq-signs-or-magnitudes-cosine` and divide by $\kappa$. Each right sign counts by the
# size of its weight.
# :::

# %%
trusted_share = ...
check("signs_or_magnitudes.4", trusted_share)


# %% tags=["solution", "hide-cell"]
def trusted_share(w, guess):
    right = w.sign() == guess.sign()
    return ((w.abs() * right).sum() / w.abs().sum()).item()


name = next(iter(masks))
w, guess = original[name][masks[name]], revived[name][masks[name]]
plain = (w.sign() == guess.sign()).float().mean()
print(f"{plain:.3f} of the signs, {trusted_share(w, guess):.3f} by size")
check("signs_or_magnitudes.4", trusted_share)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
