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
# # Other locators
#
# {term}`ConceptPrune` listens to activations. Other methods ask gradients where a {term}`concept` is. Do they point at the same
# weights, and does the attack work on what they point at?
#
# - **You will be able to** compute two {term}`saliency` scores, say where they look and how much of that belongs to the
#   concept, and tell from a {term}`mask` how well its zeros can be completed.
# - **Prerequisites:** [skilled neurons](03_skilled_neurons.ipynb), for the first {term}`locator`; [completing a
#   matrix](06_completing_a_matrix.ipynb), for the attack.
# - **Time:** 25 minutes to read, 2.5 minutes to run, 40 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %% tags=["hide-input"]
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import conceptrevive as cr
from conceptrevive.experiments.locating import densities
from conceptrevive.experiments.reproduction.contrasts import pictures
from conceptrevive.figures import PALETTE
from conceptrevive.revival.attack import revive_layer
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import explore, slider_pictures, tiled
from conceptrevive.teaching.plots import use_theme
from conceptrevive.teaching.published import (
    measured,
    provenance_line,
    published_json,
)
from conceptrevive.teaching.versions import versions
from conceptrevive.unlearning.denoising import NoisePredictor
from conceptrevive.unlearning.draws import NOISE, generator
from conceptrevive.unlearning.examples import concept_examples
from conceptrevive.unlearning.gradients import top_masks
from conceptrevive.unlearning.salun import salun_scores
from conceptrevive.unlearning.snip import scissorhands_scores

# %%
use_theme()
RANDOM_SEED = 0
GUIDANCE = 7.5  # of the guided loss, as released

pipe = cr.load_pipeline("pocket")
candle, cat = cr.get_concept("candle"), cr.get_concept("cat")
original = cr.read_weights(pipe)
masks = cr.locate(pipe, candle, seed=RANDOM_SEED)
predictor = NoisePredictor(pipe)  # of every linear layer
total = sum(w.numel() for w in predictor.weights.values())
print(f"candidates: {len(original)} layers,", end=" ")
print(f"all linear: {len(predictor.weights)} layers, {total:,} weights")

# %% [markdown]
# ## Asking the gradient
#
# A {term}`diffusion model` is trained to predict noise. Let $L_b(W)$ be its error on a batch $b$ of noisy pictures of
# the concept. Where $L_b$ depends on a weight most, so goes the thought, the concept is.
#
# {term}`SalUn` {cite}`fan2024salun` adds up gradients and takes the size of the sum, its {term}`saliency`;
# {term}`Scissorhands` {cite}`wu2024scissorhands` takes {term}`SNIP` {cite}`lee2019snip`, the size of the weight times
# the sizes of the gradients:
#
# $$
# S^{\text{SalUn}} = \Bigl| \sum_b \frac{\partial L_b}{\partial W} \Bigr| , \qquad
# S^{\text{SNIP}} = |W| \sum_b \Bigl| \frac{\partial L_b}{\partial W} \Bigr| .
# $$ (eq-other-locators-scores)
#
# The first is what the loss would change by per unit of weight, the second to first order what it changes if the weight
# is set to zero. Both rank all weights of all layers together and take the highest.


# %% tags=["bare"]
def gradients_of(losses, weights):
    """The gradient of each loss, a dictionary for each."""
    found = []
    for loss in losses:
        at = {n: w.clone().requires_grad_() for n, w in weights.items()}
        parts = torch.autograd.grad(loss(at), list(at.values()))
        found.append(dict(zip(at, parts, strict=True)))
    return found


def salun(gradients):
    return {n: sum(g[n] for g in gradients).abs() for n in gradients[0]}


def snip(gradients, weights):
    sizes = {n: sum(g[n].abs() for g in gradients) for n in weights}
    return {n: weights[n].abs() * size for n, size in sizes.items()}


def highest_share(scores, share):
    """The highest scores of all layers together."""
    every = torch.cat([s.flatten() for s in scores.values()])
    least = every.topk(int(share * len(every))).values[-1]
    return {n: s >= least for n, s in scores.items()}


# %% [markdown]
# Eight pictures of a candle, drawn by the model itself, in two batches. The methods take more; for a look these will
# do.


