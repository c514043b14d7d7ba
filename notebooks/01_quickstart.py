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
# # Quickstart: is an erased concept gone?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/conceptrevive/conceptrevive/blob/main/notebooks/01_quickstart.ipynb)
#
# We take a small diffusion model, erase one concept by setting some of its weights to zero, and
# measure that the concept is gone. Then we ask what the zeros give away.
#
# | | |
# |---|---|
# | You need | Python; what a matrix and a singular value are |
# | You will be able to | erase, revive and defend a concept, and say how sure you are of each |
# | Time | 10 minutes to read, 5 to run on two CPU cores |
#
# The terms are explained in the
# [glossary](https://github.com/conceptrevive/conceptrevive/blob/main/book/glossary.md).

# %%
import importlib.util
import subprocess
import sys

# On Colab; what is installed there stays as it is.
if importlib.util.find_spec("conceptrevive") is None:
    source = "git+https://github.com/conceptrevive/conceptrevive"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", source], check=True
    )

# %%
import matplotlib.pyplot as plt
import torch

import conceptrevive as cr
from conceptrevive.figures import PALETTE, theme

plt.rcParams.update(theme())
SEED = 1000  # pictures are compared from the same initial noise
N = 24  # pictures to measure the erased concept by, in each condition

# %% [markdown]
# ## The model
#
# The *pocket model* comes with the package: Stable Diffusion in miniature, 64×64 pixels, with the
# same parts and a vocabulary of emoji. `load_pipeline` returns an ordinary diffusers pipeline; a
# folder or a hub name in place of `"pocket"` loads a full-size one.

# %%
pipe = cr.load_pipeline("pocket")
concept = cr.get_concept("candle")
settings = concept.settings  # how it is located and drawn

PROMPTS = [
    "a candle in a garden",
    "a candle in a road",
    "a candle in a street",
    "a candle in a beach",
    "a castle in a garden",
    "a bus in a road",
    "a cat in a room",
    "an umbrella in a garden",
]


# %% [markdown]
# The left half of each figure below asks for the concept that we are about to erase, the right
# half for concepts that should be *retained*.


# %%
def draw(conditions):
    """One row of pictures for each name and its weights, of the same seeds."""
    shape = (len(conditions), len(PROMPTS))
    size = (11, 1.55 * len(conditions))
    fig, axes = plt.subplots(*shape, figsize=size, squeeze=False)
    for row, (name, weights) in zip(axes, conditions.items(), strict=True):
        with cr.swapped(pipe, weights):
            images = cr.generate(
                pipe,
                PROMPTS,
                seed=SEED,
                steps=settings.steps,
                guidance=settings.guidance,
            )
        for ax, image in zip(row, images, strict=True):
            ax.imshow(image)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(name)
    for ax, prompt in zip(axes[0], PROMPTS, strict=True):
        ax.set_title(prompt.replace(" in ", "\nin "), fontsize=8)
    fig.tight_layout()
    plt.show()


original = cr.read_weights(pipe)
count = sum(w.numel() for w in original.values())
print(f"{len(original)} feed-forward layers, {count:,} candidate weights")

# %% [markdown]
# ## Erase
#
# `locate` draws the concept's *target prompts* ("a candle in a garden") and its *base prompts*
# ("a garden") and scores each weight of the feed-forward layers by $|W_{ij}|\,\lVert z_j\rVert$,
# its size times the norm of the activation it multiplies. Weights that score among the highest of
# their row for the target, and higher than for the base, form the *mask*. `prune` sets them to
# exactly zero.

# %%
masks = cr.locate(pipe, concept, seed=0)
pruned = cr.prune(original, masks)
print(f"pruned: {masks.fraction:.1%} of the candidate weights")

# %% mystnb={"image": {"alt": "Two rows of eight small pictures. The original model draws four candles and then a castle, a bus, a cat and an umbrella. In the row of the pruned model other things stand where the four candles were, among them a star, with at most a remnant of a candle; the other four objects remain, the cat blurred."}}
draw({"original": original, "pruned": pruned})

