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
# # Completing a matrix
#
# A pruned weight matrix has holes. The attack fills them, and keeps nothing of what it filled in but
# the signs. What does the filling assume, what does the paper's loop really compute, and on which
# matrices is it no better than a coin?
#
# - **You will be able to** complete a matrix in ten lines, say what a solver assumes, and break it.
# - **Prerequisites:** {term}`singular values <singular value>`; what a {term}`covariance` is;
#   [the first chapter](01_quickstart.ipynb), where the attack is seen as a whole.
# - **Time:** 35 minutes to read, 1 minute to run, 45 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %% tags=["hide-input"]
import warnings

import matplotlib.pyplot as plt
import pandas as pd
import torch
from scipy.stats import t as student

import conceptrevive as cr
from conceptrevive.figures import PALETTE
from conceptrevive.revival.completion.prior import expected_value
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import explore, slider_pictures
from conceptrevive.teaching.plots import use_theme
from conceptrevive.teaching.published import provenance_line, published_json
from conceptrevive.teaching.versions import versions

use_theme()
RANDOM_SEED = 0

# %% [markdown]
# ## A layer with holes
#
# We prune the candle from the {term}`pocket model` and keep the original beside it, to count right
# signs with. No solver below ever sees the original.

# %%
pipe = cr.load_pipeline("pocket")
original = {n: w.double() for n, w in cr.read_weights(pipe).items()}
masks = cr.locate(pipe, cr.get_concept("candle"), seed=RANDOM_SEED)
pruned = cr.prune(original, masks)

name = next(iter(masks))  # the first layer; the others come later
W, Z, missing = original[name], pruned[name], masks[name]
print(name)
print(f"{W.shape[0]}×{W.shape[1]}, {missing.double().mean():.1%} missing")


def sign_share(estimate, truth, missing):
    """Sign accuracy: the share of missing entries with the right sign."""
    right = estimate.sign() == truth.sign()
    return right[missing].double().mean().item()


# %% [markdown]
# ## The smallest hole
#
# One entry of a 2×2 matrix is missing:
#
# $$
# X = \begin{pmatrix} 1 & 2 \\ 2 & x \end{pmatrix}
# $$ (eq-completing-a-matrix-smallest)
#
# With $x = 4$ the rows are multiples of each other: the matrix has rank 1, and nothing is simpler. But
# rank jumps, and no descent can follow it. So one minimises its convex relative
# {cite}`recht2010minimum`, the {term}`nuclear norm`, which is the sum of the singular values:
#
# $$
# \lVert X \rVert_* = \sum_i \sigma_i(X)
# $$ (eq-completing-a-matrix-nuclear)
#
# :::{admonition} Predict before you run
# Where is the nuclear norm of {eq}`eq-completing-a-matrix-smallest` least: at 4, above it, or below
# it?
# :::

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-completing-a-matrix-smallest", "caption": "The nuclear norm of the 2×2 matrix against its missing entry. It is not least where the rank is 1."}, "image": {"alt": "Curve of the nuclear norm over x from -2 to 6, falling to its minimum at x = 1 and rising from there, with a kink at x = 4, where the matrix has rank 1."}}
grid = torch.linspace(-2, 6, 161).double()
family = torch.tensor([[1.0, 2.0], [2.0, 0.0]]).double().repeat(161, 1, 1)
family[:, 1, 1] = grid
norms = torch.linalg.svdvals(family).sum(1)
best = norms.argmin()
print(f"least at x = {grid[best]:.2f}")

fig, ax = plt.subplots(figsize=(5.6, 2.3))
ax.plot(grid, norms, color=PALETTE["original"])
for i, text in ((best, "least"), ((grid - 4).abs().argmin(), "rank 1")):
    ax.plot(grid[i], norms[i], "o", color="black")
    place = {"xytext": (-45, 8), "textcoords": "offset points"}
    ax.annotate(text, (grid[i], norms[i]), **place)
ax.set(xlabel="missing entry x", ylabel="nuclear norm")
plt.show()

