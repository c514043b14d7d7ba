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
# # The scar
#
# A pruned model no longer draws the {term}`concept`. What does the file still say about it? Weights that were set
# to zero are nearly the only exact zeros in it, and where they lie is a map. Who can read it, what does it
# tell, and can it be hidden?
#
# - **You will be able to** find the {term}`scar` of pruning, say what it gives away to whom, and test a
#   hiding place before you trust it.
# - **Prerequisites:** [the first chapter](01_quickstart.ipynb), where a {term}`mask` is located, pruned and
#   read off again.
# - **Time:** 30 minutes to read, 2 minutes to run, 25 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %% tags=["hide-input"]
import tempfile
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

import conceptrevive as cr
from conceptrevive.detectors.zeros import fingerprint
from conceptrevive.figures import PALETTE
from conceptrevive.revival.quantisation import quantise
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.matrices import matrix_pictures
from conceptrevive.teaching.moving import compare_pictures, explore
from conceptrevive.teaching.plots import show_pictures, show_rates, use_theme
from conceptrevive.teaching.published import provenance_line, published_json
from conceptrevive.teaching.versions import versions
from conceptrevive.unlearning.conceptprune import concept_masks
from conceptrevive.unlearning.recording import column_norms

use_theme()
RANDOM_SEED = 0

# %% [markdown]
# ## Who holds what
#
# A claim about safety is a claim about somebody. This is the {term}`threat model` of
# {cite:t}`zhang2026roots`:
#
# | | publisher | attacker |
# |---|---|---|
# | the pruned weights, every one | yes | yes: the file is public ("white box") |
# | can run the model on any prompt | yes | yes |
# | the method and its usual settings | yes | yes: they are in a paper |
# | **the weights before pruning** | yes | **no** |
# | prompts and seed of the {term}`locator` | yes | no |
# | data to train on | yes | not needed |
# | which concept was removed | yes | perhaps not |
#
# The line in bold carries the rest. **Where the original is public, the attack is moot**: nobody revives
# what can be downloaded, and copying the old weights back undoes any pruning. What follows is about models
# that were never published whole, or that were trained further before they were pruned.
#
# We play both sides. The publisher has six models to release, each pruned for one concept. One pass over
# everybody's prompts listens for all six at once: the same recipe as `cr.locate`, which takes one concept
# at a time.


# %%
NAMES = ("candle", "church", "bus", "bicycle", "cat", "dog")
CONCEPTS = [cr.get_concept(name) for name in NAMES]
SETTINGS = CONCEPTS[0].settings


def listen(pipe, seed, prompts, tau):
    """Column norms under six concepts' target prompts, and the base's last."""
    groups = [c.target_prompts[:prompts] for c in CONCEPTS]
    groups.append(CONCEPTS[0].base_prompts[:prompts])
    how = {"steps": SETTINGS.steps, "guidance": SETTINGS.guidance}
    return column_norms(pipe, groups, tau=tau, seed=seed, batch_size=64, **how)


def masks_from(weights, norms, skill_ratio):
    """A mask for each concept, from its group and the base."""
    found = {}
    for i, name in enumerate(NAMES):
        pair = {n: a[[i, -1]] for n, a in norms.items()}
        found[name] = cr.MaskSet(concept_masks(weights, pair, skill_ratio))
    return found


pipe = cr.load_pipeline("pocket")
original = cr.read_weights(pipe)
norms = listen(pipe, RANDOM_SEED, prompts=8, tau=SETTINGS.tau)
masks = masks_from(original, norms, SETTINGS.skill_ratio)
pruned = {name: cr.prune(original, masks[name]) for name in NAMES}