# %% tags=["agrees"]
def scored(pipe, predictor, concept, seed):
    """Both scores by the package, from pictures and noise of a seed."""
    how = {"guidance": GUIDANCE, "seed": seed, "batch_size": 4}
    examples = concept_examples(pipe, concept, 8, seed=seed)
    sums = salun_scores(predictor, examples, **how)
    sizes = scissorhands_scores(predictor, examples, draws=2, **how)
    return examples, {"SalUn": sums, "SNIP": sizes}


shown, scores = scored(pipe, predictor, candle, RANDOM_SEED)

source = generator(RANDOM_SEED, NOISE)
batches = predictor.batches(shown, 4, source)
losses = list(predictor.summed_losses(batches, GUIDANCE))
weights = {n: w.float() for n, w in predictor.weights.items()}
found = gradients_of(losses, weights)
bare = {"SalUn": salun(found), "SNIP": snip(found, weights)}
for rule, ours in bare.items():
    theirs = scores[rule]
    for n in theirs:
        torch.testing.assert_close(ours[n], theirs[n], rtol=1e-4, atol=1e-6)
    chosen, package = highest_share(theirs, 0.003), top_masks(theirs, 0.003)
    assert all(torch.equal(chosen[n], package[n]) for n in theirs)
print("scores and masks: the same")

# %% [markdown]
# ## Apparent success
#
# How much should be taken? In their papers neither method zeroes what it finds: SalUn trains it, Scissorhands draws it
# anew and repairs. To attack zeros there must be zeros, so the experiment of the paper zeroes first, and how many is up
# to whoever does it. Ours were chosen on three other concepts: of those that kept at least 0.8 of the other things, the
# one that erased most; where none kept as much, the one that kept most. {numref}`fig-other-locators-budgets` has all
# that were tried.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-other-locators-budgets", "caption": "What zeroing the highest scores does, for different shares of all weights (of each row and layer for Forget-It-All): mean over three concepts, sixteen pictures each. Right is kept, low is erased; rings mark what was chosen."}, "image": {"alt": "A scatter of three colours. Forget-It-All's two points lie at the lower right: erased, and everything kept. SalUn's and Scissorhands' points fall from right of the middle to the lower left, where nothing is kept."}}
tried = published_json("pocket/budgets")
print(provenance_line(tried))
LOOKS = {
    "salun": ("SalUn", "original", "o"),
    "scissorhands": ("Scissorhands", "obfuscated", "s"),
    "forget-it-all": ("Forget-It-All", "revived", "^"),
}
fig, ax = plt.subplots(figsize=(5.6, 3.6))
for method, (label, state, mark) in LOOKS.items():
    mine = [r for r in tried["rows"] if r["method"] == method]
    xs, ys = ([r[k] for r in mine] for k in ("retained", "erased"))
    ax.plot(xs, ys, mark, color=PALETTE[state], label=label, markersize=8)
    for r in mine:
        at = (r["retained"], r["erased"])
        if r["budget"] == tried["chosen"][method]["budget"]:
            ax.plot(*at, "o", color="0.2", markersize=16, mfc="none")
        wide = r["layers"] == "all"
        told = f"{100 * r['budget']:g} %{'*' * wide}"
        left = wide or r["budget"] in (0.002, 0.003, 0.004, 0.005, 0.007)
        low = method == "scissorhands" and r["budget"] != 0.002
        shift = (-9 if left else 9, -9 if low else 3)
        side = {"ha": "right" if left else "left", "fontsize": 9}
        ax.annotate(told, at, shift, textcoords="offset points", **side)
ax.axvline(tried["least_retained"], color="0.3", linestyle="--", linewidth=1)
ax.set(xlabel="other things still drawn", ylabel="concept still drawn")
ax.set(xlim=(-0.17, 1.14), ylim=(-0.07, 0.65))
ax.legend(loc="upper left")
plt.show()
print("* convolutions too")

# %% [markdown]
# Three concepts with sixteen pictures each are few. But it is plain that {term}`Forget-It-All`
# {cite}`deng2026forgetitall`, which listens to activations as {term}`ConceptPrune` does, erases without harm, and that
# gradients leave little room: a share that erases much also breaks other things. With the convolutions included the
# smallest share broke everything.
#
# Now the attack on what each of them zeroes, for our candle.
#
# :::{admonition} Predict before you run
# The zeros of which method give back most: those of Forget-It-All, a tenth of the {term}`ff.net.2` weights, or those of
# SalUn, a few weights of every kind of layer?
# :::