# %% [markdown]
# A few pictures prove little, so `evaluate` draws more, from seeds that `locate` did not use, and
# lets an image classifier, the *judge*, name what it sees. It returns two shares with their 95 %
# intervals: of pictures prompted for the erased concept, and of pictures prompted for all other
# concepts.

# %%
results = {}


def measure(name, weights):
    """Judge the pipeline with these weights, keep the result and print it."""
    with cr.swapped(pipe, weights):
        results[name] = cr.evaluate(pipe, concept, n=N, seed=SEED)
    for part in ("erased", "retained"):
        rate = getattr(results[name], part)
        low, high = rate.interval
        interval = f"[{low:.2f}, {high:.2f}]"
        print(
            f"{name:>10}  {part:<8}  {rate.value:.2f}  {interval}  n = {rate.n}"
        )


measure("original", original)
measure("pruned", pruned)

# %% [markdown]
# By the usual measures this is a success: the concept's accuracy has collapsed, the others' has
# not, and no training was needed. Someone who publishes the pruned checkpoint could stop here.

# %% [markdown]
# ## Look at the checkpoint instead of the pictures
#
# The pictures say what the model *draws*. What does it still *hold*? Give the pruned weights, and
# nothing else, to someone who wants the concept back. Trained weights are hardly ever exactly
# zero, so they can read off where the concept was. `revive` then
#
# 1. fills each zero in from the weights around it (*matrix completion*),
# 2. keeps only the **sign** of the filled-in values, for the 60 % it is surest of (*top-k*),
# 3. gives every kept sign the largest weight of its own row (*neuron max*).

# %%
revived = cr.revive(pruned)  # no data, no prompts, no training, no original

# %% mystnb={"image": {"alt": "Three rows of eight small pictures for the original, the pruned and the revived model. Of the four candles that the pruned row lacks, one can be seen again in the revived row; scenes and the other four objects look more like the original's again."}}
draw({"original": original, "pruned": pruned, "revived": revived})

# %%
measure("revived", revived)

# %% [markdown]
# The concept was not gone. Not every picture shows it again, but far more do than after pruning:
# what had been removed was a part of it, and the part that was left was enough to find some of
# the rest.

# %% [markdown]
# ## Is it the signs?
#
# Is it really the signs, or does any large value in these places bring the concept back? Keep
# every position and every magnitude of the revived weights, and toss a coin for each sign.

# %%
coin = torch.Generator().manual_seed(SEED)


def toss(name):
    """The revived weight with a random sign at each pruned position."""
    zeros = pruned[name] == 0
    heads = torch.randint(0, 2, zeros.shape, generator=coin).bool()
    turned = torch.where(heads, revived[name], -revived[name])
    return torch.where(zeros, turned, revived[name])


random_signs = {name: toss(name) for name in pruned}
measure("coin signs", random_signs)

# %% [markdown]
# For once we look at the original weights, to see how many signs the completion got right. The
# attacker cannot do this, and need not.

# %%
agreement = []
for name in pruned:
    kept = (pruned[name] == 0) & (revived[name] != 0)
    if kept.any():
        right = revived[name][kept].sign() == original[name][kept].sign()
        agreement.append(right.float().mean().item())
mean = sum(agreement) / len(agreement)
print(f"signs kept by the attack that are right: {mean:.2f}, mean over layers")

# %% mystnb={"image": {"alt": "Bar chart with one bar per feed-forward layer: the share of kept signs that equal the original ones. A dashed line at 0.5 marks what a coin would score."}}
fig, ax = plt.subplots(figsize=(8, 2.6))
ax.bar(range(1, len(agreement) + 1), agreement, color=PALETTE["control"])
ax.axhline(0.5, color="black", linestyle="--", linewidth=1)
ax.annotate("a coin", (0.2, 0.5), xytext=(0, 3), textcoords="offset points")
ax.set(
    xlabel="feed-forward layer, in the order of the UNet",
    ylabel="sign accuracy of kept signs",
    ylim=(0, 1),
)
plt.show()

