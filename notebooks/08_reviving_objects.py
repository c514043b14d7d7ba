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
# # Reviving objects
#
# Twelve objects are pruned from a model, one at a time. One attack brings back nothing, another about a quarter of the
# pictures. Does the first say that pruning is safe? And which of the thirty variants of the second is best?
#
# - **You will be able to** tell a test that failed from one that could not succeed, read the paper's main table with its
#   intervals, and compare many variants without fooling yourself.
# - **Prerequisites:** [signs or magnitudes](05_signs_or_magnitudes.ipynb) and
#   [Top-K and neuron max](07_topk_neuron_max.ipynb), for what the attack does and why.
# - **Time:** 20 minutes to read, 2 minutes to run, 35 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import conceptrevive as cr
from conceptrevive.evaluation.outcomes import evaluate_images, judge_concept
from conceptrevive.experiments.reproduction.contrasts import (
    over_concepts,
    pictures,
)
from conceptrevive.figures import PALETTE
from conceptrevive.revival.quantisation import quantise
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import explore, tiled
from conceptrevive.teaching.plots import show_differences, use_theme
from conceptrevive.teaching.published import (
    measured,
    provenance_line,
    published_json,
)
from conceptrevive.teaching.versions import versions

use_theme()
RANDOM_SEED = 0
N = 8  # pictures for each set of weights

# %%
pipe = cr.load_pipeline("pocket")
star = cr.get_concept("star")
original = cr.read_weights(pipe)
masks = cr.locate(pipe, star, seed=RANDOM_SEED)
pruned = cr.prune(original, masks)
completions = cr.complete(pruned, masks)
revived = cr.revive(pruned, masks)

# %% [markdown]
# ## Apparent success: an attack fails
#
# Somebody has pruned stars from the {term}`pocket model` and wants to know whether they are gone for good. They try an
# attack that the paper {cite}`zhang2026roots` has as its baseline, {term}`Quant Recover`: round every weight to $b$ bits and
# back. Each row $i$ has its own step $s_i$,
#
# $$
# Q(W_{ij}) = s_i \cdot \operatorname{clip}\!\left(\operatorname{round}\frac{W_{ij}}{s_i},\,-2^{b-1},\, 2^{b-1} - 1\right),
# \qquad s_i = \frac{\max_j |W_{ij}|}{2^{b-1} - 1} .
# $$ (eq-reviving-objects-round)
#
# The thought is that rounding errors could put something where the zeros are. Each model may be tried at several $b$.


# %% tags=["bare"]
def round_barely(w, bits):
    """The equation above, for one matrix."""
    top = 2 ** (bits - 1) - 1
    step = w.abs().amax(1, keepdim=True) / top
    return (w / step).round().clamp(-top - 1, top) * step


# %% tags=["agrees"]
for bits in (2, 3, 4, 8):
    for name, theirs in quantise(pruned, bits).items():
        ours = round_barely(pruned[name], bits)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
        assert theirs[masks[name]].abs().max() == 0
print("the package rounds alike, and every pruned entry is still zero")

# %% [markdown]
# :::{admonition} Predict before you run
# Rounding to 8, 4, 3 and 2 bits: at which does a star come back? And how would the *original* do at 2 bits, where nine in
# ten of these weights become zero?
# :::


# %%
def drawn(pipe, concept, weights):
    """The evaluation's pictures, and in which the judge sees the concept."""
    with cr.swapped(pipe, weights):
        sheet = evaluate_images(pipe, concept, n=N, seed=RANDOM_SEED)
    return sheet, judge_concept(concept, sheet)


BITS = (8, 4, 3, 2)
sheets, seen = {}, {}
sets = {"original": original, "pruned": pruned}
sets |= {f"pruned, {b} bits": quantise(pruned, b) for b in BITS}
sets["original, 2 bits"] = quantise(original, 2)
for way, weights in sets.items():
    sheets[way], seen[way] = drawn(pipe, star, weights)
    print(f"{way:<17} {cr.Rate.of(seen[way])}")