# %%
everything = predictor.weights
chosen = {m: tried["chosen"][m]["budget"] for m in LOOKS}
located = {"ConceptPrune": dict(masks)}
for label, rule, method in (
    ("SalUn", "SalUn", "salun"),
    ("Scissorhands", "SNIP", "scissorhands"),
):
    located[label] = top_masks(scores[rule], chosen[method])
located["Forget-It-All"] = dict(
    cr.locate_forget_it_all(
        pipe, candle, skill_ratio=chosen["forget-it-all"], seed=RANDOM_SEED
    )
)

zeroed, completions = {}, {}
for label in ("ConceptPrune", "SalUn", "Forget-It-All"):
    found = cr.MaskSet(located[label])
    zeroed[label] = cr.prune({n: everything[n] for n in found}, found)
    completions[label] = cr.complete(zeroed[label], found)


# %%
def draw(pipe, weights, concept):
    """Four candles and four other things, from the same noise."""
    places = ("garden", "road", "street", "room")
    prompts = [f"a candle in a {p}" for p in places]
    prompts += [
        f"a {x} in a garden" for x in ("castle", "cat", "bus", "church")
    ]
    settings = concept.settings
    with cr.swapped(pipe, weights):
        return cr.generate(
            pipe,
            prompts,
            seed=RANDOM_SEED,
            steps=settings.steps,
            guidance=settings.guidance,
        )


sheets = {}
for label in ("SalUn", "Forget-It-All"):
    sheets[f"{label}, zeroed"] = draw(pipe, zeroed[label], candle)
    back = {n: revive_layer(c) for n, c in completions[label].items()}
    sheets[f"{label}, attacked"] = draw(pipe, back, candle)

# %% mystnb={"figure": {"name": "fig-other-locators-pictures", "caption": "Four candles above, a castle, a cat, a bus and a church below, from the same noise: with the weights zeroed that a method points at, and after the attack on these zeros. Move the slider or press Play."}}
slider_pictures(
    [tiled(sheet, columns=4, scale=2) for sheet in sheets.values()],
    list(sheets),
    "Four small pictures that should show a candle, and below them four that "
    "should show a castle, a cat, a bus and a church",
    control="weights",
)

# %% [markdown]
# In {numref}`fig-other-locators-pictures` most candles outlive SalUn's zeros, so there is little to bring back.
# Forget-It-All's zeros leave none, and spare what is below. But the attack gives hardly anything back, though
# {term}`top-k` and {term}`neuron max` did so from about as many zeros of ConceptPrune's in the same layers
# ([there](07_topk_neuron_max.ipynb)). Four candles are a look; two questions come of it. Do gradients point at the
# concept at all? And why do Forget-It-All's zeros not come back?
#
# ## The probe: is it the concept that they point at?
#
# A mask that erases a concept need not belong to it: whoever breaks the model erases everything. Two questions can be
# asked of the masks alone. Where do they lie? And how much of the mask comes back for the same concept with other
# pictures and noise, and how much for another concept?
#
# :::{admonition} Predict before you run
# The {term}`Jaccard index` of the masks for a candle and for a cat: for which method is it largest? And for which is it
# much smaller than that of two masks for a candle?
# :::

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-other-locators-where", "caption": "Where the located weights lie, by group of layers, and where all weights of linear layers do. \"Other\" are the layers that take in the time step, and the projections into and out of each transformer."}, "image": {"alt": "Five stacked bars. ConceptPrune and Forget-It-All lie wholly in the second feed-forward layers. SalUn lies mostly in other layers, Scissorhands in other layers and the first feed-forward ones. All linear weights are spread over feed-forward and attention layers, with few others."}}
GROUPS = {
    "ff.net.2": "pruned",
    "ff.net.0": "obfuscated_revived",
    "attention": "retained",
    "other": "original",
}
there = {n: torch.ones_like(w, dtype=bool) for n, w in everything.items()}
where = {
    label: densities(pipe, found)["share"]
    for label, found in {**located, "all linear": there}.items()
}
fig, ax = plt.subplots(figsize=(5.6, 2.7))
left = np.zeros(len(where))
for group, state in GROUPS.items():
    width = np.array([share[group] for share in where.values()])
    ax.barh(list(where), width, left=left, color=PALETTE[state], label=group)
    left += width
