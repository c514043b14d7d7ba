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
# # Erase, revive and defend in five minutes
#
# A small {term}`diffusion model` is made to forget candles, without training: some of its weights
# are set to zero. The pictures say that it worked. Is the candle gone?
#
# - **You will be able to** erase a {term}`concept` from a model, bring it back from the erased model alone,
#   hide where it was, and say how sure you are of each step.
# - **Prerequisites:** Python; what a matrix is. Terms are explained in the
#   [glossary](../book/glossary.md).
# - **Time:** 15 minutes to read, 3 minutes to run, 25 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %%
import torch

import conceptrevive as cr
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import slider_pictures, tiled
from conceptrevive.teaching.plots import show_differences, show_rates, use_theme
from conceptrevive.teaching.published import provenance_line, published_json
from conceptrevive.teaching.versions import versions

use_theme()
RANDOM_SEED = 0
N, OTHERS = 16, 6  # pictures of the concept and of others, per set of weights

# %% [markdown]
# ## A model and a concept
#
# The {term}`pocket model` comes with the package: Stable Diffusion {cite}`rombach2022ldm` in
# miniature, with the same parts, 64×64 pixels, and a world of emoji. `load_pipeline` returns an
# ordinary pipeline of the library diffusers; a folder or a hub name in place of `"pocket"` loads a
# full-size one.

# %%
pipe = cr.load_pipeline("pocket")
candle = cr.get_concept("candle")
original = cr.read_weights(pipe)

count = sum(weight.numel() for weight in original.values())
print(f"{len(original)} layers, {count:,} weights that may be pruned")
print("with the concept: ", *candle.target_prompts[:3], sep="\n  ")
print("without it:       ", *candle.base_prompts[:3], sep="\n  ")


# %% [markdown]
# ## Erase
#
# The second linear layer of each feed-forward block, {term}`ff.net.2`, has a matrix $W$ with one
# row per {term}`neuron`. {term}`ConceptPrune` {cite}`chavhan2025conceptprune` draws the
# {term}`target prompts <target prompt>` ("a candle in a garden") and the
# {term}`base prompts <base prompt>` ("a garden"), and gives each weight a
# {term}`Wanda score` {cite}`sun2024wanda`: its size times the norm of what it multiplies,
#
# $$
# S_{ij} = |W_{ij}| \, \lVert z_j \rVert_2 .
# $$ (eq-quickstart-wanda)
#
# Weights whose score is among the highest of their row for target prompts, and higher than for
# base prompts, form the {term}`mask`. `prune` sets them to exactly zero.

# %%
masks = cr.locate(pipe, candle, seed=RANDOM_SEED)
pruned = cr.prune(original, masks)
print(f"pruned: {masks.fraction:.1%} of the candidate weights")

# %% [markdown]
# To see what that does, we draw the same prompts from the same noise before and after; then an
# image classifier, the {term}`judge`, names what it sees in other pictures, drawn from other noise
# and other prompts.

# %%
PROMPTS = ["a candle in a garden", "a candle in a street"]
PROMPTS += ["a castle in a garden", "a cat in a room"]
SETTINGS = candle.settings


def draw(model, weights):
    """One sheet of pictures of `PROMPTS`, four from the same noise."""
    with cr.swapped(model, weights):
        pictures = cr.generate(
            model,
            PROMPTS,
            seed=RANDOM_SEED,
            steps=SETTINGS.steps,
            guidance=SETTINGS.guidance,
        )
    return tiled(pictures, columns=2, scale=2)


def measure(model, concept, weights):
    """Judge pictures drawn with these weights; print two shares."""
    with cr.swapped(model, weights):
        found = cr.evaluate(
            model, concept, n=N, retained=OTHERS, seed=RANDOM_SEED
        )
    print("erased:  ", found.erased)
    print("retained:", found.retained)
    return found


# %% [markdown]
# :::{admonition} Predict before you run
# A tenth of the weights is gone. Which of the two shares below will fall: that of the
# {term}`erased concept`, that of the {term}`retained concepts <retained concept>`, or both?
# :::