# %% [markdown]
# The minimum in {numref}`fig-completing-a-matrix-smallest` has the **right sign and too small a size**.
# That is this chapter in one curve: small singular values are cheap, so what is missing is pulled
# towards zero. Keep it in mind when the attack throws the sizes away.
#
# ## The loop
#
# The paper {cite}`zhang2026roots` completes each matrix by {term}`SoftImpute`
# {cite}`mazumder2010softimpute`, which minimises
#
# $$
# \tfrac12 \lVert P_\Omega(X - Z) \rVert_F^2 + \lambda \lVert X \rVert_* ,
# $$ (eq-completing-a-matrix-objective)
#
# $P_\Omega$ keeping the surviving entries of the pruned matrix $Z$. It repeats one step: shrink the
# singular values, put the surviving entries back.
#
# $$
# S_\lambda(X) = U \operatorname{diag}\bigl((\sigma_i - \lambda)_+\bigr) V^\top, \qquad
# X \leftarrow P_\Omega(Z) + P_{\bar\Omega}\bigl(S_\lambda(X)\bigr)
# $$ (eq-completing-a-matrix-step)
#
# The released code starts each missing entry at the mean of its column and takes for $\lambda$ the
# *smallest singular value of the present iterate*. Below is all of it, to be changed at will; the
# package's solver `paper` takes the same sweeps, with eigenvectors of $XX^\top$, which is faster.


# %% tags=["bare", "agrees"]
def shrink(x, threshold):
    u, sigma, vt = torch.linalg.svd(x, full_matrices=False)
    return (u * (sigma - threshold).clamp_min(0)) @ vt


def soft_impute(z, missing, sweeps):
    """The start, and the iterate after every sweep."""
    x = torch.where(missing, z.sum(0) / (~missing).sum(0), z)
    iterates = [x]
    for _ in range(sweeps):
        threshold = torch.linalg.svdvals(x)[-1]
        x = torch.where(missing, shrink(x, threshold), z)
        iterates.append(x)
    return iterates


path = soft_impute(Z, missing, 60)
for n in (1, 2, 5, 20):
    ours = cr.complete_matrix(Z, missing, solver="paper", max_iterations=n)
    assert torch.allclose(ours.weight, path[n], atol=1e-9)
print("the package's sweeps are these")

# %% [markdown]
# Watch it on a matrix whose structure the eye can see, two waves multiplied and added, with a little
# noise and 30 % of its entries missing ({numref}`fig-completing-a-matrix-sweeps`).


# %% tags=["hide-input"]
def waves(noise, seed, rows=20, columns=60, share=0.3):
    """A rank-2 pattern of size 1 plus noise, and where entries are missing."""
    rng = torch.Generator().manual_seed(seed)
    down = torch.linspace(0, 1, rows).double()[:, None]
    across = torch.linspace(0, 1, columns).double()
    x = torch.sin(6.3 * down) * torch.cos(9 * across)
    x = x + torch.cos(3 * down) * torch.sin(14 * across)
    x = x / x.std()
    x = x + noise * torch.randn(rows, columns, generator=rng).double()
    return x / x.std(), torch.rand(rows, columns, generator=rng) < share


def frame(truth, estimate, missing, title):
    """The truth above, the estimate below; NaN is grey."""
    fig, axes = plt.subplots(2, 1, figsize=(5.2, 2.7))
    colours = plt.get_cmap("PuOr").with_extremes(bad="0.55")
    scale = {"cmap": colours, "vmin": -2.5, "vmax": 2.5}
    for ax, value in zip(axes, (truth, estimate), strict=True):
        ax.imshow(value, aspect="auto", **scale)
        ax.set(xticks=[], yticks=[])
    axes[0].set_title("the matrix", loc="left")
    if not estimate.isnan().any():
        share = sign_share(estimate, truth, missing)
        title = f"{title}: {share:.0%} of missing signs right"
    axes[1].set_title(title, loc="left")
    return fig


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-completing-a-matrix-sweeps", "caption": "A matrix completed sweep by sweep. Above: the matrix. Below: what is left of it, then the loop's iterates. Purple entries are positive, orange ones negative, grey ones missing. Move the slider or press Play."}}
truth, holes = waves(0.1, RANDOM_SEED)
iterates = soft_impute(truth.masked_fill(holes, 0), holes, 100)
shown = (0, 1, 2, 5, 10, 20, 50, 100)
left = frame(truth, truth.masked_fill(holes, torch.nan), holes, "what is left")
frames = [frame(truth, iterates[n], holes, f"sweep {n}") for n in shown]
slider_pictures(
    [left, *frames],
    ["none", *shown],
    "A pattern of waves above, and below it the same pattern with holes that "
    "fill up from sweep to sweep",
    control="sweep",
)