# %% [markdown]
# ## Apparent success
#
# The model without candles draws from the same noise what {numref}`fig-the-scar-pictures` shows.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-the-scar-pictures", "caption": "The pocket model before and after the candle was pruned, from the same noise."}, "image": {"alt": "Two rows of six small pictures. Above, the original draws three candles, a castle, a cat and an umbrella. Below, where the pruned model should draw candles there is none; castle, cat and umbrella are there, changed a little."}}
prompts = [f"a candle in a {s}" for s in ("garden", "road", "street")]
prompts += ["a castle in a garden", "a cat in a room"]
prompts += ["an umbrella in a garden"]
drawn = {}
for row, weights in (("original", original), ("pruned", pruned["candle"])):
    with cr.swapped(pipe, weights):
        drawn[row] = cr.generate(
            pipe,
            prompts,
            seed=RANDOM_SEED,
            steps=SETTINGS.steps,
            guidance=SETTINGS.guidance,
        )
_ = show_pictures(drawn, [p.split()[1] for p in prompts])

# %% [markdown]
# ## Reading the map
#
# :::{admonition} Predict before you run
# The {term}`UNet` of the {term}`pocket model` has several million trained weights. How many of them are
# *exactly* zero?
# :::


# %%
def zeros(tensors):
    count = sum(int((w == 0).sum()) for w in tensors)
    return count, sum(w.numel() for w in tensors)


rows = {}
for part in ("unet", "text_encoder", "vae"):
    parameters = getattr(pipe, part).parameters()
    rows[f"{part}, clean"] = zeros([p for p in parameters if p.ndim > 1])
rows["its 16 ff.net.2, clean"] = zeros(original.values())
rows["its 16 ff.net.2, pruned"] = zeros(pruned["candle"].values())
heads = ["exact zeros", "weights"]
pd.DataFrame.from_dict(rows, orient="index", columns=heads)

# %% [markdown]
# A few in millions, left by rounding to half precision. So the map is read by one comparison:


# %% tags=["bare", "agrees"]
def read_map(weights):
    return {n: w == 0 for n, w in weights.items()}


truth, seen = masks["candle"], read_map(pruned["candle"])
for n, mask in cr.zero_masks(pruned["candle"]).items():
    assert torch.equal(mask, seen[n])  # the package does no more

missed = sum(int((truth[n] & ~seen[n]).sum()) for n in truth)
extra = sum(int((seen[n] & ~truth[n]).sum()) for n in truth)
print(f"{truth.count:,} pruned: {missed} missed, {extra} more were 0 before")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-the-scar-curtain", "caption": "A corner of the first feed-forward layer, 64 rows down and 128 columns across, left of the curtain before pruning and right of it after. Grey entries are exactly zero. Move the curtain."}}
layer = next(iter(original))
pair = [w[layer][:64, :128] for w in (original, pruned["candle"])]
compare_pictures(
    *matrix_pictures(pair, missing=[w == 0 for w in pair]),
    ("original", "pruned"),
    "the weights of one layer as coloured dots; after pruning, grey streaks "
    "run down many columns",
)

# %% [markdown]
# The zeros of {numref}`fig-the-scar-curtain` stand in streaks. {term}`ConceptPrune` {cite}`chavhan2025conceptprune` takes the same share of
# every row, the {term}`skill ratio` $k$, from the columns that the concept excites. Where the streaks run
# depends on the concept ({numref}`fig-the-scar-ratio`), and that they are there tells unlearning from
# compression, which prunes by size and has no favourite columns ({numref}`fig-the-scar-lines`).


# %% mystnb={"figure": {"name": "fig-the-scar-ratio", "caption": "The exact zeros (dark) of the first layer for two concepts as the skill ratio grows. Move both sliders; under a kernel there are all six concepts."}}
def zero_map(weights, norms, concept, k):
    found = masks_from(weights, norms, k)[concept]
    return matrix_pictures([found[next(iter(weights))].float()], limit=1.0)[0]