# %%
sheets = {"original": draw(pipe, original), "pruned": draw(pipe, pruned)}
print("original")
before = measure(pipe, candle, original)
print("pruned")
after = measure(pipe, candle, pruned)

# %% [markdown]
# By the usual measures this is a success: candles are hardly drawn any more, other things are.
# The numbers in brackets are 95 % {term}`Wilson intervals <Wilson interval>`
# {cite}`wilson1927interval`; with so few pictures they are wide. Someone who publishes the pruned
# {term}`checkpoint` could stop here.

# %% [markdown]
# ## A probe: look at the weights, not at the pictures
#
# Give the pruned weights, and nothing else, to someone who wants the candle back. Trained weights
# are hardly ever exactly zero, so the zeros are a {term}`scar`: they tell where the concept was.
# The attack of {cite:t}`zhang2026roots` works on each layer in three steps.
#
# 1. {term}`Matrix completion` fills each zero in from the weights around it; call the result $M$.
# 2. Only the **signs** of $M$ are kept, for the 60 % of largest $|M_{ij}|$ ({term}`top-k`).
# 3. Each kept sign gets the largest weight that survived in its row ({term}`neuron max`):
#
# $$
# \hat W_{ij} = \operatorname{sign}(M_{ij}) \, \max_{k \text{ survived}} |W_{ik}| .
# $$ (eq-quickstart-revive)
#
# In its barest form, steps 2 and 3 are five lines. Change them and see what happens below.


# %% tags=["bare"]
def revive_barely(completed, mask, top_k=0.6):
    """Large signs in pruned places, as in the equation above."""
    sizes = completed.abs()[mask]
    least = sizes.sort().values[-round(top_k * len(sizes))]
    kept = mask & (completed.abs() >= least)
    survived = completed.masked_fill(mask, 0).abs()
    largest = survived.amax(1, keepdim=True)
    signs = completed.sign() * kept
    return torch.where(mask, signs * largest, completed)


# %% [markdown]
# The package's `complete` does step 1, and its `revive` all three. It agrees with the bare form,
# weight for weight.

# %% tags=["agrees"]
completions = cr.complete(pruned)
revived = cr.revive(pruned)  # no data, no training, no original

for name, completion in completions.items():
    bare = revive_barely(completion.unrounded, completion.mask)
    assert torch.equal(bare.to(revived[name].dtype), revived[name])
print(f"the same in all {len(completions)} layers")

# %% [markdown]
# :::{admonition} Predict before you run
# The attack has seen no picture, no prompt and no original weight. How many of the 16 candles will
# the judge see: none, some, nearly all?
# :::

# %%
sheets["revived"] = draw(pipe, revived)
back = measure(pipe, candle, revived)

gain = cr.paired_difference(back.erased_outcomes, after.erased_outcomes)
print(
    f"revived − pruned: {gain[0]:+.2f} [{gain[1][0]:+.2f}, {gain[1][1]:+.2f}]"
)

# %% [markdown]
# Both models drew the same prompts from the same noise ({term}`paired seeds`), so their difference
# can be told more closely than either share; its interval is Agresti and Min's
# {cite}`agresti2005paired`. Sixteen pairs leave it wide. The package's repository has the same experiment
# with more pictures; a published result is read by its name and says how it was measured.

# %%
table = published_json("pocket/phenomenon")
row = table["concepts"]["candle"]
for name in ("original", "pruned", "revived", "random_signs"):
    print(f"{name:<12}  {row[name]:.2f}")
for name in ("revived", "random_signs"):
    value, (low, high) = row[f"{name}_minus_pruned"]
    print(f"{name} − pruned: {value:+.2f} [{low:+.2f}, {high:+.2f}]")
print(provenance_line(table))

# %% [markdown]
# Not every candle is back, but some are: what pruning removed was a part of what draws a candle, and
# what was left is enough to find some of the rest.
#
# ## The explanation: signs
#
# Is it really the signs, or does any large value in these places help? Keep every position and
# every size of the revived weights, and toss a coin for each sign.