ax.invert_yaxis()
ax.set(xlabel="share of the weights", xlim=(0, 1))
ax.legend(ncols=4, loc="lower left", bbox_to_anchor=(-0.3, 1), frameon=False)
plt.show()


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-other-locators-share", "caption": "The same for the highest scores, whatever their share of all linear weights. The dashed marks are where all weights lie. Move both sliders."}}
def groups_figure(pipe, scores, where, score, share):
    """Where the highest scores of a share lie."""
    found = densities(pipe, top_masks(scores[score], share))["share"]
    fig, ax = plt.subplots(figsize=(5.6, 2.4))
    for y, (group, state) in enumerate(GROUPS.items()):
        ax.barh(y, found[group], color=PALETTE[state])
        line = where["all linear"][group]
        ax.plot((line, line), (y - 0.4, y + 0.4), "--", color="0.2")
    ax.set_yticks(range(len(GROUPS)), list(GROUPS))
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="share of the weights")
    ax.set_title(f"{score}: the highest {100 * share:g} %")
    return fig


explore(
    partial(groups_figure, pipe, scores, where),
    "Four bars, one for each group of layers: small shares lie mostly in other "
    "layers, larger ones come nearer to where all weights are",
    values={
        "score": ["SalUn", "SNIP"],
        "share": [0.001, 0.003, 0.01, 0.05, 0.2, 0.5],
    },
)


# %%
def jaccard(a, b):
    either = sum(int((a[n] | b[n]).sum()) for n in a)
    return sum(int((a[n] & b[n]).sum()) for n in a) / max(1, either)


def masks_of(pipe, predictor, concept, seed, chosen):
    """The masks of three locators."""
    _, found = scored(pipe, predictor, concept, seed)
    return {
        "ConceptPrune": dict(cr.locate(pipe, concept, seed=seed)),
        "SalUn": top_masks(found["SalUn"], chosen["salun"]),
        "Scissorhands": top_masks(found["SNIP"], chosen["scissorhands"]),
    }


# %%
of_cat = masks_of(pipe, predictor, cat, RANDOM_SEED, chosen)
again = masks_of(pipe, predictor, candle, RANDOM_SEED + 1, chosen)
rows = {}
for label in of_cat:
    mine = located[label]
    share = cr.MaskSet(mine).fraction
    inside = sum(int(mine[n].sum()) for n in masks)
    shared = sum(int((mine[n] & m).sum()) for n, m in masks.items())
    rows[label] = {
        "candle again": jaccard(mine, again[label]),
        "cat": jaccard(mine, of_cat[label]),
        "chance": share / (2 - share),
        "in ff.net.2": inside,
        "ConceptPrune's": shared / max(1, inside),
    }
counts = {n: int(m.sum()) for n, m in located["SalUn"].items()}
print("layers with most of SalUn's weights:")
for n in sorted(counts, key=counts.get, reverse=True)[:4]:
    print(f"  {n}: {counts[n]}")
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# The methods that listen to activations look in ff.net.2 alone, as they are told to. Free to look in every linear
# layer, gradients look elsewhere ({numref}`fig-other-locators-where`): nine tenths of SalUn's weights, and more than
# half of Scissorhands', lie in few layers through which every picture passes, the projections around the transformers
# and the embedding of time. For larger shares that fades ({numref}`fig-other-locators-share`), and the half of all
# weights that SalUn trains lies about everywhere. The few that they take from ff.net.2 are mostly ConceptPrune's, too.
#
# Whose are they? Every index is far above chance. Two masks of a candle, located from other pictures and noise, share
# more than half of what either holds with ConceptPrune, and about a fifth with gradients: eight pictures make a noisy
# gradient. The cat's mask shares less, and beside the candle's own less with gradients than with ConceptPrune. So each
# of these masks has a part that belongs to the concept, and a part that does not. How large these are for other pairs,
# one pair does not tell.
#
# ## The explanation: what a completion needs
#
# Whether zeros can be completed does not depend on who put them there, but on what is left around them. A
# {term}`matrix completion` ties the missing entries of a column to its surviving ones through the {term}`covariance` of
# the rows. For once we look at the original, as no attacker can: how many signs are right, and how much of its column
# does a pruned entry see missing?