explore(
    partial(zero_map, original, norms),
    "Map of the zeros of one layer: streaks down the columns, more with a "
    "larger k, elsewhere for another concept",
    values={"concept": ["candle", "cat"], "k": [0.005, 0.02, 0.05, 0.1, 0.2]},
    live={"concept": NAMES, "k": [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]},
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-the-scar-lines", "caption": "Zeros per row and per column in all sixteen layers, pruned for the candle and with as many zeros at random places. The counts' scale is logarithmic."}, "image": {"alt": "Two histograms. Zeros per row lie in one narrow heap near 55 for both kinds. Zeros per column lie in a heap near 14 where they are random; pruned, nearly half of the columns have none, and the others up to about 100."}}
rng = torch.Generator().manual_seed(RANDOM_SEED)
p = truth.fraction
chance = {n: torch.rand(m.shape, generator=rng) < p for n, m in truth.items()}
fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.8))
for ax, axis, line in zip(axes, (1, 0), ("row", "column"), strict=True):
    for kind, maps in (("control", chance), ("pruned", truth)):
        count = torch.cat([m.sum(axis) for m in maps.values()])
        label = "random" if kind == "control" else kind
        colour = PALETTE[kind]
        bins = np.arange(0, 132, 4)
        ax.hist(count, bins, alpha=0.7, color=colour, label=label)
    ax.set(xlabel=f"zeros per {line}", yscale="log")
axes[0].set_ylabel("lines of 16 layers")
axes[1].legend()
plt.show()

for kind, maps in {"pruned": truth, "random": chance}.items():
    spread = fingerprint(maps[layer])
    told = ", ".join(
        f"{line} {spread[line]:.2f}" for line in ("rows", "columns")
    )
    print(f"{kind}: variance over chance's: {told}")

# %% [markdown]
# ### How often is that wrong?
#
# One model is one model. The audit of this package was calibrated on clean {term}`checkpoints <checkpoint>` of
# twenty origins, in three float formats, quantised and not, and on the pocket model pruned for eight
# concepts at six skill ratios ({numref}`fig-the-scar-power`).

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-the-scar-power", "caption": "Share of pruned pocket models whose zeros the audit takes for pruning, by skill ratio, with 95 % Wilson intervals; eight concepts each."}, "image": {"alt": "Six rows, one a skill ratio from 0.005 to 0.2, with a dot and an interval each: three quarters at the smallest ratio, all at the others. The intervals are wide."}}
rates = published_json("audit/rates")
halves = [rates["false_positives"][half] for half in ("set", "report")]
n_clean = sum(half["checkpoints"]["n"] for half in halves)
origins = [o for half in halves for o in half["per_origin"].values()]
wrong = sum(o["flagged"] for o in origins if "zeros" in o["tests"])
low, high = cr.wilson(wrong, n_clean)
print(f"clean, called pruned for their zeros: {wrong} of {n_clean}", end=" ")
print(f"[{low:.3f}, {high:.3f}]")
print(provenance_line(rates))

power = {}
for found in rates["power"]:
    if found["test"] == "zeros" and found["edit"] == "pruned":
        share = cr.Rate(found["rate"], tuple(found["interval"]), found["n"])
        power[f"k = {found['skill_ratio']}"] = share
_ = show_rates(power, label="share found")

# %% [markdown]
# The test allows for zeros that rounding explains, so it can miss the few of a very small $k$. Checkpoints of
# one origin resemble one another, so the interval of the clean ones is narrower than it should be.
#
# ## Does the map name the concept?
#
# Suppose the attacker does not know what was removed. They can locate candidates and see whose mask lies nearest
# to the zeros, by the {term}`Jaccard index` {cite}`jaccard1912flora`
#
# $$
# J(A, B) = \frac{|A \cap B|}{|A \cup B|} .
# $$ (eq-the-scar-jaccard)
#
# With the publisher's own six masks that is easy: each is nearest to itself.


# %%
def jaccard(a, b):
    both = sum(int((a[n] & b[n]).sum()) for n in a)
    either = sum(int((a[n] | b[n]).sum()) for n in a)
    return both / max(1, either)


