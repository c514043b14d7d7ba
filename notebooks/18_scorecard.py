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
# # Scorecard: the paper's tables against ours
#
# The paper's tables are read here as claims, each of them checked on the {term}`pocket model`. How many hold, how many could
# hold by luck, and what would have to be seen to change our mind about the rest of this book?
#
# - **You will be able to** read a claim as a signed difference; say what an interval decides and what it leaves open; correct for
#   many claims; write down, before measuring, what would overturn a statement.
# - **Prerequisites:** [the first chapter](01_quickstart.ipynb); others as the claims name them.
# - **Time:** 25 minutes to read, 1 minute to run, 25 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU. No picture is drawn here.

# %% tags=["hide-input"]
import textwrap
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from conceptrevive.experiments.reproduction.contrasts import holm
from conceptrevive.experiments.reproduction.scorecard import (
    LEVEL,
    METHOD,
    Scorecard,
)
from conceptrevive.figures import PALETTE
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import explore
from conceptrevive.teaching.plots import show_differences, use_theme
from conceptrevive.teaching.published import (
    provenance_line,
    published_file,
    published_json,
)
from conceptrevive.teaching.versions import versions

use_theme()
RANDOM_SEED = 0

# %% [markdown]
# ## A claim is a signed difference
#
# "{term}`Neuron max` revives" says that a number under one set of weights is larger than under another: {term}`top-1` after
# the {term}`revival` against top-1 after pruning. So a claim $c$ has a sign $s_c$, +1 or −1, and two rows $a$ and $b$, and what is
# measured for it is a difference, on the same prompts and noise wherever pictures are counted ({term}`paired seeds`):
#
# $$
# \Delta_c = \overline{x}_a - \overline{x}_b .
# $$ (eq-scorecard-claim)
#
# The numbers of {cite:t}`zhang2026roots` are for Stable Diffusion 1.5, ours for a model of emoji a hundredth of its
# size. What can be compared is signs.


# %%
def say(text, indent=""):
    """Prose in lines of a page."""
    print(textwrap.fill(text, 78, subsequent_indent=indent))


card = Scorecard.read(published_file("laptop/scorecard"))
measured = [c for c in card.lines if c.ours is not None]
print(f"{len(card.lines)} claims, {len(measured)} of them measured here")
example = measured[0]
say(f"for example, {example.where}: {example.what}.")
print(f"sign {example.direction:+d}, paper's rows {example.paper}")
print(f"ours: {example.ours.before:.2f} to {example.ours.after:.2f}")

# %% tags=["hide-output"]
for name, told in card.sources.items():
    print(f"{name}:\n{provenance_line(told)}")

# %% [markdown]
# ## Apparent success
#
# :::{admonition} Predict before you run
# How many of the measured differences have the paper's sign? And how many would if every one of them were a coin's throw?
# :::


# %%
def points_our_way(claim):
    return claim.direction * claim.ours.difference > 0


way = sum(map(points_our_way, measured))
print(f"{way} of {len(measured)} differences have the paper's sign;", end=" ")
print(f"coins: about {len(measured) / 2:g}")

# %% [markdown]
# Coins are a poor comparison: a difference of 0.01 counts there as much as one of 0.7, and nobody doubted that setting
# weights to zero would change *something*.
#
# ## The probe: intervals
#
# Ask each claim for its 95 % interval $[l, u]$, and decide only where the interval leaves out 0:
#
# $$
# v_c = \begin{cases}
# \text{same} & s_c\, l > 0 \text{ and } s_c\, u > 0 \\
# \text{opposite} & s_c\, l < 0 \text{ and } s_c\, u < 0 \\
# \text{not decided} & \text{otherwise.}
# \end{cases}
# $$ (eq-scorecard-verdict)


# %% tags=["bare"]
def verdict(sign, interval):
    """What a claim's interval says."""
    ends = [sign * end for end in interval]
    if min(ends) > 0:
        return "same"
    return "opposite" if max(ends) < 0 else "not decided"


