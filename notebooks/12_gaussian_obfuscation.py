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
# # Gaussian obfuscation
#
# The attack reads zeros. So leave none: put noise in their place. How much noise hides them, what does it cost, and who
# is stopped by it?
#
# - **You will be able to** choose the size of the noise from a formula, say what an attacker sees of it, and tell what
#   {term}`obfuscation` protects from what it does not.
# - **Prerequisites:** [the scar](04_the_scar.ipynb), for what zeros give away; [Top-K and neuron
#   max](07_topk_neuron_max.ipynb), for the attack.
# - **Time:** 30 minutes to read, 2 minutes to run, 40 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %% tags=["hide-input"]
from collections import Counter
from functools import partial
from math import atan, pi

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import conceptrevive as cr
from conceptrevive.evaluation.judges import classifier
from conceptrevive.evaluation.outcomes import (
    evaluate_images,
    judge_concept,
    retained_images,
    retained_probes,
)
from conceptrevive.experiments.reproduction.contrasts import pictures
from conceptrevive.figures import PALETTE
from conceptrevive.revival.positions import guess_everywhere, redrawn_positions
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import explore, slider_pictures, tiled
from conceptrevive.teaching.plots import use_theme
from conceptrevive.teaching.published import measured
from conceptrevive.teaching.versions import versions

# %%
use_theme()
RANDOM_SEED = 0
N = 8  # pictures for each set of weights

pipe = cr.load_pipeline("pocket")
candle = cr.get_concept("candle")
original = cr.read_weights(pipe)
masks = cr.locate(pipe, candle, seed=RANDOM_SEED)
pruned = cr.prune(original, masks)
print(f"{masks.count:,} weights pruned, {masks.fraction:.1%} of the candidates")

# %% [markdown]
# ## The defence
#
# Let $\Omega$ be the {term}`mask` of a layer with weights $W$, and $\sigma_U$ the standard deviation of those that
# survive ({term}`sigma_U`). {cite:t}`zhang2026roots` write noise into $\Omega$, of a standard deviation $\sigma_M$
# ({term}`sigma_M`) that the publisher chooses:
#
# $$
# \tilde W_{ij} = \begin{cases} \varepsilon_{ij}, \quad \varepsilon_{ij} \sim \mathcal{N}(0, \sigma_M^2) & (i,j) \in
# \Omega \\ W_{ij} & \text{otherwise.} \end{cases}
# $$ (eq-gaussian-obfuscation-fill)
#
# The attacker now sees a matrix without zeros. They know the recipe, and look at sizes. If a share $\alpha$ of the
# weights is noise and the others are normal with $\sigma_U$, then of all entries with $|w| \le x$ the share
#
# $$
# p(x) = \frac{\alpha \operatorname{erf}\frac{x}{\sqrt 2\, \sigma_M}}{\alpha \operatorname{erf}\frac{x}{\sqrt 2\,
# \sigma_M} + (1 - \alpha) \operatorname{erf}\frac{x}{\sqrt 2\, \sigma_U}}
# $$ (eq-gaussian-obfuscation-p)
#
# is noise. That is the paper's $p(w)$. It is the *precision* of somebody who takes every weight up to $x$ for a pruned
# one.


# %% tags=["bare"]
def fill(w, m, sigma, rng):
    """Noise of sigma, in units of the survivors' spread, where m is true."""
    scale = sigma * float(w[~m].std(correction=0))
    noise = torch.randn(w.shape, generator=rng) * scale
    noise = noise.half().float()  # the survivors are float16's values too
    return torch.where(m, noise, w)


def p(x, alpha, sigma_m, sigma_u):
    """The share of noise among weights up to x."""
    noise = alpha * torch.erf(x / (2**0.5 * sigma_m))
    rest = (1 - alpha) * torch.erf(x / (2**0.5 * sigma_u))
    return noise / (noise + rest)