# %% [markdown]
# ## What the loop computes
#
# Since $\lambda$ is the smallest singular value $\sigma_{\min}$, the $(\cdot)_+$ of
# {eq}`eq-completing-a-matrix-step` cuts nothing off. A sweep only subtracts:
#
# $$
# S_{\sigma_{\min}}(X) = X - \sigma_{\min} U V^\top, \qquad
# U V^\top = (X X^\top)^{-1/2} X = \nabla \lVert X \rVert_*
# $$ (eq-completing-a-matrix-polar)
#
# The last equality holds wherever $X$ has full rank {cite}`watson1992subdifferential`. So a sweep is a
# step of length $\sigma_{\min}$ down the gradient of the nuclear norm, on the missing entries alone:
# *projected gradient descent* on
#
# $$
# \min_X \lVert X \rVert_* \quad \text{subject to} \quad P_\Omega(X) = P_\Omega(Z) .
# $$ (eq-completing-a-matrix-problem)
#
# The problem is convex, nothing in it is random, and there is no rank to choose. Autograd can say
# whether the gradient is right; {numref}`fig-completing-a-matrix-descent` shows the descent on a layer.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-completing-a-matrix-descent", "caption": "The loop on the first layer of the pocket model, pruned for the candle. Left: the nuclear norm. Right: the share of pruned signs that are right; the dashed line is a coin."}, "image": {"alt": "Two curves over 60 sweeps. The nuclear norm falls steeply and then levels out. Sign accuracy starts at a coin's one half, rises within a few sweeps to about 0.7 and stays there."}}
x = path[3].clone().requires_grad_()
torch.linalg.svdvals(x).sum().backward()
u, sigma, vt = torch.linalg.svd(path[3], full_matrices=False)
torch.testing.assert_close(x.grad, u @ vt)
step = torch.where(missing, path[3] - sigma[-1] * x.grad, Z)
torch.testing.assert_close(step, path[4])
print("a sweep is a gradient step of length sigma_min")

fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.7))
falling = [torch.linalg.svdvals(x).sum() for x in path]
axes[0].plot(falling, color=PALETTE["original"])
axes[0].set(xlabel="sweep", ylabel="nuclear norm")
rising = [sign_share(x, W, missing) for x in path]
axes[1].plot(rising, color=PALETTE["revived"])
axes[1].axhline(0.5, color="0.3", linestyle="--", linewidth=1)
axes[1].set(xlabel="sweep", ylabel="sign accuracy", ylim=(0.4, 0.8))
plt.show()

# %% [markdown]
# ## The closed form
#
# Look at the columns instead. Take the $n$ columns of a layer as samples of a Gaussian, and estimate
# its covariance over the rows from what survived:
#
# $$
# C = \tfrac1n Z Z^\top + \rho \bar c I, \qquad K = C^{-1}
# $$ (eq-completing-a-matrix-covariance)
#
# with $\bar c$ the mean diagonal of $ZZ^\top/n$ and $\rho$ a {term}`ridge`. A column's density falls with
# $x^\top K x$. Hold its surviving entries $x_o$ fixed and set the derivative by the missing ones $x_m$
# to zero: $K_{mm} x_m + K_{mo} x_o = 0$, so
#
# $$
# x_m = -K_{mm}^{-1} K_{mo} x_o .
# $$ (eq-completing-a-matrix-conditional)
#
# This is the mean of the missing entries given the others. One inverse, then a small system per column;
# no sweeps. It is the {term}`conditional solver`, the package's default, which also chooses the ridge: the
# one that best predicts each *surviving* entry from the rest.