# %%
coin = torch.Generator().manual_seed(RANDOM_SEED)
tossed = {}
for name, weight in revived.items():
    zeros = pruned[name] == 0
    sign = 1 - 2 * torch.randint(0, 2, weight.shape, generator=coin)
    tossed[name] = torch.where(zeros, sign.to(weight.dtype) * weight, weight)

sheets["coin signs"] = draw(pipe, tossed)
by_coin = measure(pipe, candle, tossed)

# %% [markdown]
# Sixteen pictures leave much open here, too. Of the fifty that were published (`random_signs` above),
# coins cannot be told from pruning, and the attack can.
#
# For once we look at the original, as the attacker cannot: how many signs did the completion get
# right?

# %%
everywhere, kept = cr.sign_accuracy(original, completions)
print(f"signs right: {everywhere:.2f} of all, {kept:.2f} of those kept")

# %% [markdown]
# A coin would score 0.5 ({term}`sign accuracy`). The rows of a trained matrix are not independent: a
# column's missing entries are tied to its surviving ones through all the other columns, and the tie
# is enough to guess most signs. A wrong size makes a neuron's contribution too strong or too weak;
# a wrong sign turns it around.
#
# ## Defend
#
# The attack begins with the zeros, so leave none. {term}`Obfuscation <obfuscation>` fills the pruned
# places with Gaussian noise, here of a quarter of the {term}`standard deviation <sigma_U>` of the
# layer's other weights. The attacker must now guess the places. We even tell them how many there are;
# they take the smallest weights of each row.
#
# The seed is here so that this page repeats. **Give none for a model that you give away:** whoever
# tries your seed draws the same noise, and finds it.

# %%
hidden = cr.obfuscate(original, masks, sigma=0.25, seed=RANDOM_SEED)
guess = cr.guess_masks(hidden, masks.fraction)
attacked = cr.revive(hidden, guess)

hits = sum(int((guess[n] & (pruned[n] == 0)).sum()) for n in pruned)
total = sum(int((pruned[n] == 0).sum()) for n in pruned)
print(f"pruned places among the guesses: {hits / total:.1%}")

sheets["obfuscated"] = draw(pipe, hidden)
sheets["attacked"] = draw(pipe, attacked)
print("obfuscated")
filled = measure(pipe, candle, hidden)
print("attacked")
again = measure(pipe, candle, attacked)