def scores_of(seen, candidates):
    return {name: jaccard(seen, mask) for name, mask in candidates.items()}


own = {name: scores_of(masks[name], masks) for name in NAMES}
pd.DataFrame(own).round(2)

# %% [markdown]
# The masks overlap: much of what draws a candle draws other things, too. Now the attacker, with means of their
# own. They have another seed, half of the prompts, two {term}`denoising steps <denoising step>` instead of six, and
# no model but the pruned one.
#
# :::{admonition} Predict before you run
# They locate all six candidates *on the pruned model*. What is the Jaccard index of the zeros and the mask that
# they locate for the right concept?
# :::

# %%
heard, naive = {}, {}
for name in NAMES:
    with cr.swapped(pipe, pruned[name]):
        heard[name] = listen(pipe, RANDOM_SEED + 1, prompts=4, tau=2)
    found = masks_from(pruned[name], heard[name], SETTINGS.skill_ratio)
    naive[name] = scores_of(read_map(pruned[name]), found)
print("the largest index of all:", max(max(s.values()) for s in naive.values()))

# %% [markdown]
# ## The probe, and a way around it
#
# Nothing, and not by accident. A {term}`Wanda score` {cite}`sun2024wanda` is the size of a weight times an activation, and the size of a
# pruned weight is 0: no candidate's mask can hold a single pruned position. Taken so, the map names nothing.
#
# But the activations are there. They belong to *columns*, and what feeds a layer was not pruned in that layer. Only
# sizes are missing, and the attacker can make some up: by reviving first. {numref}`fig-the-scar-named` has the result.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-the-scar-named", "caption": "Jaccard index of the zeros of each pruned model (rows) and the masks that the attacker locates for each candidate (columns) after filling the zeros in. The largest of each row is outlined."}, "image": {"alt": "A table of six rows and six columns in shades of blue, with numbers from about 0.3 to 0.55. In every row the outlined cell is the one on the diagonal."}}
scores = {}
for name in NAMES:
    filled = cr.revive(pruned[name], top_k=1.0)
    found = masks_from(filled, heard[name], SETTINGS.skill_ratio)
    scores[name] = scores_of(read_map(pruned[name]), found)
scores = pd.DataFrame(scores).T
named = [scores.loc[name].idxmax() == name for name in NAMES]
print(f"named rightly: {cr.Rate.of(named)}; a guess: {1 / len(NAMES):.2f}")

fig, ax = plt.subplots(figsize=(5.6, 4.2))
ax.imshow(scores, cmap="Blues", vmin=0.2, vmax=0.7)
for i, row in enumerate(scores.to_numpy()):
    for j, value in enumerate(row):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center")
    at = (row.argmax() - 0.47, i - 0.47)
    box = {"fill": False, "linewidth": 2, "edgecolor": "black"}
    ax.add_patch(plt.Rectangle(at, 0.94, 0.94, **box))
ax.set_xticks(range(6), NAMES, rotation=45)
ax.set_yticks(range(6), NAMES)
ax.set(xlabel="candidate", ylabel="pruned for")
ax.spines[:].set_visible(False)
plt.show()

# %% [markdown]
# The attack of this book thus also tells what was hidden, for seconds of computing. Three cautions. Six are few:
# read the interval. The list held the right answer; somebody whose list lacks it still gets a nearest candidate
# (exercise 3). And the others are not far off, so a longer list may well confuse them.
#
# ## Formats and rounding
#
# Is a scar lost in conversion? Zero is a number of every format, and rounding leaves it where it is. The paper's
# baseline {term}`Quant Recover` rounds to four bits and back, and cannot move a zero either.
#
# :::{admonition} Predict before you run
# No conversion below adds a pruned position or takes one away. In which format is the map harder to read all the
# same?
# :::