# %%
def surroundings(mask):
    """For every pruned entry, which share of its column is pruned too."""
    parts = [m.float().mean(0).expand(m.shape)[m] for m in mask.values()]
    return torch.cat(parts)


rows = {}
for label, completed in completions.items():
    found = located[label]
    truth = {n: everything[n] for n in found}
    right, kept = cr.sign_accuracy(truth, completed)
    missing = surroundings(found)
    rows[label] = {
        "pruned": len(missing),
        "signs right": right,
        "of those kept": kept,
        "column missing": missing.mean().item(),
        "all of it": (missing == 1).float().mean().item(),
    }
pd.DataFrame(rows).T.round(2)


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-other-locators-columns", "caption": "Signs that the completion got right, by how much of a column is missing, for two masks of about the same size in the same layers. Bars: which share of the pruned entries is in such columns. A column that is missing wholly gives no sign, which counts as wrong. The dashed line is a coin."}, "image": {"alt": "Two panels, each with bars and a line that falls from 0.9 to a coin's half as more of the column is missing. ConceptPrune's entries are mostly in columns of which a half or less is missing; Forget-It-All's are mostly in columns that are nearly or wholly gone."}}
def by_column(original, completion, found):
    """Right signs, and entries, by tenths of the share missing; last, all."""
    bins = (surroundings(found) * 10).long()
    right = [
        original[n][m].sign() == completion[n].weight[m].sign()
        for n, m in found.items()
    ]
    count = torch.bincount(bins, minlength=11)
    hits = torch.bincount(bins, torch.cat(right).float(), minlength=11)
    return hits / count, count / count.sum()


fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.9), sharey=True)
at = np.arange(11)
for ax, label in zip(axes, ("ConceptPrune", "Forget-It-All"), strict=True):
    share, count = by_column(everything, completions[label], located[label])
    ax.bar(at, count, color=PALETTE["control"], alpha=0.5)
    seen = count > 0.001
    ax.plot(at[seen], share[seen], "o-", color=PALETTE["revived"])
    ax.axhline(0.5, color="0.3", linestyle="--", linewidth=1)
    ax.set_xticks([0, 5, 10], ["0 – 0.1", "half", "all"])
    ax.set(xlabel="of the column missing", title=label, ylim=(0, 1))
axes[0].set_ylabel("signs right; entries")
plt.show()

# %% [markdown]
# Both lines of {numref}`fig-other-locators-columns` are nearly the same: who located makes no difference. Where a tenth
# of the column is missing, nine signs in ten are right; where nearly all of it is, a coin does as well. The masks
# differ in where their entries are. ConceptPrune takes its share of every row, and spreads over columns. Forget-It-All
# wants weights that are high in their layer too, at many steps, and so empties columns. A quarter of its entries have
# no survivor in their column; the completion says nothing there, which counts as wrong.
#
# So taking whole columns leaves this attack less to work with. It is no proof that the concept is gone: what a column
# did may stand elsewhere, such as in the {term}`side information` that the package's attack can be given.
#
# ## The methods themselves leave no zeros
#
# Zeroing is the attacker's stand-in. As published, SalUn trains the located weights $m$ on a {term}`relabelling`:
# pictures of the concept $c$ are to be seen as if another prompt $c'$ had been given, while pictures of the rest keep
# their loss,
#
# $$
# \min_{m \odot \Delta} \; \bigl\lVert \varepsilon_{W + m \odot \Delta}(x_t, c) - \bar\varepsilon(x_t, c') \bigr\rVert^2 + \alpha
# L_{\text{rest}} ,
# $$ (eq-other-locators-relabel)
#
# where no gradient goes through $\bar\varepsilon$. Scissorhands draws the located weights anew and then lowers
# $L_{\text{rest}} - \lambda L_{\text{concept}}$ over all weights, turning a step aside where it would relearn the
# concept ({term}`gradient projection`). Both leave weights that look like weights. There is no {term}`scar` to read
# off, so the attack of this book cannot even begin; an attacker who *knows* what was located can zero it and then
# attack. The table below has the trained models themselves (*full*), and that.
#
# That they leave no zeros does not mean that they forget: others bring concepts back from trained models
# {cite}`suriyakumar2024unstable,lu2025when`.
#
# ## Twelve objects
#
# The repository zeroes what each locator finds for the paper's twelve objects and attacks that; four of these have
# {term}`controls <control>` of SalUn's size as well (anywhere; anywhere in the same layers; the largest weights) and the full methods.
# Differences are paired, picture by picture. For Stable Diffusion the paper has the attack bring back 0.69 from 0.21
# where SalUn's places were zeroed, and 0.66 from 0.21 where Scissorhands' were (from a single reading).