# %% mystnb={"figure": {"name": "fig-reviving-objects-bits", "caption": "Eight prompts for a star from the same noise, the model pruned and then rounded to fewer and fewer bits. Move the slider; under a kernel it draws other bits anew."}}
def rounded_sheet(bits, ready=sheets, pipe=pipe, concept=star, pruned=pruned):
    """A sheet of pictures, drawn once and kept in `ready`."""
    way = f"pruned, {bits} bits"
    if way not in ready:
        ready[way], _ = drawn(pipe, concept, quantise(pruned, bits))
    return tiled(ready[way], columns=4, scale=2)


explore(
    rounded_sheet,
    "Eight small pictures that should show a star each",
    values={"bits": BITS},
    live={"bits": range(8, 1, -1)},
)

# %% [markdown]
# No star at any number of bits ({numref}`fig-reviving-objects-bits`). An attack was made, four times, and the erasure held.
#
# ## The probe: could it have worked?
#
# Ask of every test what it would have shown had the answer been the other one. Put $W_{ij} = 0$ into
# {eq}`eq-reviving-objects-round`: $Q(0) = s_i \cdot \operatorname{clip}(\operatorname{round} 0) = 0$, whatever the bits and
# whatever the step. Zero is a level of every symmetric grid. The attack moves the survivors and cannot touch a single pruned
# entry, so it fails on every pruned model, safe or not. Its failure says nothing.
#
# Is rounding too rough, perhaps, and kills the star that it brings back? The {term}`control` says no: the original draws
# all eight stars at 2 bits. Nine in ten of these weights can go, if they are the small ones; one in ten is enough to
# erase these stars, if they are the {term}`skilled <skilled neuron>` ones. To them rounding is harmless, and useless. (Not to
# every object: the tables below say what 2 bits cost the others.)
#
# What would a grid do that has no zero? Shift the levels by half a step, to $\pm\tfrac12 s_i, \pm\tfrac32 s_i, \dots$, and
# every pruned entry becomes $+\tfrac12 s_i$ or $-\tfrac12 s_i$. At 2 bits that is a third of its row's largest weight.
#
# :::{admonition} Predict before you run
# Now all pruned entries move: to a side that a coin chooses, or, with the help of an {term}`oracle`, to the one from which
# they came. With which of the two does a star come back?
# :::


# %%
def without_zero(w, bits, side):
    """Levels at odd multiples of half a step; a zero goes to its side."""
    step = w.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 0.5)
    up = torch.where(w == 0, side, w.sign())
    return up * ((w.abs() / step).floor() + 0.5) * step


rng = torch.Generator().manual_seed(RANDOM_SEED)
sides = {"true signs": {n: w.sign() for n, w in original.items()}}
sides["a coin"] = {
    n: torch.randint(0, 2, w.shape, generator=rng) * 2.0 - 1
    for n, w in original.items()
}
for way, side in sides.items():
    sets[way] = {n: without_zero(w, 2, side[n]) for n, w in pruned.items()}
sets["revived"] = revived
print("no zero, 2 bits, the sides by: a coin; true signs")
for way in ("pruned, 2 bits", "a coin", "true signs", "revived"):
    if way not in seen:
        sheets[way], seen[way] = drawn(pipe, star, sets[way])
    pairs = [(original[n][m], sets[way][n][m]) for n, m in masks.items()]
    w, guess = (torch.cat(each) for each in zip(*pairs, strict=True))
    moved = guess != 0
    right = (w.sign() == guess.sign()).sum() / moved.sum().clamp_min(1)
    print(f"{way:<15} moved {moved.float().mean():4.0%}", end=", ")
    print(f"signs right {right:4.0%}, {cr.Rate.of(seen[way])}")

# %% [markdown]
# Moving the zeros is not enough: with the signs of a coin, half of them right, none of the eight stars comes back. It is not
# for want of size. The same sizes with the true signs bring back all eight, as
# [an earlier chapter](05_signs_or_magnitudes.ipynb) would have it. The attack of the paper has no oracle: it takes the
# {term}`top-k` completed signs, eight in ten of them right, at {term}`neuron max`. But eight pictures are a look, and these
# eight are lucky: with fifty of the same kind the star's share is about a half.
#
# ## Twelve objects
#
# The repository prunes each of twelve stand-ins for the paper's ImageNet classes. Erased {term}`top-1` of each, from 50
# prompts with {term}`paired seeds`:
#
# :::{admonition} Predict before you run
# Over all objects neuron max brings back 0.27 more than pruning leaves. Will every object come back?
# :::