# %% tags=["bare", "agrees"]
def conditional(z, missing, ridge):
    rows, columns = z.shape
    c = z @ z.T / columns
    c = c + ridge * c.diagonal().mean() * torch.eye(rows).to(z)
    k = torch.linalg.inv(c)
    x = z.clone()
    for j in range(columns):
        m, o = missing[:, j], ~missing[:, j]
        x[m, j] = -torch.linalg.solve(k[m][:, m], k[m][:, o] @ z[o, j])
    return x


for ridge in (0.1, 1.0):
    ours = cr.complete_matrix(Z, missing, ridge=ridge)
    bare = conditional(Z, missing, ridge)
    assert torch.allclose(ours.weight, bare, atol=1e-7)
print("the package's estimates are these")

# %% [markdown]
# ## Apparent success
#
# :::{admonition} Predict before you run
# A coin gets half of the signs right. How many does each solver get, over the pruned entries of all
# sixteen layers? And how alike are their estimates?
# :::
#
# Entries share a layer, so the honest unit is the layer. Solvers are compared layer by layer, and the
# interval over the layers is Student's.


# %% tags=["hide-input"]
def over_layers(values, form="+.3f"):
    """Mean of one value a layer, and its 95 % interval by Student's t."""
    n, mean = len(values), values.mean()
    half = student.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5
    return f"{mean:{form}} [{mean - half:{form}}, {mean + half:{form}}]"


def layer_shares(completed, original):
    return pd.Series(
        {
            n: sign_share(c.weight, original[n], c.mask)
            for n, c in completed.items()
        }
    )


# %%
loop = cr.complete(pruned, masks, solver="paper")
closed = cr.complete(pruned, masks, solver="conditional")
shares = pd.DataFrame(
    {
        "paper": layer_shares(loop, original),
        "conditional": layer_shares(closed, original),
    }
)
print(shares.describe().loc[["min", "mean", "max"]].round(3))
print("conditional − paper:", over_layers(shares.conditional - shares.paper))
both = torch.stack([c[name].weight[missing] for c in (loop, closed)])
print(f"correlation of estimates: {torch.corrcoef(both)[0, 1]:.3f} (one layer)")

# %% [markdown]
# Two methods that look nothing alike agree on nearly everything, and both are far from a coin in every
# layer. It is tempting to conclude that completion simply works.
#
# ## A probe that breaks it
#
# What do they live on? Keep a layer's magnitudes and the number of its holes, and take one thing away
# at a time:
#
# - **shuffled**: each row's entries change places within the row, holes moving along;
# - **coin signs**: each entry keeps place and size, and gets a random sign;
# - **flipped columns**: half of the columns, chosen at random, change sign as a whole.
#
# :::{admonition} Predict before you run
# Which of the three leaves something to find ({numref}`fig-completing-a-matrix-probes`)?
# :::


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-completing-a-matrix-probes", "caption": "Sign accuracy of the conditional solver, one dot a layer, for the trained layers and three changes to them. The dashed line is a coin."}, "image": {"alt": "Four columns of sixteen dots. As trained and with flipped columns they spread from about 0.6 to 0.87; shuffled and with coin signs all of them lie close to one half."}}
def coins(shape, rng):
    return torch.randint(0, 2, shape, generator=rng) * 2.0 - 1


def probe(kind, w, m, rng):
    if kind == "shuffled":
        order = torch.rand(w.shape, generator=rng).argsort(1)
        w, m = w.gather(1, order), m.gather(1, order)
    elif kind == "coin signs":
        w = w.abs() * coins(w.shape, rng)
    elif kind == "flipped columns":
        w = w * coins((1, w.shape[1]), rng)
    done = cr.complete_matrix(w.masked_fill(m, 0), m)
    return sign_share(done.weight, w, m)