# %% tags=["agrees"]
for c in measured:
    assert verdict(c.direction, c.ours.interval) == c.verdict, c.key
KINDS = ("same", "opposite", "not decided", "not measured")
print(pd.Series({kind: card.count(kind) for kind in KINDS}).to_string())

# %% [markdown]
# {numref}`fig-scorecard-claims` has them table by table. Units differ (top-1, cosine, {term}`FID` {cite}`heusel2017fid`, seconds), so each difference is
# drawn in half-widths of its own interval: every bar is two long (the scale is logarithmic beyond three), and 0 lies left of it, in it or
# right of it. The [scorecard's table](../book/scorecard.md) has the numbers in their own units.


# %% tags=["hide-input"]
COLOURS = {"same": PALETTE["revived"], "opposite": PALETTE["pruned"]}
COLOURS["not decided"] = PALETTE["control"]


def claims_figure(card, table):
    """One table of the paper: its claims, in half-widths of the interval."""
    lines = [c for c in card.lines if c.where == table]
    fig, ax = plt.subplots(figsize=(5.6, 4.4))
    for y, c in enumerate(lines):
        if c.ours is None:
            ax.text(0.3, y, "not measured", va="center", fontsize=9)
            continue
        low, high = sorted(c.direction * end for end in c.ours.interval)
        half = (high - low) / 2 or 1.0
        colour = COLOURS[c.verdict]
        ends = (low / half, high / half)
        ax.plot(ends, (y, y), color=colour, linewidth=5, alpha=0.45)
        at = c.direction * c.ours.difference / half
        ax.plot(at, y, "o", color=colour, markeredgecolor="black")
    ax.axvline(0, color="0.3", linestyle="--", linewidth=1)
    ax.set_xscale("symlog", linthresh=3)
    ax.set(xlim=(-30, 300), ylim=(len(lines) - 0.5, -0.5), title=table)
    ticks = (-10, -2, 0, 2, 10, 100)
    ax.set_xticks(ticks, [str(t).replace("-", "−") for t in ticks])
    ax.set_yticks(range(len(lines)), [c.key for c in lines], fontsize=9)
    ax.set_xlabel("opposite  ←  half-widths  →  as the paper says")
    ax.grid(axis="x")
    return fig


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-scorecard-claims", "caption": "The claims of one table of the paper, in half-widths of their intervals: right of the dashed line as the paper says, left of it the other way, across it not decided. Move the slider to change the table."}}
tables = list(dict.fromkeys(c.where for c in card.lines))
explore(
    partial(claims_figure, card),
    "Short names of claims with a dot and a bar each, beside a dashed line at "
    "zero; claims without a measurement say so",
    values={"table": tables},
)

# %% [markdown]
# ## Signs agree; do sizes?
#
# :::{admonition} Predict before you run
# A small model, emoji, a {term}`skill ratio` of 0.1 instead of 0.02. Where the signs agree, will our differences be larger or
# smaller than the paper's?
# :::
#
# {numref}`fig-scorecard-sizes` sets side by side those that are shares in both.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-scorecard-sizes", "caption": "Each claim about shares: the paper's difference, and ours with its 95 % interval. On the dashed line both are equal. The paper gives no intervals."}, "image": {"alt": "A scatter of dots with vertical bars around a dashed diagonal. In the lower left and the upper right quarter signs agree."}}


def are_shares(claim):
    rows = (*claim.paper, claim.ours.after, claim.ours.before)
    cosine = claim.experiment == "styles" and "CLIP score" not in claim.key
    return not cosine and all(x is not None and 0 <= x <= 1 for x in rows)