# %% tags=["hide-input"]
def shares(study):
    """Means over a row's concepts, and signs where there are any."""
    found = {}
    for recipe, mine in study.pooled.items():
        cells = [x.numbers for x in study.entries if x.recipe == recipe]
        signs = [c["sign_accuracy"] for c in cells if "sign_accuracy" in c]
        found[recipe] = {
            "objects": mine.concepts,
            "concept": mine.rates["erased"],
            "others": mine.rates["retained"],
            "signs right": np.mean(signs) if signs else np.nan,
        }
    return pd.DataFrame(found).T


study = measured("locators")
table = None if study is None else shares(study).round(2)
of_all = table if table is None else table[table.objects == table.objects.max()]
of_all

# %% [markdown]
# The controls and the full methods, four objects each, and all differences in words, are folded here.

# %% tags=["hide-cell"]
table if table is None else table.drop(of_all.index)


# %% tags=["hide-cell"]
def told(study, pairs):
    """Paired differences of two rows, in words."""
    for after, before, kind in pairs:
        one = pictures(after, before, kind)(study)
        if one is None:
            continue
        low, high = one.interval
        word = "more" if low > 0 else "fewer" if high < 0 else "not told apart"
        what = "concept" if kind == "erased" else "others"
        print(f"{after} − {before}, {what}:")
        print(f"  {one.difference:+.2f} [{low:+.2f}, {high:+.2f}]  {word}")


NAMES = ("ConceptPrune", "SalUn", "Scissorhands", "Forget-It-All")
PAIRS = [(f"{n} pruned", "original", k) for n in NAMES for k in ("erased",)]
PAIRS += [(f"{n} revived", f"{n} pruned", "erased") for n in NAMES]
PAIRS += [(f"{n} pruned", "original", "retained") for n in NAMES]
CONTROLS = ("random", "random per layer", "largest magnitudes")
PAIRS += [(f"{n} pruned", "SalUn pruned", "erased") for n in CONTROLS]
for full in ("SalUn full", "Scissorhands full"):
    PAIRS += [(full, "original", "erased"), (full, "original", "retained")]
    PAIRS += [(f"{full}, revived", f"{full}, pruned", "erased")]
if study is not None:
    told(study, PAIRS)

# %% [markdown]
# How to read the lines that are folded away. The first four say whether zeroing erases at all: where little was erased, little can come
# back. The next four are the attack's. *Others* is the price of the zeros. The controls ask whether as many weights
# somewhere else would have done the same. The intervals are those of the pictures of these objects.
#
# SalUn's zeros erase little at the one budget we tried that spares the rest, and no more of it comes back than chance
# would give. Scissorhands' zeros erase more, and most of it returns. Forget-It-All's erase nearly all, and hardly
# anything returns: the interval leaves open whether anything does. Its signs are little better than a coin's, as
# {numref}`fig-other-locators-columns` would have it.

# %% [markdown]
# ## Summary
#
# - Saliency asks how much the loss changes with a weight, SNIP how much it changes without it. Both look over all
#   linear layers, and find few that every picture passes through.
# - On the {term}`pocket model` there is little room between zeros that erase a concept and zeros that break the model;
#   activations leave more.
# - Masks of different concepts overlap far above chance, whatever the method; masks of the same concept overlap more.
# - A zero's sign is as hard to guess as its column is empty, whoever put it there.
# - Trained erasers leave no zeros. This attack cannot begin there; others can.