# %%
told = published_json("pocket/phenomenon")
print(provenance_line(told))
OBJECTS = list(told["concepts"])[: told["objects"]["concepts"]]
WAYS = ["original", "pruned", "random_signs", "neuron_average", "revived"]
each = pd.DataFrame({name: told["concepts"][name] for name in OBJECTS}).T
rates = each[WAYS].astype(float)
rates.loc["mean"] = rates.mean()
rates.round(2)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-reviving-objects-each", "caption": "Erased top-1 with neuron max (K = 0.6) minus the pruned model's, object by object, paired by prompt and noise, with 95 % intervals of fifty pictures each."}, "image": {"alt": "Twelve rows with a dot and an interval each, from 0.04 for golf to 0.50 for horn. The intervals of golf, gas pump and spider web reach zero; the other nine lie to its right."}}
gains = {
    name: (value, tuple(interval))
    for name, (value, interval) in each["revived_minus_pruned"].items()
}
_ = show_differences(gains, label="revived minus pruned")
plt.show()
clear = [name for name, (_, (low, _)) in gains.items() if low > 0]
value, (low, high) = told["objects"]["revived_minus_pruned"]
print(f"above zero: {len(clear)} of {len(gains)}")
print(f"mean {value:.2f}; pictures as draws  [{low:.2f}, {high:.2f}]")
found = over_concepts([(gain, 0.0) for gain, _ in gains.values()])
low, high = found.interval
print(f"           objects as draws   [{low:.2f}, {high:.2f}]")

# %% [markdown]
# The mean hides a spread. In {numref}`fig-reviving-objects-each` nine objects come back in part, three cannot be told from
# the pruned model, and each is drawn less often than by the original. So there are two intervals for the mean. If the
# *pictures* are the draws, it speaks of these twelve objects; if the *objects* are, of objects like them, and it is more
# than twice as wide. Whoever asks "what about mine?" needs the wide one.
#
# Is it that some objects' signs are guessed worse?

# %%
signs = each["sign_accuracy_topk"].astype(float)
print(f"signs right among those kept: {signs.min():.3f} to {signs.max():.3f}")
late = pd.DataFrame({"signs right": signs})
late["exact signs, drawn"] = each["exact_signs"].astype(float)
late["left by pruning"] = rates["pruned"]
print("rank correlation with the revived model's top-1, 12 objects")
late.corrwith(rates["revived"], method="spearman").round(2)

# %% [markdown]
# Hardly: the share is nearly the same for all. With twelve objects a rank correlation has to reach about 0.59 to be told
# from zero. The first does not, and what pruning had left just falls short. The second is the oracle that knows every kept
# sign: where even exact signs draw an object less often, guessed ones do too. So the difference seems to lie less in the
# guessing than in how much an object suffers from the zeros and sizes that stay wrong.
#
# ## All rules, all K
#
# The experiment `objects` has every row of the paper's Tables 1, 3 and 8–10: rounding to 2, 3, 4 and 8 bits; {term}`neuron <neuron max>`
# *sample*, *average* and *max* at ten $K$ each; and the completed values as they are. That is 37 rows for each of twelve
# objects, hours on a laptop. The cells below show Table 1, then which rows can be told apart, then $K$ against the rule.
# Where the result is not at hand, the first says by which command it is made, and the others stay empty. *Retained* are
# pictures of other objects, all of them over the twelve: a {term}`revival` that ruined them would be no revival.

# %% tags=["hide-input"]
study = measured("objects")
ROWS = ["original", "pruned", *(f"quantised {b} bits" for b in BITS[::-1])]
ROWS += ["completed"]
ROWS += [f"neuron {rule} 0.6" for rule in ("sample", "average", "max")]


def beside(study, row, kind):
    """The mean of a row, and its paired difference from pruning."""
    if row == "pruned":
        return [study.pooled[row].rates[kind], ""]
    gap = pictures(row, "pruned", kind)(study)
    low, high = gap.interval
    return [gap.after, f"{gap.difference:+.2f} [{low:+.2f}, {high:+.2f}]"]


def first_table(study, rows):
    heads = ["erased", "minus pruned", "retained", "minus pruned "]
    cells = {
        r: beside(study, r, "erased") + beside(study, r, "retained")
        for r in rows
    }
    return pd.DataFrame.from_dict(cells, orient="index", columns=heads).round(2)