shares = [c for c in measured if are_shares(c)]
theirs = np.array([c.paper[0] - c.paper[1] for c in shares])
ours = np.array([c.ours.difference for c in shares])
low, high = np.array([c.ours.interval for c in shares]).reshape(-1, 2).T
fig, ax = plt.subplots(figsize=(5.6, 3.4))
for c, x, y, a, b in zip(shares, theirs, ours, low, high, strict=True):
    ax.plot((x, x), (a, b), color=COLOURS[c.verdict], linewidth=3, alpha=0.5)
    ax.plot(x, y, "o", color=COLOURS[c.verdict], markeredgecolor="black")
ax.plot((-1, 1), (-1, 1), color="0.3", linestyle="--", linewidth=1)
for line in (ax.axhline, ax.axvline):
    line(0, color="0.7", linewidth=1, zorder=0)
ax.set(xlabel="the paper's difference", ylabel="ours", xlim=(-1, 1))
plt.show()
side = np.sign(theirs)
near, far = np.sort([side * low, side * high], axis=0)
beyond, short = (near > abs(theirs)).sum(), (far < abs(theirs)).sum()
print(f"{len(shares)} claims: ours is larger in {beyond}, smaller in {short},")
print(f"and not told apart from the paper's in {len(shares) - beyond - short}")

# %% [markdown]
# A size depends on the model, the objects, the share that is pruned and the {term}`judge`, all of them others here. That is why
# no size of the paper is called confirmed or refuted in this book.
#
# ## Many claims, some luck
#
# An interval of 95 % misses once in twenty. If $m$ claims are all about nothing, and independent, then at least one is decided
# with probability $1 - 0.95^m$. The {term}`family-wise error` is to stay below $\alpha$. {cite:t}`holm1979` sorts the
# {term}`p-values <p-value>`, $p_{(1)} \le p_{(2)} \le \dots$, and raises them:
#
# $$
# \tilde p_{(i)} = \min\Bigl(1,\; \max_{j \le i}\, (m - j + 1)\, p_{(j)} \Bigr) .
# $$ (eq-scorecard-holm)
#
# A claim counts as decided if $\tilde p < \alpha$. Why does this work? Say $k$ claims are about nothing, and the first of
# them stands at place $j$. All $k$ stand from there on, so $k \le m - j + 1$, and the first is decided only if its p-value lies below
# $\alpha / (m - j + 1) \le \alpha / k$. That one of $k$ p-values does so has probability $\alpha$ at most, whatever their dependence.


# %% tags=["bare"]
def raised(p):
    """Holm's p-values, in the order given."""
    out = np.empty(len(p))
    largest = 0.0
    for place, i in enumerate(np.argsort(p)):
        largest = max(largest, min(1.0, (len(p) - place) * p[i]))
        out[i] = largest
    return out


# %% tags=["agrees"]
family = {c.key: c.ours.p for c in measured if c.ours.p is not None}
p = np.array([*family.values()])
assert np.allclose(raised(p), [*holm(family).values()], rtol=1e-12, atol=0)
kept = [c.p_corrected for c in measured if c.ours.p is not None]
assert np.allclose(raised(p), kept, rtol=1e-9, atol=0)
assert len(p) == card.family
say(f"{METHOD}: {card.family} p-values.")
print(f"if all were about nothing: {1 - 0.95**card.family:.0%}", end=" ")
print("chance that some claim is decided, uncorrected")

# %% [markdown]
# A simulation says what it costs. Of as many claims some are true (their difference is three standard errors), the rest about
# nothing.


# %% tags=["hide-input"]
def simulated(m, true, how, rng, rounds=2000):
    """Share of rounds with a false decision; share of true claims decided."""
    from scipy.special import ndtr

    z = rng.standard_normal((rounds, m))
    z[:, :true] += 3
    chances = 2 * ndtr(-abs(z))
    decided = np.array([how(row) < LEVEL for row in chances])
    return decided[:, true:].any(1).mean(), decided[:, :true].mean()