rng = torch.Generator().manual_seed(RANDOM_SEED)
fig, ax = plt.subplots(figsize=(5.6, 2.5))
kinds = ("as trained", "shuffled", "coin signs", "flipped columns")
for i, kind in enumerate(kinds):
    found = [probe(kind, original[n], masks[n], rng) for n in masks]
    print(f"{kind:>15}: {over_layers(pd.Series(found), '.3f')}")
    spread = torch.linspace(-0.15, 0.15, len(found))
    ax.plot(i + spread, found, "o", color=PALETTE["revived"])
ax.axhline(0.5, color="0.3", linestyle="--", linewidth=1)
ax.set_xticks(range(4), [kind.replace(" ", "\n") for kind in kinds])
ax.set(ylabel="sign accuracy", ylim=(0.4, 0.95))
plt.show()

# %% [markdown]
# ## The explanation: rows that go together
#
# The same sizes in other places, and nothing is left to find. A completion knows nothing about a weight as
# such. It knows how *rows go together*, which is $ZZ^\top$, and what the rest of the column says. Flipping
# columns leaves $ZZ^\top$ as it was and changes nothing at all. In a random matrix no rows go together,
# and every solver tosses a coin.
#
# How much structure does it take? In {numref}`fig-completing-a-matrix-noise` the waves drown in noise. Then
# the repository's benchmark: matrices of known structure as large as Stable Diffusion's layers, and the
# pocket model's first edition, before the one that comes with the package, at four stages of its training.


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-completing-a-matrix-noise", "caption": "The loop against noise of a given standard deviation, the pattern's being 1. Move both sliders; under a kernel they draw anew, with finer steps."}}
def drowned(noise, sweep):
    truth, holes = waves(noise, RANDOM_SEED)
    left = truth.masked_fill(holes, 0)
    done = soft_impute(left, holes, sweep)[-1]
    return frame(truth, done, holes, f"sweep {sweep}")


explore(
    drowned,
    "A pattern of waves above, fainter the more noise there is, and below it "
    "the same with its holes filled in",
    values={"noise": [0.1, 1.0, 3.0, 30.0], "sweep": [0, 1, 5, 20, 100]},
    live={"noise": [0.0, 0.1, 0.3, 1.0, 2.0, 3.0, 10.0, 30.0]},
)

# %% tags=["hide-input"]
bench = published_json("benchmarks/solvers")
print(provenance_line(bench))
print(f"structure: {bench['spectrum']}; four columns a row")
rows = [
    (m["rows"], m["noise"], s, m["solvers"][s]["value"])
    for m in bench["known_structure"]
    for s in ("paper", "conditional")
]
known = pd.DataFrame(rows, columns=["rows", "noise", "solver", "signs"])
known = known.pivot(index="rows", columns=["noise", "solver"], values="signs")
print(known.sort_index(axis=1).round(2))

stages = []
for stage in bench["stages"]:
    found = stage["signs"]["paper"]
    low, high = found["interval"]
    made = stage["trained"]
    share = f"{found['value']:.2f} [{low:.2f}, {high:.2f}]"
    stages.append((made["total_decay"], f"{made['pictures']:,}", share))
heads = ["weight decay", "pictures seen", "paper: signs right, 95 %"]
stages = pd.DataFrame(stages, columns=heads).sort_values("weight decay")
stages.set_index("weight decay").rename(index=lambda d: f"{d:.2f}")

# %% [markdown]
# *Weight decay* is the learning rate times the decay, summed over all steps: how hard weights were pulled to
# zero where no gradient held them up. Where it was small, few signs can be found. These are four stages of
# one model, which suggest a cause and do not prove it; the [model card](../book/model-card.md) has more.
#
# ## Pruned is not missing at random
#
# So far a hole was an accident. It is none: {term}`ConceptPrune` {cite}`chavhan2025conceptprune` took *large* weights, so that an entry is
# missing tells something about it. In statistics this is "not missing at random" {cite}`rubin1976missing`.
# Compare with as many holes per row at random places. *Slope* is how much of the truth is in the estimate, by
# least squares: whoever is unsure guesses small, so even a good one stays below 1.