first_table(study, ROWS) if study else None


# %% tags=["hide-input"]
def compared(study, pairs, kind="erased"):
    """A line for each pair: which of the two has more, if that can be told."""
    for one, other in pairs:
        gap = pictures(one, other, kind)(study)
        low, high = gap.interval
        verb = "has more than" if low > 0 else "has less than"
        verb = verb if low > 0 or high < 0 else "is not told apart from"
        print(f"{one} {verb} {other}:")
        print(f"    {gap.difference:+.2f} [{low:+.2f}, {high:+.2f}]", end=", ")
        print(f"{gap.up} objects up, {gap.down} down")


MAX, AVERAGE, SAMPLE = (f"neuron {r} 0.6" for r in ("max", "average", "sample"))
if study:
    print("ERASED")
    pairs = [(MAX, AVERAGE), (MAX, SAMPLE), (AVERAGE, SAMPLE)]
    pairs += [("quantised 4 bits", "pruned"), ("completed", "pruned")]
    compared(study, [*pairs, (MAX, "original")])
    print("RETAINED")
    pairs = [("pruned", "original"), (MAX, "original"), (MAX, "pruned")]
    compared(study, [*pairs, ("quantised 2 bits", "original")], "retained")

# %% tags=["hide-input"]
TENTHS = [k / 10 for k in range(1, 11)]


def gains_by_k(study, kind="erased"):
    """A row for every K, a column for every rule."""
    cells = {}
    for rule in ("sample", "average", "max"):
        column = {}
        for k in TENTHS:
            row = f"neuron {rule} {k:g}"
            if row in study.pooled:
                value, (low, high) = study.pooled[row].minus_pruned[kind]
                column[k] = f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
        cells[rule] = column
    return pd.DataFrame(cells).rename_axis("K")


gains_by_k(study) if study else None

# %% [markdown]
# ## Which one wins?
#
# It is tempting to take the largest of the thirty and call it the best, with its interval. Suppose instead that all were
# equally good. Each measured rate is the truth plus an error, and the largest is the one with the luckiest error:
#
# $$
# \mathbb{E} \max_{i \le m} \hat p_i \;\ge\; \max_{i \le m} \mathbb{E}\, \hat p_i = p .
# $$ (eq-reviving-objects-winner)
#
# By how much? A simulation in which the truth is known ({numref}`fig-reviving-objects-winner`): all thirty variants show
# the object in 40 % of the pictures. Once the best is chosen over twelve objects with 16 pictures each, as in the table;
# once every object chooses its own best of ten $K$ on its own 16 pictures.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-reviving-objects-winner", "caption": "How much better the best-looking variant looks than it is, if all are equally good: 2000 simulated tables. Dashed lines: the means."}, "image": {"alt": "Two histograms right of zero: a narrow one around 0.07 for the best of thirty over twelve objects, a wide one around 0.19 for each object's best of ten."}}
rng = np.random.default_rng(RANDOM_SEED)
TRUTH, PICTURES = 0.4, 16
over_all = rng.binomial(12 * PICTURES, TRUTH, (2000, 30)) / (12 * PICTURES)
per_object = rng.binomial(PICTURES, TRUTH, (2000, 10)) / PICTURES
kinds = {"best of 30, 12 objects": (over_all, "original", 1 / 64)}
kinds["one object's best of 10"] = (per_object, "pruned", 1 / 16)
fig, ax = plt.subplots()
for kind, (tables, state, step) in kinds.items():
    luck = tables.max(1) - TRUTH
    how = {"density": True, "alpha": 0.6, "color": PALETTE[state]}
    ax.hist(luck, np.arange(-step, 0.6, step), label=kind, **how)
    ax.axvline(luck.mean(), color=PALETTE[state], linestyle="--")
    print(f"{kind}: looks {luck.mean():.2f} better than it is")
ax.set(xlabel="looks better by", yticks=[])
ax.legend()
plt.show()

# %% [markdown]
# The variants of the real table share prompts and noise, so their errors are alike and the luck is less; how much less
# the table itself can say. *Choose on some, test on others*: for each object, take the variant that is best on the other
# eleven, and look at the one left out. Nothing was chosen on it. For single objects choose on every other
# picture, and test on the rest.