# %% [markdown]
# {numref}`fig-quickstart-sheets` has the pictures of all six sets of weights, and
# {numref}`fig-quickstart-rates` the shares.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-quickstart-sheets", "caption": "The same four prompts from the same noise, under six sets of weights. Move the slider or press Play."}}
slider_pictures(
    list(sheets.values()),
    list(sheets),
    "Four pictures: a candle in a garden and in a street above, a castle and "
    "a cat below, as far as these weights draw them",
    control="weights",
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-quickstart-rates", "caption": "Top-1 accuracy on pictures of the erased concept, with 95 % Wilson intervals."}, "image": {"alt": "Six rows with a dot and a bar each: how often the judge sees a candle under the original, pruned, revived, coin-signed, obfuscated and attacked weights. The original is far right, the pruned and the obfuscated ones are far left, the revived one lies between."}}
found = {
    "original": before,
    "pruned": after,
    "revived": back,
    "coin signs": by_coin,
    "obfuscated": filled,
    "attacked": again,
}
_ = show_rates({k: v.erased for k, v in found.items()}, label="erased top-1")

# %% [markdown]
# Shares of overlapping intervals can still differ. {numref}`fig-quickstart-differences` compares each
# set of weights with the pruned ones, picture by picture.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-quickstart-differences", "caption": "Erased top-1 minus the pruned model's, paired by prompt and noise, with 95 % intervals. An interval that crosses the dashed line leaves open whether there is a difference."}, "image": {"alt": "Four rows with a dot and a bar each, relative to a dashed line at zero: revived, coin signs, obfuscated and attacked weights against the pruned ones."}}
gains = {
    name: cr.paired_difference(one.erased_outcomes, after.erased_outcomes)
    for name, one in found.items()
    if name not in ("original", "pruned")
}
_ = show_differences(gains, label="difference from pruned")

# %% [markdown]
# ## Summary
#
# - Pruning a tenth of the candidate weights made candles rare. Most of the few other pictures were
#   still what was asked for.
# - The zeros told where the candle had been. Signs guessed from the surviving weights brought some
#   candles back; the same places and sizes with random signs are the {term}`control`.
# - Noise in place of zeros leaves no zeros to read off. An attacker who guesses the smallest weights
#   finds only some of the places.

# %% [markdown]
# ## What could be wrong
#
# - **Sixteen pictures are few.** Read the intervals, not the dots.
# - **One concept is one concept.** How much comes back differs: of those that pruning erases, this
#   one's {term}`revival` is nearest the median. The [model card](../book/model-card.md) has them all.
# - **The pocket model is small.** It shows the mechanism. The paper's numbers for Stable Diffusion
#   are its own.
# - **The defence met one guess.** A better way to find the noise would weaken it, and a failed attack
#   is no proof that a concept is gone.
# - **The original is out of play.** Where the model before pruning is public, its weights can be
#   copied back.
# - **Others attack otherwise.** A little training can bring back what was erased
#   {cite}`suriyakumar2024unstable,liu2025dormant`, whether or not there are zeros.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: how much of a matrix is gone? (●○○, 5 minutes)
#
# Which share of the layer below was pruned? Use `pruned` only.
#
# :::{admonition} Hint
# :class: dropdown
# A comparison with zero gives a tensor of true and false; its mean is a share.
# :::

# %%
LAYER = min(pruned)
share = ...
check("quickstart.1", share, pruned[LAYER])

# %% tags=["solution", "hide-cell"]
share = (pruned[LAYER] == 0).float().mean()
check("quickstart.1", share, pruned[LAYER])

# %% [markdown]
# ### Exercise 2: the surest signs (●●○, 10 minutes)
#
# Of the signs in this layer, the tenth that the completion is surest of has a higher share of right
# ones than all of them together. How much higher? Give the difference of the two shares.
#
# :::{admonition} Hint
# :class: dropdown
# `cr.sign_accuracy(original, {LAYER: completions[LAYER]}, top_k=...)` returns both shares.
# :::

# %%
difference = ...
check("quickstart.2", difference, original[LAYER], completions[LAYER])

# %% tags=["solution", "hide-cell"]
one = {LAYER: completions[LAYER]}
every, surest = cr.sign_accuracy(original, one, top_k=0.1)
difference = surest - every
check("quickstart.2", difference, original[LAYER], completions[LAYER])

# %% [markdown]
# ### Exercise 3: louder noise (●●○, 10 minutes)
#
# Write `found_share(weight, place, sigma)`: obfuscate one matrix at the places of a mask, with noise of
# `sigma` times the standard deviation of its other weights; let the attacker guess as many places as
# there are; return which share of the true places they find. Does louder noise hide the places better?
# Explain it to yourself before you run it.
#
# :::{admonition} Hint
# :class: dropdown
# The cells under "Defend" do it for all layers. Pass dictionaries with one entry, such as
# `{"layer": weight}` and `{"layer": place}`.
# :::

# %%
found_share = ...
check("quickstart.3", found_share, original[LAYER], pruned[LAYER] == 0)


# %% tags=["solution", "hide-cell"]
def found_share(weight, place, sigma):
    """Share of the places that an attacker guesses."""
    noisy = cr.obfuscate(
        {"layer": weight}, {"layer": place}, sigma=sigma, seed=RANDOM_SEED
    )
    taken = cr.guess_masks(noisy, float(place.float().mean()))["layer"]
    return float((taken & place).sum() / place.sum())


check("quickstart.3", found_share, original[LAYER], pruned[LAYER] == 0)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