# %% tags=["hide-input"]
def random_mask(mask, rng):
    order = torch.rand(mask.shape, generator=rng).argsort(1).argsort(1)
    return order < mask.sum(1, keepdim=True)


def described(w, m):
    """Size beside survivors, slope, sign accuracy, and that by size."""
    e = cr.complete_matrix(w.masked_fill(m, 0), m).weight[m]
    size = w[m].abs().median() / w[~m].abs().median()
    slope = (e * w[m]).sum() / (w[m] ** 2).sum()
    right = (e.sign() == w[m].sign()).double()
    fifths = right[w[m].abs().argsort()].tensor_split(5)
    ends = fifths[0].mean(), fifths[-1].mean()
    return [float(v) for v in (size, slope, right.mean(), *ends)]


rng = torch.Generator().manual_seed(RANDOM_SEED)
heads = ["size beside survivors", "slope", "signs right"]
heads += ["of the smallest fifth", "of the largest fifth"]
at_random = {n: random_mask(masks[n], rng) for n in masks}
tables = {}
for kind, m in (("pruned", masks), ("random", at_random)):
    found = [described(original[n], m[n]) for n in masks]
    tables[kind] = pd.DataFrame(found, columns=heads)
gap = tables["pruned"] - tables["random"]
print("slope, pruned − random:", over_layers(gap["slope"]))
print("signs, pruned − random:", over_layers(gap["signs right"]))
pd.DataFrame({kind: t.mean() for kind, t in tables.items()}).round(2)

# %% [markdown]
# Pruned entries are the large ones, yet less than half as much of them is found: the covariance comes from a
# matrix whose large entries are gone, and takes everything for smaller than it is. The signs suffer far less
# than the sizes, which is why the attack takes sizes from elsewhere ({term}`neuron max`). And within either kind
# large weights have the easier signs.
#
# ## A prior that knows it was cut
#
# Given the rest of its column an entry is Gaussian with mean $\mu$, from
# {eq}`eq-completing-a-matrix-conditional`, and variance $s^2 = 1/K_{ii}$. That it was pruned says $|w| > t$ as
# well, with a threshold $t$ that the largest survivors of its row and column tell. Then
#
# $$
# \log\frac{P(w > 0)}{P(w < 0)} = \log\Phi\Bigl(\frac{\mu - t}{s}\Bigr) - \log\Phi\Bigl(\frac{-\mu - t}{s}\Bigr) .
# $$ (eq-completing-a-matrix-odds)
#
# A faint lean of $\mu$ becomes a firm opinion. That alone turns no sign; but the entry's expectation, now far
# from zero, enters the means of its column's other entries, and there signs do turn. The solver `prior`
# ({term}`magnitude prior`) repeats this until a column settles.


# %% tags=["agrees", "hide-input"]
def log_odds(mean, deviation, threshold):
    above = torch.special.log_ndtr((mean - threshold) / deviation)
    below = torch.special.log_ndtr((-mean - threshold) / deviation)
    return above - below


mean, one = torch.linspace(0, 1, 5).double(), torch.ones(5).double()
_, odds = expected_value(mean, one, 2 * one)
assert torch.allclose(odds, log_odds(mean, one, 2 * one))
print("μ / s              ", mean.numpy())
print("P(w > 0)           ", torch.special.ndtr(mean).numpy().round(2))
print("and if |w| > 2 s   ", odds.sigmoid().numpy().round(2))

cut = cr.complete(pruned, masks, solver="prior")
shares["prior"] = layer_shares(cut, original)
print("prior − paper, live:", over_layers(shares.prior - shares.paper))
settled = sum(c.converged for c in cut.values())
print(f"every column settled in {settled} of {len(cut)} layers")

rows = []
for s in ("nuclear", "conditional", "prior", "prior + side"):
    found, (low, high) = (
        bench["signs"][s],
        bench["signs"][s]["minus_paper_interval"],
    )
    gain = f"{found['minus_paper']:+.3f} [{low:+.3f}, {high:+.3f}]"
    rows.append((s, found["value"], bench["signs_top"][s]["value"], gain))