# %% tags=["hide-input"]
def outcomes(study, rows):
    """Variants × objects × pictures, 1 where the object is seen."""
    names = list(dict.fromkeys(e.concept for e in study.entries))
    told = {(e.concept, e.recipe): e.outcomes["erased"] for e in study.entries}
    digits = [[[int(d) for d in told[n, r]] for n in names] for r in rows]
    return np.array(digits)


def left_out(table):
    """Each object under the variant that is best on all others."""
    objects = range(table.shape[1])
    best = [np.delete(table, o, 1).mean((1, 2)).argmax() for o in objects]
    return np.array([table[b, o] for o, b in enumerate(best)]), best


def halves(table):
    """Each object's best on half of its pictures: there, and on the rest."""
    parts = [(slice(i, None, 2), slice(1 - i, None, 2)) for i in (0, 1)]
    chosen, tested = [], []
    for o in range(table.shape[1]):
        for mine, rest in parts:
            best = table[:, o, mine].mean(1).argmax()
            chosen.append(table[best, o, mine].mean())
            tested.append(table[best, o, rest].mean())
    return np.mean(chosen), np.mean(tested)


# %% tags=["hide-input"]
if study:
    every = [row for row in study.pooled if row.startswith("neuron ")]
    table, papers = outcomes(study, every), every.index(MAX)
    means = table.mean((1, 2))
    fair, best = left_out(table)
    print(f"looks best:      {every[means.argmax()]}, {means.max():.3f}")
    print(f"chosen fairly:   {fair.mean():.3f}", end=", with ")
    print(*sorted({every[b] for b in best}), sep=", ")
    print(f"paper's choice:  {every[papers]}, {means[papers]:.3f}")
    gap = cr.paired_difference(fair.ravel() == 1, table[papers].ravel() == 1)
    low, high = gap[1]
    print(f"the difference:  {gap[0]:+.3f} [{low:+.3f}, {high:+.3f}]")
    own, later = halves(table[[r.startswith("neuron max") for r in every]])
    print(f"each object's own K: {own:.2f} where it was chosen", end=", ")
    print(f"{later:.2f} on its other pictures")

# %% [markdown]
# Read such lines in this order. Is *chosen fairly* above the paper's choice, with an interval clear of zero? If not, the
# table has no better variant that one could have known in advance. And what an object's own $K$ gains where it was chosen,
# and loses on other pictures of the very same object, is luck.
#
# ## Beside the paper
#
# Its Table 1 has 500 pictures a class from Stable Diffusion 1.5, a {term}`judge` with a thousand classes, and no intervals.

# %%
PAPER = {
    "original": (0.93, 0.93),
    "pruned": (0.08, 0.80),
    "quantised 4 bits": (0.12, 0.79),
    SAMPLE: (0.16, 0.83),
    AVERAGE: (0.16, 0.84),
    MAX: (0.54, 0.91),
}
heads = ["paper, erased", "paper, retained"]
ours = pd.DataFrame.from_dict(PAPER, orient="index", columns=heads)
if study:
    means = {row: study.pooled[row].rates for row in PAPER}
else:
    known = {"original": "original", "pruned": "pruned"}
    known |= {AVERAGE: "neuron_average", MAX: "revived"}
    share = told["objects"]
    means = {
        r: {"erased": share[k], "retained": share.get(f"retained_{k}")}
        for r, k in known.items()
    }
low, high = told["objects"]["retained_revived_minus_pruned"][1]
print(f"others' top-1, revived minus pruned: [{low:+.2f}, {high:+.2f}]")
ours.join(pd.DataFrame(means).T).round(2)

# %% [markdown]
# Two things agree: rounding does nothing that could be called a revival, and neuron max is well ahead of the row's average. (At
# 2 bits rounding does harm: the others lose 0.15 [0.07, 0.21] against the original, and of the erased objects even less is
# left than by pruning.) Two differ. The paper's neuron max brings back more of what was lost. And its pruning costs the
# *preserved* classes a good part of their accuracy, most of which the attack restores; here pruning costs the others
# hardly anything, so there is little to restore. The pocket model has a hundredth of the weights, its objects are drawings, and a
# larger share of each row is pruned.