WAYS = {"uncorrected": lambda p: p, "Bonferroni": lambda p: len(p) * p}
WAYS["Holm"] = raised
found = {}
m = len(card.lines)
for true in (m // 2, m - 2):
    for name, how in WAYS.items():
        rng = np.random.default_rng(RANDOM_SEED)
        found[f"{true} of {m} true", name] = simulated(m, true, how, rng)
columns = ["some false", "true ones decided"]
pd.DataFrame(found, index=columns).T.round(2)

# %% [markdown]
# Uncorrected, the chance of a false decision goes far above 0.05 where many claims are about nothing. Both corrections hold it below, and
# pay with true claims that stay undecided; Holm's pays less, the more so the more claims are true. {numref}`fig-scorecard-holm` has our own
# p-values.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-scorecard-holm", "caption": "The p-values of the measured claims in order, with the line that each must lie below: 0.05 for all, or Holm's. Those below 1e-12 are drawn there."}, "image": {"alt": "Dots that rise to the right on a logarithmic axis, a flat dashed line at 0.05 and a solid line below it that meets it at the right end."}}
order = np.sort(p)
places = np.arange(1, len(p) + 1)
fig, ax = plt.subplots()
ax.plot(places, order.clip(1e-12), "o", color=PALETTE["original"])
ax.plot(places, LEVEL / (len(p) - places + 1), color="0.2", label="Holm")
ax.axhline(LEVEL, color="0.3", linestyle="--", linewidth=1, label="0.05")
ax.set(yscale="log", ylim=(3e-13, 3), xlabel="place", ylabel="p-value")
ax.legend(loc="lower right")
plt.show()
lost = [c for c in measured if c.verdict != c.corrected]
print(f"decided alone, not together with all others: {len(lost)}")
for c in lost:
    say(f"- {c.what}: p = {c.ours.p:.3f}, raised {c.p_corrected:.2f}", "  ")

# %% [markdown]
# ## Where they differ, and why
#
# "Not decided" is no "no". Look at what the interval still allows: it may hold the paper's difference as well as 0. And what has not
# been measured decides nothing; each such line has its command.

# %% tags=["hide-input"]
OPEN = ("opposite", "not decided")
differ = [c for c in measured if {c.verdict, c.corrected} & {*OPEN}]
if not differ:
    print("every measured claim goes the paper's way, corrected too")
reasons = {}
for c in differ:
    reasons.setdefault(c.why, []).append(c)
for why, lines in reasons.items():
    for c in lines:
        told = c.verdict if c.verdict != "same" else "decided alone only"
        say(f"{c.what} ({c.where}): {told}.")
        a, b = c.ours.interval
        print(f"  ours {c.ours.difference:+.3f} [{a:+.3f}, {b:+.3f}]", end="")
        if c in shares:
            paper = c.paper[0] - c.paper[1]
            inside = "in" if a <= paper <= b else "outside"
            print(f"; the paper's {paper:+.2f} lies {inside} it", end="")
        print()
    say(f"  WHY: {why}", "  ")
    print()

missing = {}
for c in card.lines:
    if c.ours is None:
        missing.setdefault((c.experiment, c.missing), []).append(c.key)
for (name, reason), keys in missing.items():
    say(f"{name}: {len(keys)} claims, {reason}", "  ")
    print(f"  conceptrevive reproduce {name} --profile laptop")
print(f"{sum(map(len, missing.values()))} claims are not measured")

# %% [markdown]
# ## What would change our mind
#
# A statement that no measurement could overturn says nothing. These are the book's main ones, with the result that would do it.
#
# :::{admonition} Predict before you run
# Cover the right column. For each statement write down one measurement, and the result of it, after which you would no longer
# believe it.
# :::
#
# | | statement | chapter | would be overturned by |
# |---|---|---|---|
# | A | Pruning erases what is plainly asked for. | [pruning](03_skilled_neurons.ipynb) | Over the objects, pruned {term}`top-1` is not below the original's, at the same skill ratio. |
# | B | A weight's sign carries the concept, its size hardly. | [signs](05_signs_or_magnitudes.ipynb) | Exact magnitudes with random signs revive as much as exact signs with random magnitudes. |
# | C | Completion finds the signs. | [completion](06_completing_a_matrix.ipynb) | On some model, the share of right signs is a coin's; or the *surest* are no more often right than the rest. |
# | D | The attack brings concepts back, from the pruned file alone. | [objects](08_reviving_objects.ipynb) | {term}`Random signs <control>` in the same places, of the same sizes, revive as much. |
# | E | Neuron max is the better size. | [sizes](07_topk_neuron_max.ipynb) | Average or sample revive as much, with the same signs. |
# | F | The attack does not bring everything back. | [wording](10_unsafe_content.ipynb) | The revived model is not told apart from the original, over the objects and for found wording. |
# | G | Without zeros the attack is weaker. | [noise](12_gaussian_obfuscation.ipynb) | An attacker who must guess positions revives as much as one who reads them. |
# | H | It is not about one way of choosing weights. | [locators](11_other_locators.ipynb) | What SalUn {cite}`fan2024salun` or Scissorhands {cite}`wu2024scissorhands` located, zeroed, does not come back. |
# | I | It holds at full size. | [a GPU](16_stable_diffusion_gpu.ipynb) | The same command on Stable Diffusion gives other signs. |

# %% tags=["hide-input"]
STATEMENTS = {
    "A": ("erased", "I2P, pruned"),
    "B": ("exact signs revive", "signs before magnitudes"),
    "C": ("signs right", "surest signs"),
    "D": ("max", "style, similarity", "I2P, revived"),
    "E": ("max and sample", "max and average"),
    "F": ("max and original",),
    "G": ("defended",),
    "H": ("SalUn's places", "Scissorhands' places"),
    "I": (),
}


def standing(card, keys):
    """Of the claims behind a statement, how many go which way, corrected."""
    by_key = {c.key: c for c in card.lines}
    found = [by_key[key].corrected for key in keys]
    return {kind: found.count(kind) for kind in KINDS}


table = {s: standing(card, keys) for s, keys in STATEMENTS.items()}
for c in card.lines:
    for s in (s for s, keys in STATEMENTS.items() if c.key in keys):
        if c.corrected in OPEN:
            say(f"{s}: {c.what}: {c.corrected}", "   ")
pd.DataFrame(table).T

# %% [markdown]
# A line of zeros is a statement that no claim here is about. A claim in the column *opposite* need not topple its statement, but limits
# it: the statement holds for what the other claims are about, and not for that. For D the measurement that would overturn it has been made, over
# twelve objects with the {term}`control` in the same places ({numref}`fig-scorecard-control`).

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-scorecard-control", "caption": "Erased top-1 over twelve objects minus the pruned model's, paired, with 95 % intervals: the attack, and random signs in the same places with the same sizes."}, "image": {"alt": "Two rows with a dot and an interval each. The attack lies near 0.27, clear of the dashed line at zero; random signs lie a little left of it."}}
objects = published_json("pocket/phenomenon")
print(provenance_line(objects))
gains = {}
for label, row in (("revived", "revived"), ("control", "random_signs")):
    value, interval = objects["objects"][f"{row}_minus_pruned"]
    gains[label] = (value, tuple(interval))
    print(f"{label}: {value:+.2f} [{interval[0]:+.2f}, {interval[1]:+.2f}]")
_ = show_differences(gains, label="difference from pruned")

# %% [markdown]
# Had the two intervals met, D would have to go, whatever the rest of this page says. For I nothing is measured in this
# repository: its experiments run on Stable Diffusion by the same commands (`--profile paper --model …`), and until somebody has done so, it is
# the paper's word.

# %% [markdown]
# ## Summary
#
# - A claim is a signed difference. Its interval says *same*, *opposite* or *not decided*; sizes are not compared across models.
# - Of many claims some are decided by luck. Holm's correction bounds the chance that any is, at the price of {term}`power`.
# - "Not decided" leaves room for the paper's difference and for none. What is not measured decides nothing.
# - Every main statement of this book has a result that would overturn it; look for that one first.

# %% [markdown]
# ## What could be wrong
#
# - **The claims were chosen by us**, from the paper and from notes on it; (1) in the table marks numbers that only one note has.
# - **Intervals over pictures speak of these very {term}`concepts <concept>`.** Twelve emoji are no sample of concepts; how many of them go which way
#   is in the table, and exercise 2 asks what it says.
# - **Claims share pictures.** Holm's bound holds all the same, but so many claims are not as many independent confirmations.
# - **The pocket model's settings were chosen on six of the objects**, by original, pruned and
#   retained accuracy.
# - **Correction covers this family only**: the experiments hold many more intervals, and nobody corrects for those.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: one of many (●○○, 5 minutes)
#
# `m` independent claims are about nothing, and each is decided with probability `alpha`. Write a function of `m` and `alpha` for
# the probability that at least one is decided. From how many claims on is it more likely than not, at 0.05?
#
# :::{admonition} Hint
# :class: dropdown
# The chance that none is decided is a product.
# :::

# %%
any_decided = ...
check("scorecard.1", any_decided)


# %% tags=["solution", "hide-cell"]
def any_decided(m, alpha):
    return 1 - (1 - alpha) ** m


print(next(m for m in range(1, 100) if any_decided(m, 0.05) > 0.5))
check("scorecard.1", any_decided)

# %% [markdown]
# ### Exercise 2: concepts as draws (●●○, 10 minutes)
#
# The table gives `up : down`, how many concepts have a positive difference and how many a negative one. If a claim were
# about nothing, each concept's sign would be a coin. Write `sign_test(up, down)`, the two-sided p-value: the probability of a
# split at least as uneven, either way.
#
# :::{admonition} Hint
# :class: dropdown
# `math.comb(n, k) / 2**n` is the probability of `k` among `n`. Add up the tail, double it, and stop at 1.
# :::

# %%
sign_test = ...
check("scorecard.2", sign_test)

# %% tags=["solution", "hide-cell"]
from math import comb  # noqa: E402


def sign_test(up, down):
    n, least = up + down, min(up, down)
    tail = sum(comb(n, k) for k in range(least + 1)) / 2**n
    return min(1.0, 2 * tail)


for c in measured:
    if c.ours.up + c.ours.down > 1:
        p_sign = sign_test(c.ours.up, c.ours.down)
        print(f"{c.key:<26} {c.ours.up:>2} : {c.ours.down:<2} {p_sign:.4f}")
check("scorecard.2", sign_test)

# %% [markdown]
# ### Exercise 3: could it have been seen? (●●○, 10 minutes)
#
# Under two sets of weights a share `s` of the paired pictures differ, as often one way as the other. Each pair gives −1, 0 or +1, so the
# mean of `n` pairs has a standard error of $\sqrt{s / n}$. Write `pictures(s, delta)`: the least whole `n` for which
# a half-width of 1.96 standard errors is at most `delta`. How many would the paper's 0.01 for {term}`Quant Recover` take, if one picture
# in ten differs?
#
# :::{admonition} Hint
# :class: dropdown
# Solve $1.96 \sqrt{s / n} \le \delta$ for $n$, and round up.
# :::

# %%
pictures = ...
check("scorecard.3", pictures)


# %% tags=["solution", "hide-cell"]
def pictures(s, delta):
    return int(np.ceil(s * (1.96 / delta) ** 2))


print(f"for 0.01: {pictures(0.1, 0.01):,}; for 0.1: {pictures(0.1, 0.1)}")
check("scorecard.3", pictures)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