heads = ["solver", "signs right", "of the kept 0.6", "minus paper, 95 %"]
pd.DataFrame(rows, columns=heads).set_index("solver").round(3)

# %% [markdown]
# The table is the benchmark's, over the {term}`concepts <concept>` that it lists, of the first edition, which was pruned with a
# {term}`skill ratio` of 0.2. *nuclear* takes {eq}`eq-completing-a-matrix-problem` to its minimum: where the loop
# ends if it is let. *Side* adds {term}`side information`.
#
# ## Limits: traps in the loop
#
# A step has the length $\sigma_{\min}$. Where that is nearly zero, nothing moves, and a loop that stops when
# little changes takes it for success.
#
# :::{admonition} Predict before you run
# One row of the layer is pruned completely, and starts at the column means. What is $\sigma_{\min}$ of the
# start? And of a trained *square* matrix, such as those of attention, with a tenth of its entries hidden?
# :::

# %% tags=["hide-input"]
empty = missing.clone()
empty[0] = True
others = empty.clone()
others[0] = False
holed = W.masked_fill(empty, 0)
start, then = soft_impute(holed, empty, 1)
print(f"an empty row: σ_min {torch.linalg.svdvals(start)[-1]:.0e}, ", end="")
print(f"a sweep moves {(then - start).abs().max():.0e}")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # says that the empty row stays 0
    safe = cr.complete_matrix(holed, empty, solver="paper").weight
for kind, x in {"loop": then, "without that row": safe}.items():
    print(f"  signs of the other rows, {kind}: {sign_share(x, W, others):.3f}")

rng = torch.Generator().manual_seed(RANDOM_SEED)
rows = []
for n, layer in pipe.unet.named_modules():
    if n.endswith("attn1.to_q") and layer.in_features == layer.out_features:
        w = layer.weight.detach().double()
        m = torch.rand(w.shape, generator=rng) < 0.1
        for solver in ("paper", "conditional"):
            c = cr.complete_matrix(w.masked_fill(m, 0), m, solver=solver)
            rows.append((n, solver, sign_share(c.weight, w, m)))
square = pd.DataFrame(rows, columns=["layer", "solver", "signs"])
square = square.pivot(index="layer", columns="solver", values="signs")
print(
    f"{len(square)} square matrices, mean: {square.mean().round(3).to_dict()}"
)
print("conditional − paper:", over_layers(square.conditional - square.paper))

# %% [markdown]
# An empty row starts as the mean of the others (exercise 3), so the rows are dependent and the loop stops
# where it began: no sign in the whole layer is better than its column's mean. The package leaves such rows out
# and says so. A square matrix has its smallest singular value near zero by nature, and there the closed form
# finds signs that the loop does not. The layers that {term}`ConceptPrune` prunes are four times as wide as high;
# where the trap is not sprung, the two agree.

# %% [markdown]
# ## Summary
#
# - The least nuclear norm gives right signs and small sizes, already in a 2×2 matrix.
# - With $\lambda = \sigma_{\min}$ the paper's loop is gradient descent on the nuclear norm; a conditional mean
#   gives nearly the same estimates at once.
# - Both live on rows that go together. Without that they toss a coin.
# - Pruned entries are the large ones, and a solver that knows it finds more signs.
# - The loop stops where it starts when a row is empty, and far from its end on square matrices.

# %% [markdown]
# ## What could be wrong
#
# - **One concept and one seed** for everything live. The benchmark's tables have more, of the first edition.
# - **Holes count as zeros** in $ZZ^\top$. Better estimates of a covariance exist; whether they find more signs
#   was not measured here.
# - **Matrices of known structure flatter the closed form**, whose assumption they obey.
# - **Layers of one model are not independent**, so intervals over them speak for this model, not for others.
# - **Right signs are counted, not pictures.** What signs do for a concept is another question.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: where the norm is least (●○○, 10 minutes)
#
# For $a > 0$, at which $x$ is the nuclear norm of $\begin{pmatrix} 1 & a \\ a & x \end{pmatrix}$ least? Write a
# function of `a`.
#
# :::{admonition} Hint
# :class: dropdown
# For a 2×2 matrix $\lVert X \rVert_*^2 = \lVert X \rVert_F^2 + 2 \lvert \det X \rvert$. Treat $x < a^2$ and
# $x > a^2$ apart.
# :::