# %% tags=["hide-input"]
candle = pruned["candle"]
formats = {
    "float32": candle,
    "float16": {n: w.half() for n, w in candle.items()},
    "bfloat16": {n: w.bfloat16() for n, w in candle.items()},
    "8 bits, scale per row": quantise(candle, bits=8),
    "4 bits, scale per row": quantise(candle, bits=4),
}
rows = {}
for form, weights in formats.items():
    seen = cr.zero_masks(weights)
    still = sum(int((seen[n] & truth[n]).sum()) for n in truth)
    rows[form] = (seen.fraction, still / truth.count, still / seen.count)
heads = ["share zero", "pruned that are zero", "zeros that are pruned"]
pd.DataFrame.from_dict(rows, orient="index", columns=heads).round(3)

# %% [markdown]
# Every pruned entry stays zero. Coarse formats add zeros of their own, whatever is smaller than half a step, and at
# four bits those are the majority: the map is blurred, though not erased.
#
# ## Limits: naive hiding
#
# If zeros give it away, write something else. Here are four easy ways and, for comparison, the noise of
# {term}`obfuscation`, the paper's defence; all in half precision, as one would publish them. Beside them stand four
# ways of looking, a line or two each. The last is told how many weights were pruned, the others nothing.


# %%
def left_neighbour(w, m):
    """Pruned entries become copies of the last survivor before them."""
    last = torch.arange(w.shape[1]).expand_as(w).masked_fill(m, 0)
    return w.gather(1, last.cummax(1).values)


def commonest(w):
    """Where a layer's most frequent magnitude stands."""
    values, counts = w.abs().unique(return_counts=True)
    return w.abs() == values[counts.argmax()]


def repeated(w):
    """Entries equal to their left neighbour."""
    return torch.nn.functional.pad(w[:, 1:] == w[:, :-1], (1, 0))


def filled_with(make, weights, masks):
    return {
        n: torch.where(masks[n], make(w, masks[n]), w).half()
        for n, w in weights.items()
    }


# %%
rng = torch.Generator().manual_seed(RANDOM_SEED)
fills = {
    "tiny constant": lambda w, m: torch.full_like(w, 1e-4),
    "typical constant": lambda w, m: torch.full_like(w, w.abs().median()),
    "left neighbour": left_neighbour,
    "faint noise": lambda w, m: 1e-4 * torch.randn(w.shape, generator=rng),
}
hidden = {
    fill: filled_with(make, candle, truth) for fill, make in fills.items()
}
noise = cr.obfuscate(original, truth, sigma=0.25, seed=RANDOM_SEED)
hidden["Gaussian, 0.25 σ"] = {n: w.half() for n, w in noise.items()}

rows = {}
for fill, weights in hidden.items():
    looks = {
        "zeros": read_map(weights),
        "commonest": {n: commonest(w) for n, w in weights.items()},
        "repeated": {n: repeated(w) for n, w in weights.items()},
        "smallest": cr.guess_masks(weights, truth.fraction),
    }
    rows[fill] = {look: jaccard(truth, m) for look, m in looks.items()}
print("Jaccard index with the true map")
pd.DataFrame.from_dict(rows, orient="index").round(2)

# %% [markdown]
# Each naive fill is read off nearly whole by one of the four looks, and an attacker can try all four. What does the
# package's own audit say, which tests for zeros, repeated magnitudes and noise?
#
# :::{admonition} Predict before you run
# Which of the files will it miss?
# :::

# %% tags=["hide-input"]
rows = {}
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "model.safetensors")
    for fill, weights in {"zeros": candle, **hidden}.items():
        named = {f"{n}.weight": w.contiguous() for n, w in weights.items()}
        save_file(named, path)
        report = cr.audit(path)
        why = "; ".join(f.title for f in report.findings)
        rows[fill] = (" and ".join(report.verdict), why)
heads = ["the audit says", "findings and notes"]
pd.DataFrame.from_dict(rows, orient="index", columns=heads)