# %% tags=["agrees"]
rng = torch.Generator().manual_seed(RANDOM_SEED)
bare = {n: fill(w, masks[n], 0.25, rng) for n, w in original.items()}
package = cr.obfuscate(original, masks, sigma=0.25, seed=RANDOM_SEED)
for name, m in masks.items():
    torch.testing.assert_close(bare[name], package[name])
    assert (package[name] != 0)[m].all()
    assert torch.equal(package[name][~m], original[name][~m])

x = torch.linspace(0.01, 3, 50, dtype=torch.float64)
for sigma in (0.1, 0.25, 1.0):
    theirs = cr.modified_probability(x, 0.1, sigma, 1.0)
    torch.testing.assert_close(p(x, 0.1, sigma, 1.0), theirs)
print(f"{len(masks)} layers and p(w): the same")

# %% [markdown]
# ## Apparent success
#
# Here are several sizes of noise, in units of $\sigma_U$, and the attacker of [the first chapter](01_quickstart.ipynb):
# told how many weights were pruned in each layer, they take the smallest of each row for the pruned ones and run the
# {term}`revival` there.
#
# :::{admonition} Predict before you run
# Noise has no memory of candles. Will filled weights draw more of them than zeros do, fewer, or as many? And at which
# size will castles and cats suffer?
# :::


# %% tags=["hide-input"]
def sides(pipe, concept, weights):
    """Pictures of the concept and of others, and which are right."""
    with cr.swapped(pipe, weights):
        mine = evaluate_images(pipe, concept, n=N, seed=RANDOM_SEED)
        rest = retained_images(pipe, concept, n=N, seed=RANDOM_SEED)
    labels = [probe.labels for probe in retained_probes(concept, N)]
    kept = classifier(concept.judge).correct(rest, labels)
    return mine, rest, judge_concept(concept, mine), kept


def attack(pipe, concept, weights, places):
    """Pictures of the concept alone, after a revival at these places."""
    with cr.swapped(pipe, cr.revive(weights, places)):
        mine = evaluate_images(pipe, concept, n=N, seed=RANDOM_SEED)
    return mine, judge_concept(concept, mine)


def smallest(weights, masks):
    """A guess: as many of the smallest of each row as were pruned there."""
    shares = {n: m.float().mean().item() for n, m in masks.items()}
    return cr.guess_masks(weights, shares)


# %%
SIGMAS = (0.1, 0.25, 1.0, 8.0)
hide = partial(cr.obfuscate, original, masks, seed=RANDOM_SEED)
hidden = {sigma: hide(sigma=sigma) for sigma in SIGMAS}
hidden[0.0] = pruned
DRAWN = (0.0, 0.25, 1.0, 8.0)
seen = {s: sides(pipe, candle, hidden[s]) for s in DRAWN}

guesses = {s: smallest(hidden[s], masks) for s in SIGMAS}
strike = partial(attack, pipe, candle)
tried = {s: strike(hidden[s], guesses[s]) for s in DRAWN[1:]}
tried[0.0] = strike(pruned, cr.zero_masks(pruned))