# %%
least_at = ...
check("completing_a_matrix.1", least_at)


# %% tags=["solution", "hide-cell"]
def least_at(a):
    # Below a² the square is 1 + 2a² + x² + 2(a² − x), least at x = 1;
    # above a² it grows. So the minimum is at 1, unless a² comes first.
    return min(1.0, a * a)


check("completing_a_matrix.1", least_at)

# %% [markdown]
# ### Exercise 2: a sweep without singular vectors (●●○, 15 minutes)
#
# Write `sweep(x, z, missing)`: one step of {eq}`eq-completing-a-matrix-step` with $\lambda = \sigma_{\min}$ that
# needs only `torch.linalg.eigh(x @ x.T)`.
#
# :::{admonition} Hint
# :class: dropdown
# The eigenvalues of $XX^\top$ are the squares of the singular values, smallest first. With eigenvectors $Q$,
# $(XX^\top)^{-1/2} = Q \operatorname{diag}(1/\sigma)\, Q^\top$; then use {eq}`eq-completing-a-matrix-polar`.
# :::

# %%
sweep = ...
check("completing_a_matrix.2", sweep)


# %% tags=["solution", "hide-cell"]
def sweep(x, z, missing):
    values, q = torch.linalg.eigh(x @ x.T)
    sigma = values.clamp_min(0).sqrt()
    polar = (q / sigma) @ q.T @ x
    return torch.where(missing, x - sigma[0] * polar, z)


check("completing_a_matrix.2", sweep)

# %% [markdown]
# ### Exercise 3: one empty row is enough (●●○, 10 minutes)
#
# The first of `rows` rows is empty, other rows may have holes too. At the loop's start there is a vector $v \ne 0$
# with $v^\top X = 0$, so $\sigma_{\min} = 0$. Write a function of `rows` that returns $v$, in float64.
#
# :::{admonition} Hint
# :class: dropdown
# Holes in other rows start at the column's mean, too. What is the mean of a column once they are filled in?
# :::

# %%
dependence = ...
check("completing_a_matrix.3", dependence)


# %% tags=["solution", "hide-cell"]
def dependence(rows):
    # Filled in with its own mean a column keeps it, so the empty row is
    # the mean of the rows − 1 others.
    v = torch.full((rows,), -1 / (rows - 1), dtype=torch.float64)
    v[0] = 1.0
    return v


check("completing_a_matrix.3", dependence)

# %% [markdown]
# ### Exercise 4: a self-test without the original (●●○, 10 minutes)
#
# An attacker hides a twentieth of the *surviving* entries of `Z` at random, completes, and takes the share of
# right signs among them for their {term}`sign accuracy`. How far off are they in this layer? Give the hidden entries'
# share minus the true one. Why does it have this sign?
#
# :::{admonition} Hint
# :class: dropdown
# Complete `Z.masked_fill(hidden, 0)` with the {term}`mask` `missing | hidden`, and call `sign_share` twice, with `Z`
# and with `W` as the truth. Which entries are the smaller ones?
# :::

# %%
off_by = ...
check("completing_a_matrix.4", off_by, W, missing)

# %% tags=["solution", "hide-cell"]
rng = torch.Generator().manual_seed(RANDOM_SEED)
hidden = ~missing & (torch.rand(Z.shape, generator=rng) < 0.05)
done = cr.complete_matrix(Z.masked_fill(hidden, 0), missing | hidden)
seen = sign_share(done.weight, Z, hidden)
off_by = seen - sign_share(done.weight, W, missing)
check("completing_a_matrix.4", off_by, W, missing)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