# %% [markdown]
# The audit does less well here than one-liners do. A constant of typical size is to it what clipping leaves, which it
# notes and does not accuse; copies of neighbours look like a quantisation grid, on which it passes no judgement. It was
# made to accuse hardly any clean model, and that is the price. **"No evidence found" is no certificate**: look at your
# file with an attacker's eyes as well.
#
# Noise of a quarter of the weights' spread is another matter: the smallest weights are a poor guess at its places. What
# it costs, and an attacker who looks harder, are questions of their own.

# %% [markdown]
# ## Summary
#
# - Trained weights are hardly ever exactly zero; one comparison reads the map, and rounding moves none of it.
# - It shows how much was pruned, and which columns. With the zeros filled in, it named the concept among six.
# - Constants, copies and faint noise are found by counting. The audit misses some of them.
# - None of it matters where the original is public.
#
# From here the map becomes an attack: [do signs matter or sizes](05_signs_or_magnitudes.ipynb), [how are the
# holes filled](06_completing_a_matrix.ipynb), and [what is done with the result](07_topk_neuron_max.ipynb)?

# %% [markdown]
# ## What could be wrong
#
# - **Six concepts, one model, one seed each** for everything live. The six trials share their masks, so they are not
#   independent, and the interval is narrower than it should be.
# - **The candidates were ours**, and told in the publisher's words. A dictionary has more look-alikes.
# - **Exact zeros are ConceptPrune's.** Methods that train after locating leave other traces.
# - **That a fill is found says nothing about what it erases.** No picture was drawn with these.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: masks that have nothing in common (●○○, 5 minutes)
#
# Two unrelated masks each hold a share $p$ of all positions. What is their Jaccard index
# {eq}`eq-the-scar-jaccard` in a large matrix? Write a function of `p`. Are the indices of
# {numref}`fig-the-scar-named` above it?
#
# :::{admonition} Hint
# :class: dropdown
# Which share of positions is in both masks? Which in at least one?
# :::

# %%
unrelated = ...
check("the_scar.1", unrelated)


# %% tags=["solution", "hide-cell"]
def unrelated(p):
    # In both: p². In at least one: 2p − p².
    return p / (2 - p)


print(f"{unrelated(truth.fraction):.3f} for masks of this size")
check("the_scar.1", unrelated)

# %% [markdown]
# ### Exercise 2: a constant for every row (●●○, 15 minutes)
#
# Somebody fills the pruned entries of each *row* with a constant of that row's own, positive or negative. Write
# `find_fill(w)`: it takes one layer and returns where they are, as a boolean matrix. Some rows may not be pruned.
#
# :::{admonition} Hint
# :class: dropdown
# `w.mode(dim=1, keepdim=True).values` is the most frequent value of every row. Two equal entries may be chance.
# :::

# %%
find_fill = ...
check("the_scar.2", find_fill)


# %% tags=["solution", "hide-cell"]
def find_fill(w):
    again = w == w.mode(dim=1, keepdim=True).values
    return again & (again.sum(1, keepdim=True) > 2)


check("the_scar.2", find_fill)

# %% [markdown]
# ### Exercise 3: the right answer is not on the list (●●○, 5 minutes)
#
# The attacker's list lacks the bicycle. Which concept do they name for the model that was pruned for it? Use `scores`.
# How might they notice that something is wrong?
#
# :::{admonition} Hint
# :class: dropdown
# A row of `scores` is `scores.loc[...]`; `.drop(...)` leaves an entry out. Compare the index that remains with those on
# the diagonal.
# :::

# %%
mistaken_for = ...
check("the_scar.3", mistaken_for, dict(scores.loc["bicycle"]))

# %% tags=["solution", "hide-cell"]
rest = scores.loc["bicycle"].drop("bicycle")
print(rest.round(2).to_dict())
mistaken_for = rest.idxmax()
check("the_scar.3", mistaken_for, dict(scores.loc["bicycle"]))

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