# %% mystnb={"figure": {"name": "fig-gaussian-obfuscation-pictures", "caption": "From the same noise: four candles and four other things drawn with noise of the given size (in units of sigma_U) in the pruned places, and below them the candles after the attack. At 0 there are zeros, and the attacker reads the places off. Move the slider or press Play."}}
NAMES = {s: f"{s:g} σ_U" if s else "0 (zeros)" for s in DRAWN}
slider_pictures(
    [
        tiled([*seen[s][0][:4], *seen[s][1][:4], *tried[s][0][:4]], 4, scale=2)
        for s in NAMES
    ],
    list(NAMES.values()),
    "Three rows of four small pictures: prompts for a candle, prompts for "
    "other things, and the candle's prompts again after the attack",
    control="σ_M",
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-gaussian-obfuscation-live", "caption": "The same, counted: eight candles and eight other pictures for each size of the noise, with 95 % Wilson intervals."}, "image": {"alt": "Three series over the size of the noise from zeros to 8 sigma_U: candles without an attack, candles after the attack at guessed places, and other things that are still drawn. Other things are at the top but for the largest noise; the candles are low everywhere. The intervals are wide."}}
series = {
    "other things": ("retained", {s: seen[s][3] for s in NAMES}),
    "candles": ("obfuscated", {s: seen[s][2] for s in NAMES}),
    "candles, attacked": ("revived", {s: tried[s][1] for s in NAMES}),
}
SHIFTS = (-0.12, 0, 0.12)
fig, ax = plt.subplots()
for shift, (what, (state, counts)) in zip(SHIFTS, series.items(), strict=True):
    for i, right in enumerate(counts.values()):
        rate, at = cr.Rate.of(right), i + shift
        label = what if i == 0 else None
        how = {"color": PALETTE[state]}
        ax.plot((at, at), rate.interval, linewidth=4, alpha=0.4, **how)
        ax.plot(at, rate.value, "o", label=label, **how)
ax.set(xlabel=r"$\sigma_M$ / $\sigma_U$", ylim=(-0.03, 1.45))
ax.set_xticks(range(len(NAMES)), [f"{s:g}" for s in NAMES])
ax.set(ylabel="shown", yticks=[0, 0.5, 1])
ax.legend(loc="upper center", ncols=3, columnspacing=0.8, handletextpad=0.2)
plt.show()

# %% [markdown]
# {numref}`fig-gaussian-obfuscation-pictures` shows what {numref}`fig-gaussian-obfuscation-live` counts. With noise as
# with zeros hardly a candle is seen, and up to noise of the weights' own size other things are drawn as before. The
# attack, which brings a few candles back from zeros, has little to show for its guesses. It looks as if a defence of
# moderate size cost nothing; at $8 \sigma_U$ nothing is left that could be called a model. Eight pictures carry no more
# than that; the intervals are wide.
#
# ## What the attacker sees
#
# {eq}`eq-gaussian-obfuscation-p` has three numbers in it: $\alpha$, $\sigma_M$ and $\sigma_U$. Only their ratio
# $s = \sigma_M / \sigma_U$ matters beside $\alpha$. At its left end, where the smallest weights are,
#
# $$
# \frac{p(0)}{1 - p(0)} = \frac{1}{s} \cdot \frac{\alpha}{1 - \alpha} .
# $$ (eq-gaussian-obfuscation-odds)
#
# So the odds that a weight is noise can rise by a factor of at most $1/s$ above those of a blind guess, and for $s = 1$
# not at all. {numref}`fig-gaussian-obfuscation-p` has the whole curve with counts on the filled weights, and
# {numref}`fig-gaussian-obfuscation-surface` has it over both $x$ and $s$, the paper's Fig. 7.


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-gaussian-obfuscation-p", "caption": "Share of noise among all weights up to a size, for four sizes of noise. Lines: the formula. Dots: counted on the sixteen filled layers, each in units of its own sigma_U. Dashed: a blind guess."}, "image": {"alt": "Four curves over the size of a weight from 0 to 3. Those of small noise start high at the left and fall towards a dashed line at one tenth, that of noise like the weights lies on it, and that of larger noise below it. Dots follow the lines."}}
def units(weights, masks):
    """All sizes in units of sigma_U, and which of them are in the mask."""
    sizes = [
        (w.abs() / original_spread(w, masks[n])).flatten()
        for n, w in weights.items()
    ]
    return torch.cat(sizes), torch.cat([masks[n].flatten() for n in weights])


def original_spread(w, m):
    return w[~m].std(correction=0)


alpha = masks.fraction
widths = torch.linspace(0.02, 3, 30, dtype=torch.float64)
fig, ax = plt.subplots()
states = ("pruned", "obfuscated", "original", "control")
for sigma, state in zip(SIGMAS, states, strict=True):
    sizes, place = units(hidden[sigma], masks)
    curve = p(widths, alpha, sigma, 1.0)
    ax.plot(widths, curve, color=PALETTE[state], label=f"s = {sigma:g}")
    counted = [place[sizes <= x].float().mean() for x in widths[::3]]
    ax.plot(widths[::3], counted, "o", color=PALETTE[state], markersize=4)
ax.axhline(alpha, color="0.3", linestyle="--", linewidth=1)
ax.set(xlabel=r"x / $\sigma_U$", ylabel="share of noise", ylim=(0, 0.65))
ax.legend()
plt.show()

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-gaussian-obfuscation-surface", "caption": "p(w) over the size of a weight and of the noise, by the formula, for the candle's share of pruned weights. Contours at 0.2, 0.5 and 0.8; on the dashed line noise is as weights are."}, "image": {"alt": "A heat map with logarithmic axes. It is dark, up to nearly one, in the corner of small noise and small weights, and pale, about one tenth or less, above a horizontal dashed line where the noise is as large as the weights are."}}
across = torch.logspace(-2, 0.6, 60, dtype=torch.float64)
up = torch.logspace(-2, 0.6, 60, dtype=torch.float64)
surface = cr.modified_probability(across[None], alpha, up[:, None], 1.0)
fig, ax = plt.subplots(figsize=(5.2, 3.8))
shades = ax.pcolormesh(across, up, surface, cmap="Blues", vmin=0, vmax=1)
ax.contour(across, up, surface, [0.2, 0.5, 0.8], colors="black")
ax.axhline(1, color="0.3", linestyle="--", linewidth=1)
ax.set(xscale="log", yscale="log")
ax.set(xlabel=r"x / $\sigma_U$", ylabel=r"s = $\sigma_M$ / $\sigma_U$")
fig.colorbar(shades, label="share of noise")
plt.show()

# %% [markdown]
# ### How well can sizes tell?
#
# Precision is half of it: whoever takes few weights misses most of the mask. The other half is the share of the mask
# that is found. Over all thresholds the two together are told by the {term}`ROC curve`, and by one number, its
# {term}`AUC`: the chance that a filled weight is smaller than an untouched one. For two centred normal distributions it
# is
#
# $$
# \mathrm{AUC} = \Pr\bigl(|\varepsilon| < |w|\bigr) = \frac{2}{\pi} \arctan \frac{\sigma_U}{\sigma_M} .
# $$ (eq-gaussian-obfuscation-auc)
#
# $(\varepsilon / \sigma_M, w / \sigma_U)$ is a point with a uniformly distributed angle, and the condition cuts out
# four sectors of equal size. For one weight at a time, known spreads and normal weights no other test does better than
# the size does: the ratio of the two densities depends on nothing else.
#
# :::{admonition} Predict before you run
# $s = 0.25$. The attacker takes the smallest tenth of each row, about as many as were pruned. How much of the mask do
# they hold? And at which $s$ is nothing left to see?
# :::


# %% tags=["hide-input"]
def roc(sizes, place):
    """False alarms, share found, and the area below the curve."""
    inside = place[sizes.argsort()].double()
    found = inside.cumsum(0) / inside.sum()
    false = (1 - inside).cumsum(0) / (1 - inside).sum()
    return false, found, torch.trapezoid(found, false).item()


def roc_figure(original, masks, s):
    """Left, the sizes; right, what they tell."""
    filled = cr.obfuscate(original, masks, sigma=s, seed=RANDOM_SEED)
    sizes, place = units(filled, masks)
    false, found, area = roc(sizes, place)
    fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.9))
    how = {"histtype": "stepfilled", "linewidth": 0, "stacked": True}
    colours = [PALETTE["retained"], PALETTE["obfuscated"]]
    parts = [sizes[~place].numpy(), sizes[place].numpy()]
    bins, labels = np.linspace(0, 3, 91), ["untouched", "noise"]
    axes[0].hist(parts, bins, color=colours, label=labels, **how)
    axes[0].set(xlabel=r"size / $\sigma_U$", yticks=[], ylim=(0, 60000))
    axes[0].legend()
    some = slice(None, None, max(1, len(found) // 400))
    axes[1].plot(false[some], found[some], color=PALETTE["obfuscated"])
    axes[1].plot((0, 1), (0, 1), color="0.3", linestyle="--", linewidth=1)
    told = f"AUC {area:.2f}, formula {2 / pi * atan(1 / s):.2f}"
    axes[1].set(xlabel="false alarms", ylabel="mask found", title=told)
    axes[0].set_title(f"s = {s:g}")
    return fig


# %% mystnb={"figure": {"name": "fig-gaussian-obfuscation-roc", "caption": "Left, the sizes of all weights in sixteen layers, untouched and noise, stacked. Right, the ROC curve of somebody who calls small weights noise; dashed, a coin. Move the slider."}}
explore(
    partial(roc_figure, original, masks),
    "Left a histogram of sizes in two colours, right the ROC curve: with small "
    "noise a spike near zero and a curve in the upper left corner, with more "
    "noise a flat heap and a curve near the diagonal",
    values={"s": [0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0]},
    live={
        "s": [0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2]
    },
)


# %%
def share_found(guess, masks):
    hits = sum(int((guess[n] & m).sum()) for n, m in masks.items())
    return hits / masks.count


rows = {}
for s in SIGMAS:
    sizes, place = units(hidden[s], masks)
    rows[s] = {
        "AUC": roc(sizes, place)[2],
        "formula": 2 / pi * atan(1 / s),
        "found per row": share_found(guesses[s], masks),
        "over all layers": share_found(
            guess_everywhere(hidden[s], alpha), masks
        ),
        "blind": alpha,
    }
pd.DataFrame(rows).T.rename_axis("s").round(2)

# %% [markdown]
# The formula holds to about a hundredth in {numref}`fig-gaussian-obfuscation-roc`: the sixteen layers' survivors are
# near enough to normal. With
# $s = 0.25$ a third of the mask is in the guess, three times what a blind one would hold. At $s = 1$ sizes say nothing;
# beyond it the noise is found again, among the *largest* weights. And guessing row by row or over all layers makes no
# difference here.
#
# All this is about one weight at a time. Pruning chose whole columns, and whoever looks at many weights together sees
# more; that attacker needs a chapter of their own.
#
# ## Why the attack fails at guessed places
#
# It fails by more than what it misses. The attacker marks as many places as were pruned; whatever share $h$ of them is
# right, $1 - h$ of them hold weights that were never touched. {term}`Neuron max` then writes the largest size of the
# row into places where the smallest weights had been.


# %%
def effect(original, weights, masks):
    """Over the layers: how much of the pruned is back, how much is new."""
    dose, harm = [], []
    for n, m in masks.items():
        w, now = original[n], weights[n]
        dose.append((w[m] @ now[m] / (w[m] @ w[m])).item())
        added = (now - w)[~m].square().sum() / w[m].square().sum()
        harm.append(added.item())
    return np.mean(dose), np.mean(harm)


read = cr.revive(pruned, masks)
rows = {"0 (zeros), read off": effect(original, read, masks)}
for s in SIGMAS:
    attacked = cr.revive(hidden[s], guesses[s])
    rows[f"{s:g} σ_U, guessed"] = effect(original, attacked, masks)
heads = ["dose of the pruned weights", "energy written elsewhere"]
pd.DataFrame.from_dict(rows, orient="index", columns=heads).round(2)

# %% [markdown]
# The *dose* is how much of the pruned weights is back, measured along their own direction; the second column is the
# energy of what was changed outside of the mask, in units of what pruning removed. With the map nothing is harmed.
# Without it even faint noise halves the dose, and about as much is written into weights that were fine as pruning took
# away. So the attacked model has two wounds.
#
# An attacker could mark fewer places, or write smaller sizes. This one uses the attack as it was published.
#
# ## The probe: an attacker who knows the places
#
# Suppose the map has leaked: a first release with zeros is still in somebody's cache, or the noise was drawn from a
# seed that can be tried. What does the noise do then?

# %%
truth = {n: m.clone() for n, m in masks.items()}
reference = cr.revive(pruned, truth)
for s in SIGMAS:
    known = cr.revive(hidden[s], truth)
    assert all(torch.equal(known[n], reference[n]) for n in truth)
print("whatever the noise, the attack gives the same weights, bit by bit")

name, weight = next(iter(hidden[0.25].items()))
for seed in (RANDOM_SEED + 2, RANDOM_SEED + 1, RANDOM_SEED):
    found = redrawn_positions({name: weight}, seed)[name]
    right = (found & masks[name]).sum() / masks[name].sum()
    print(f"seed {seed}: {int(found.sum()):>6} places, {right:.1%} of the mask")

# %% [markdown]
# A {term}`matrix completion` starts from what is *not* in the mask and never reads what is. The noise destroyed
# nothing: zeros had already removed the weights, and what makes them guessable is in the survivors. **Obfuscation hides
# a map. It does not protect from somebody who has one**, and a seed in a script or a model card is one. `cr.obfuscate`
# without a seed draws from the operating system's entropy.
#
# ## What noise costs
#
# A layer's output changes by what is missing and by what was added. Noise is independent of both, so squared changes
# add up. If
# $r$ is the root mean square of the pruned weights in units of $\sigma_U$, the change by pruning grows by a factor of
# about
#
# $$
# \frac{\text{change by noise of } s}{\text{change by zeros}} = 1 + \frac{s^2}{r^2} .
# $$ (eq-gaussian-obfuscation-price)

# %%
r = {
    n: (original[n][m].square().mean().sqrt() / original_spread(w, m)).item()
    for (n, w), m in zip(original.items(), masks.values(), strict=True)
}
rows = {}
for s in SIGMAS:
    grown = []
    for n, m in masks.items():
        was, now = original[n][m], hidden[s][n][m]
        grown.append((now - was).square().sum() / was.square().sum())
    formula = np.mean([1 + (s / each) ** 2 for each in r.values()])
    rows[s] = (formula, torch.stack(grown).mean().item())
print(f"r: {np.mean(list(r.values())):.2f}, over the layers", end=" ")
print(f"{min(r.values()):.2f} to {max(r.values()):.2f}")
heads = ["formula", "measured on the weights"]

spreads = [original_spread(w, masks[n]).item() for n, w in original.items()]
print(f"σ_U over the layers: {min(spreads):.4f} to {max(spreads):.4f}")
ratios = [0.01 / each for each in spreads]
print(f"0.01 is s = {min(ratios):.2f} to {max(ratios):.2f}")
pd.DataFrame.from_dict(rows, orient="index", columns=heads).round(2)

# %% [markdown]
# Pruning takes large weights, $r$ is nearly 2, and so noise of a quarter of $\sigma_U$ adds next to nothing to what the
# zeros had done. At $s = 1$ it adds a third. Only beyond $r$ does the noise disturb more than pruning itself, and at
# $s = 8$ twenty times as much. How much of that a picture stands is another question, which no formula here answers: in
# {numref}`fig-gaussian-obfuscation-live` other things stood the third, and not the twenty.
#
# ### One size for all layers?
#
# The paper gives $\sigma_M$ as a number, such as 0.01. By {eq}`eq-gaussian-obfuscation-auc` only the ratio to
# $\sigma_U$ counts, which differs from layer to layer and from model to model.
#
# Our layers are much alike, so here it hardly matters, and 0.01 comes near the package's default, a quarter of each
# layer's own $\sigma_U$. In a model whose layers differ more, one number hides some layers and marks others, and a mask
# is read off where it is plainest.
#
# ## Twelve objects
#
# Eight pictures of one {term}`concept` were a look. The repository measures the same for the paper's twelve objects: every
# size, both guesses, the attacker who knows, and the verdict of [the audit](15_audit.ipynb), told to test every layer.
# Differences are paired, picture by picture. Other things are judged twice: by whether they are still recognised, and by
# their {term}`FID` {cite}`heusel2017fid`, the distance of all their pictures together from the original's under another seed. Of so few
# pictures only differences of FID mean something.


# %% tags=["hide-input"]
def rows_of(study):
    """Weights as published, and the same attacked at guessed places."""
    names = [e.recipe for e in study.entries if e.recipe[:3] == "σ_M"]
    sizes = [n for n in dict.fromkeys(names) if "," not in n]
    return {s: f"{s}, revived per row" for s in sizes}


# %% tags=["hide-input"]
def shares(study):
    """Means over the concepts, a row for each size."""
    rows, found = {"pruned": "revived, positions known"}, {}
    for given, attacked in (rows | rows_of(study)).items():
        mine = study.pooled[given].rates
        cells = [x for x in study.entries if x.recipe == given]
        said = Counter(" and ".join(x.numbers["verdict"]) for x in cells)
        verdict, count = said.most_common(1)[0]
        found[given] = {
            "concept": round(mine["erased"], 2),
            "others": round(mine["retained"], 2),
            "FID": round(study.summary["rows"][given]["fid"], 1),
            "attacked": round(study.pooled[attacked].rates["erased"], 2),
            "what the audit says most": f"{verdict} ({count} of {len(cells)})",
        }
    return pd.DataFrame(found).T


study = measured("defence")
table = None if study is None else shares(study)
table


# %% tags=["hide-cell"]
def told(study, sizes):
    """Paired differences for every size of the noise, in words."""
    known = "revived, positions known"
    for what, after, before, kind in (
        ("concept − with zeros", "", "pruned", "erased"),
        ("others − with zeros", "", "pruned", "retained"),
        ("attacked per row − left alone", ", revived per row", "", "erased"),
        ("attacked per row − known", ", revived per row", known, "erased"),
        (
            "over all layers − known",
            ", revived over all layers",
            known,
            "erased",
        ),
    ):
        print(what)
        for size in sizes:
            one = pictures(size + after, before or size, kind)(study)
            low, high = one.interval
            word = (
                "more" if low > 0 else "fewer" if high < 0 else "not told apart"
            )
            print(f"  {size:<12} {one.difference:+.2f}", end=" ")
            print(f"[{low:+.2f}, {high:+.2f}]  {word}")


if study is not None:
    told(study, rows_of(study))


# %% tags=["hide-cell"]
def told_distances(study, sizes):
    """How far pictures of others have moved, beside zeros, in words."""
    print("FID of others − with zeros")
    for size in sizes:
        gap = study.summary["rows"][size]["fid_minus_pruned"]
        low, high = gap["interval"]
        word = (
            "further" if low > 0 else "nearer" if high < 0 else "not told apart"
        )
        print(f"  {size:<12} {gap['value']:+.1f}", end=" ")
        print(f"[{low:+.1f}, {high:+.1f}]  {word}")


if study is not None:
    told_distances(study, rows_of(study))

# %% [markdown]
# How to read the lines that the two cells above fold away. *Concept − with zeros* says whether noise forgets as well as zeros do. *Others* is the price. *Left
# alone*: whether the attack gained anything. *Known*: what hiding the places was worth against this attacker, beside
# one who has the map. The intervals are those of the pictures of these objects; they say nothing about others.
# *What the audit says*: its test for noise sees faint noise only, as a slider in [its chapter](15_audit.ipynb) shows. That
# it finds no evidence is no proof that nobody could.
#
# For Stable Diffusion the paper reports a trade: small noise is easy to spot, large noise costs quality and forgetting;
# a size of 0.01 resisted its attack best. Whether that is so here stands in the lines above. Where an interval holds 0,
# this many pictures leave it open.

# %% [markdown]
# ## Summary
#
# - Noise in place of zeros leaves no map to read off. What is left to see follows from $\sigma_M / \sigma_U$: the odds
#   of the smallest weights rise by at most its inverse, and the AUC is $\frac{2}{\pi} \arctan(\sigma_U / \sigma_M)$.
# - At guessed places the attack finds less, and harms what was never pruned.
# - Where the places are known the noise changes nothing, bit by bit. A seed is a place to know them from.
# - Noise much smaller than the pruned weights adds little to the disturbance that pruning made; as large as they are,
#   it doubles it. Far larger noise destroys the model.
#
# Hiding is not healing: what was pruned is still written in the survivors.

# %% [markdown]
# ## What could be wrong
#
# - **The attacker looks at sizes, one weight at a time.** A failed attack by somebody naive says nothing about somebody
#   who is not.
# - **They are told how many weights were pruned in each layer.** Less is known in practice; so far this errs on the
#   attacker's side.
# - **They attack as published.** Neuron max at wrong places does harm; smaller sizes would do less.
# - **Eight pictures of one concept and one draw of the noise** for everything live. Read the intervals.
# - **Digits give noise away too.** The {term}`pocket model`'s weights are float16's values, held in float32. Noise with all of
#   float32's digits would have some that no survivor has, whatever its size; so `fill` rounds it, and so does
#   `cr.obfuscate`. Weights that were rounded to a few levels, as quantisation does, lie on a coarser grid, and noise
#   beside them stands out.
# - **The formula needs normal weights.** Here they are nearly so. Weights with heavy tails or rows of unlike spread
#   hide noise differently.
# - **A quarter is no recommendation for other models.** Whether it can be found depends on the ratio; what it costs
#   depends on the model.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: quiet enough (●○○, 10 minutes)
#
# A publisher accepts an AUC of at most `most`, between ½ and 1, for somebody who looks at sizes. Which is the smallest
# $\sigma_M / \sigma_U$? Write a function of `most`.
#
# :::{admonition} Hint
# :class: dropdown
# Solve {eq}`eq-gaussian-obfuscation-auc` for the ratio. `math.tan` takes radians.
# :::

# %%
quiet_enough = ...
check("gaussian_obfuscation.1", quiet_enough)


# %% tags=["solution", "hide-cell"]
def quiet_enough(most):
    return 1 / np.tan(pi * most / 2)


print(f"AUC 0.6 at most: s = {quiet_enough(0.6):.2f} at least")
check("gaussian_obfuscation.1", quiet_enough)

# %% [markdown]
# ### Exercise 2: never surer than that (●●○, 10 minutes)
#
# Now they want no weight to be noise with a probability above `most`, however small it is. Write a function of `alpha`
# and `most` that returns the smallest $\sigma_M / \sigma_U \le 1$; `None` where even 1 is not enough. Which one do 10 %
# and ½ need, and what is the AUC there?
#
# :::{admonition} Hint
# :class: dropdown
# The probability is highest at 0: {eq}`eq-gaussian-obfuscation-odds`. At $s = 1$ it is $\alpha$.
# :::

# %%
never_surer = ...
check("gaussian_obfuscation.2", never_surer)


# %% tags=["solution", "hide-cell"]
def never_surer(alpha, most):
    ratio = alpha / (1 - alpha) * (1 - most) / most
    return ratio if ratio <= 1 else None


ratio = never_surer(0.1, 0.5)
print(f"s = {ratio:.2f}, AUC {2 / pi * atan(1 / ratio):.2f}")
check("gaussian_obfuscation.2", never_surer)

# %% [markdown]
# ### Exercise 3: twice the disturbance (●●○, 10 minutes)
#
# At which $\sigma_M$, in units of a layer's $\sigma_U$, does noise double the change that pruning made? Write
# `doubling(w, m)`, from the layer's original weights and its mask.
#
# :::{admonition} Hint
# :class: dropdown
# {eq}`eq-gaussian-obfuscation-price` is 2 at $s = r$. $\sigma_U$ is the standard deviation of the survivors.
# :::

# %%
doubling = ...
check("gaussian_obfuscation.3", doubling)


# %% tags=["solution", "hide-cell"]
def doubling(w, m):
    return (w[m].square().mean().sqrt() / w[~m].std(correction=0)).item()


check("gaussian_obfuscation.3", doubling)

# %% [markdown]
# ### Exercise 4: the seed in the script (●●●, 10 minutes)
#
# A publisher filled one layer by `cr.obfuscate({"layer": w}, …, seed=…)` with a seed below 20. Write `find_seed(w)`,
# which returns it from the published matrix alone.
#
# :::{admonition} Hint
# :class: dropdown
# `redrawn_positions({"layer": w}, seed)["layer"]` is true where the weight is that seed's noise times one number. With
# a wrong seed that happens rarely.
# :::

# %%
find_seed = ...
check("gaussian_obfuscation.4", find_seed)


# %% tags=["solution", "hide-cell"]
def find_seed(w):
    def hits(seed):
        return int(redrawn_positions({"layer": w}, seed)["layer"].sum())

    return max(range(20), key=hits)


check("gaussian_obfuscation.4", find_seed)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