# %% [markdown]
# The rows of a trained weight are not independent of one another. A column's missing entries are
# tied to its surviving ones through all the other columns, and that tie is enough to guess their
# signs better than a coin. A wrong magnitude makes a neuron's contribution too strong or too
# weak; a wrong sign turns it around.

# %% [markdown]
# ## Defend
#
# The attack begins with the zeros, so leave none. `obfuscate` fills the pruned positions with
# Gaussian noise, here with a quarter of the standard deviation of the layer's other weights. The
# attacker must now guess the positions, and we tell them even how many there are: they take the
# smallest weights of each row.
#
# The seed is here so that this page repeats. **Give none for a model that you give away:**
# whoever tries your seed draws the same noise, and finds it
# (`conceptrevive.revival.positions.redrawn_positions`).

# %%
hidden = cr.obfuscate(original, masks, sigma=0.25, relative=True, seed=0)
attacked = cr.revive(hidden, cr.guess_masks(hidden, masks.fraction))

found = total = 0
for name, guess in cr.guess_masks(hidden, masks.fraction).items():
    zeros = pruned[name] == 0
    found += int((guess & zeros).sum())
    total += int(zeros.sum())
print(f"pruned positions among the guesses: {found / total:.1%}")

# %% mystnb={"image": {"alt": "Three rows of eight small pictures for the pruned model, the obfuscated model, and the obfuscated model after the attack. Candles are asked for in the left half of each row, and none is drawn whole."}}
draw({"pruned": pruned, "obfuscated": hidden, "attacked": attacked})

# %%
measure("obfuscated", hidden)
measure("attacked", attacked)

# %% mystnb={"image": {"alt": "Dot plot of erased and retained top-1 accuracy with 95 percent intervals for each condition: original, pruned, revived, coin signs, obfuscated and attacked."}}
fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
for ax, part in zip(axes, ("erased", "retained"), strict=True):
    for y, result in enumerate(results.values()):
        rate = getattr(result, part)
        ax.plot(rate.interval, (y, y), color="0.6", linewidth=3)
        ax.plot(rate.value, y, "o", color="black")
    ax.set(xlim=(-0.03, 1.03), xlabel=f"{part} top-1")
    ax.set(yticks=range(len(results)), yticklabels=results)
    ax.grid(axis="x")
axes[0].invert_yaxis()
fig.tight_layout()
plt.show()

# %% [markdown]
# ## What this does not show
#
# - **Two dozen pictures are few.** Read the intervals, not the dots.
# - **One concept is one concept.** How much comes back differs between concepts. Of those that
#   pruning erases, this one's revival is nearest the median; other concepts withstand the pruning
#   and are hardly erased at all. The [model
#   card](https://github.com/conceptrevive/conceptrevive/blob/main/book/model-card.md) has them
#   all.
# - **The pocket model is small.** Its world has a few dozen objects; it shows the mechanism. The
#   paper's numbers for Stable Diffusion are its own.
# - **The defence is tested against one guess**, which finds some of the positions, too few here to
#   bring the concept back. A better way to find the noise among the weights would weaken it. A
#   failed attack is no proof that the concept is gone.
# - **The original is out of play.** Where the model before pruning is public, nothing needs to be
#   revived: its weights can be copied back. Hiding the scar protects only what nobody else has.
# - **Erasing is not free.** Compare the pictures of the other objects, too, not only their
#   accuracy.
#
# ### Exercises
#
# 1. (●○○, 5 minutes) Which share of signs is best kept? Run `cr.revive(pruned, top_k=...)` for
#    0.2, 0.6 and 1.0.
# 2. (●●○, 10 minutes) Double and halve `sigma`. What happens to the share of positions found, and
#    to the pictures?
#
# <details><summary>A way to begin with the first</summary>
#
# ```python
# for share in (0.2, 0.6, 1.0):
#     measure(f"top {share}", cr.revive(pruned, top_k=share))
# ```
#
# With 0.2 much of the concept stays zero; with 1.0 the least certain signs, many of them wrong,
# are made as large as the rest.
# </details>

# %%
from importlib.metadata import version

for name in ("conceptrevive", "torch", "diffusers", "transformers"):
    print(name, version(name))