# %% [markdown]
# ## Summary
#
# - Rounding cannot move an exact zero. That it revives nothing was certain beforehand, and says nothing about any model.
# - A grid without zero moves every pruned entry. On eight stars it revives none with the signs of a coin, all with the true
#   ones.
# - The attack brings back 0.27 of the pictures over twelve objects, between 0.04 and 0.50 object by object. Nine of twelve
#   are told from zero.
# - Signs are guessed nearly equally well for all of them. What an object makes of signs differs.
# - The best of thirty variants looks better than it is. Choose on some objects, test on others. Here that choice, too,
#   falls on the paper's: neuron max at $K = 0.6$.

# %% [markdown]
# ## What could be wrong
#
# - **Twelve stand-ins.** They were chosen because artwork resembles the paper's classes, not at random from anything.
# - **A judge with few classes.** Ruined pictures are often called a spider web ([model card](../book/model-card.md)), so
#   that object's rates flatter bad weights.
# - **Sixteen pictures a cell** in the table of all variants. Intervals of a single object are wide there; the first table
#   has fifty.
# - **Leaving out objects does not leave out the model.** Rule and $K$ chosen here may be others on Stable Diffusion.
# - **A failed attack is no proof** for neuron max either. A stronger one may bring back golf.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: what rounding kills (●○○, 5 minutes)
#
# By {eq}`eq-reviving-objects-round`, below which share of its row's largest $|W_{ij}|$ does a surviving weight become
# zero? Write a function of `bits`. What happens at 2 bits?
#
# :::{admonition} Hint
# :class: dropdown
# What is less than half a step is rounded to zero.
# :::

# %%
dead_below = ...
check("reviving_objects.1", dead_below)


# %% tags=["solution", "hide-cell"]
def dead_below(bits):
    return 0.5 / (2 ** (bits - 1) - 1)


def lost(weights, bits):
    """The share of all weights that rounding makes zero."""
    now = quantise(weights, bits)
    zeros = sum(int((w == 0).sum()) for w in now.values())
    return zeros / sum(w.numel() for w in now.values())


print({b: f"{lost(original, b):.0%} become zero" for b in BITS})
check("reviving_objects.1", dead_below)

# %% [markdown]
# ### Exercise 2: the winner's luck (●●○, 15 minutes)
#
# There are `m` variants, all with the true rate `p`, each measured on `n` pictures of its own. By how much does the
# best-looking one overstate, on average? Write a function of `m`, `n` and `p`; a simulation is good enough (to 0.01).
#
# :::{admonition} Hint
# :class: dropdown
# `rng.binomial(n, p, size=(20_000, m))` makes twenty thousand tables at once.
# :::

# %%
overstated = ...
check("reviving_objects.2", overstated)


# %% tags=["solution", "hide-cell"]
def overstated(m, n, p):
    rng = np.random.default_rng(RANDOM_SEED)
    return rng.binomial(n, p, (20_000, m)).max(1).mean() / n - p


for n in (16, 50, 500):
    print(f"best of ten on {n:>3} pictures: {overstated(10, n, 0.4):+.3f}")
check("reviving_objects.2", overstated)

# %% [markdown]
# ### Exercise 3: objects as draws (●●○, 15 minutes)
#
# Write `interval(gains)`: the 95 % interval of the mean gain if the objects are the draws (Student's $t$). Then apply it to
# `neuron average` in the table of twelve: is the average told from pruning for objects like these?
#
# :::{admonition} Hint
# :class: dropdown
# $\bar g \pm t_{0.975,\,n-1}\; s / \sqrt n$ with the standard deviation $s$ of the gains, divided by $n - 1$.
# `scipy.stats.t.ppf(0.975, n - 1)` is the factor.
# :::

# %%
interval = ...
check("reviving_objects.3", interval)

# %% tags=["solution", "hide-cell"]
from scipy.stats import t as student


def interval(gains):
    gains = np.asarray(gains, dtype=float)
    n = len(gains)
    half = student.ppf(0.975, n - 1) * gains.std(ddof=1) / n**0.5
    return gains.mean() - half, gains.mean() + half


average = [g for g, _ in each["neuron_average_minus_pruned"]]
print("average minus pruned: [{:.2f}, {:.2f}]".format(*interval(average)))
check("reviving_objects.3", interval)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