# %% [markdown]
# ## What could be wrong
#
# - **Eight pictures and two batches** for the live scores, against dozens and ten in the experiment. Masks from few
#   pictures vary more.
# - **The budgets are ours.** They were chosen by what is erased and kept on three concepts, never by what is revived;
#   with others the table is another.
# - **The pocket model has few weights**, and each does more. A share that is harmless in a large model can break a
#   small one.
# - **To first order.** Both scores speak of small changes of single weights; zeroing thousands at once is neither.
# - **Zeroing is not what the methods do.** What is revived here is what their *locators* point at.
# - **A Jaccard index of two concepts** is of these two, a candle and a cat.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: what cancels (●○○, 10 minutes)
#
# SalUn lets gradients of different batches cancel, SNIP does not. Write `cancelled(gradients)`: from a list of tensors
# of one shape, the share of $\sum_b |\partial L_b|$, over all entries, that is lost in $|\sum_b \partial L_b|$.
#
# :::{admonition} Hint
# :class: dropdown
# `torch.stack(gradients)` has the batches along its first axis.
# :::

# %%
cancelled = ...
check("other_locators.1", cancelled)


# %% tags=["solution", "hide-cell"]
def cancelled(gradients):
    together = torch.stack(gradients)
    kept = together.sum(0).abs().sum() / together.abs().sum()
    return 1 - kept.item()


parts = [
    torch.cat([g[n].flatten() for n in g])
    for g in gradients_of(losses, weights)
]
print(f"in our two batches: {cancelled(parts):.2f}")
check("other_locators.1", cancelled)

# %% [markdown]
# ### Exercise 2: more than by chance (●●○, 10 minutes)
#
# Two masks of the same layers hold shares $a$ and $b$ of all entries. If they had nothing to do with each other, they
# would share
# $ab$ of them. Write `lift(one, other)`, from two dictionaries of masks: how many times as many they really share.
#
# :::{admonition} Hint
# :class: dropdown
# Count entries, those in either mask, and those in both, over all layers together.
# :::

# %%
lift = ...
check("other_locators.2", lift)


# %% tags=["solution", "hide-cell"]
def lift(one, other):
    size = sum(m.numel() for m in one.values())
    a, b = (sum(int(m.sum()) for m in x.values()) for x in (one, other))
    both = sum(int((one[n] & other[n]).sum()) for n in one)
    return both * size / (a * b)


for label, other in of_cat.items():
    print(
        f"{label:<13} candle and cat: {lift(located[label], other):.0f} times"
    )
check("other_locators.2", lift)

# %% [markdown]
# ### Exercise 3: choose a budget (●●○, 10 minutes)
#
# Write `choose(rows, method, least)` for rows as in `tried["rows"]`: of a method's rows that retain at least `least`,
# the one that leaves the least of the concept, of equals the one with the smaller budget; where none retains as much, the
# one that retains most. Does it choose what was chosen?
#
# :::{admonition} Hint
# :class: dropdown
# `min(..., key=lambda row: (first, second))` compares pairs; an empty list is false.
# :::

# %%
choose = ...
check("other_locators.3", choose)


# %% tags=["solution", "hide-cell"]
def choose(rows, method, least):
    mine = [r for r in rows if r["method"] == method]
    fit = [r for r in mine if r["retained"] >= least]
    if not fit:
        return max(mine, key=lambda r: r["retained"])
    return min(fit, key=lambda r: (r["erased"], r["budget"]))


for method in tried["chosen"]:
    row = choose(tried["rows"], method, tried["least_retained"])
    print(method, {k: row[k] for k in ("layers", "budget")})
check("other_locators.3", choose)

# %% [markdown]
# ### Exercise 4: train what is located (●●○, 10 minutes)
#
# SalUn changes located weights alone. Write `masked_step(w, gradient, m, lr)`: one step of plain gradient descent on
# them, that leaves every other weight as it is, bit by bit, even where its gradient is not finite.
#
# :::{admonition} Hint
# :class: dropdown
# 0 times infinity is not 0. `torch.where` chooses without multiplying.
# :::

# %%
masked_step = ...
check("other_locators.4", masked_step)


# %% tags=["solution", "hide-cell"]
def masked_step(w, gradient, m, lr):
    return torch.where(m, w - lr * gradient, w)


check("other_locators.4", masked_step)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
