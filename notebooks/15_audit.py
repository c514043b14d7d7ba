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
# # Audit your checkpoint
#
# You have pruned a model and want to publish the file. Does it tell what was done to it? The package's audit
# answers from the weights alone. What does its answer mean, above all when it finds nothing?
#
# - **You will be able to** audit a {term}`checkpoint`, read the report, say what each test looks at and how often
#   it is wrong, and decide what else to check before a release.
# - **Prerequisites:** [the first chapter](01_quickstart.ipynb), for pruning, {term}`revival` and the defence;
#   [the scar](04_the_scar.ipynb), for what zeros give away to whom.
# - **Time:** 20 minutes to read, 2 minutes to run, 25 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %% tags=["hide-input"]
import math
import tempfile
import textwrap
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from safetensors.torch import load_file, save_file

import conceptrevive as cr
from conceptrevive.auditing.report import audit_text, write_html
from conceptrevive.auditing.significance import calibration, holm
from conceptrevive.detectors.zeros import find_zeros
from conceptrevive.figures import PALETTE
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import explore
from conceptrevive.teaching.plots import show_rates, use_theme
from conceptrevive.teaching.published import provenance_line, published_json
from conceptrevive.teaching.versions import versions

use_theme()
RANDOM_SEED = 0
ROOM = tempfile.TemporaryDirectory()
FOLDER = Path(ROOM.name)

# %% [markdown]
# ## Six files
#
# An audit takes a file, so we write some: the candidate layers ({term}`ff.net.2`) of the {term}`pocket model`, in half
# precision, as they were; pruned for the candle; revived by {term}`neuron max`, and by magnitudes drawn at random
# from each row; and with {term}`obfuscation`, once faint, once as the defence does it by default.

# %%
pipe = cr.load_pipeline("pocket")
candle = cr.get_concept("candle")
original = cr.read_weights(pipe)
masks = cr.locate(pipe, candle, seed=RANDOM_SEED)
pruned = cr.prune(original, masks)

hide = partial(cr.obfuscate, original, masks, seed=RANDOM_SEED)
draw_sizes = {"magnitude": "sample", "seed": RANDOM_SEED}
models = {
    "original": original,
    "pruned": pruned,
    "revived": cr.revive(pruned),
    "faint noise": hide(sigma=0.01),
    "default noise": hide(sigma=0.25),
    "revived, drawn": cr.revive(pruned, top_k=1.0, **draw_sizes),
}


# %%
def write(weights, path):
    """A file as one would publish it."""
    save_file({f"{n}.weight": w.half() for n, w in weights.items()}, path)
    return path


files = {
    name: write(weights, FOLDER / f"{name}.safetensors")
    for name, weights in models.items()
}
print(f"{masks.fraction:.1%} of the weights in each file are affected")


# %% [markdown]
# ## Apparent success
#
# :::{admonition} Predict before you run
# The audit has neither the original nor the {term}`mask`. Which of these four files does it accuse, and of what?
# :::


# %%
def table(reports):
    """Verdict, exit code and what was found, a row for each file."""
    rows = {
        name: (
            " and ".join(report.verdict),
            report.exit_code,
            "; ".join(f.title for f in report.findings),
        )
        for name, report in reports.items()
    }
    heads = ["verdict", "exit code", "findings"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=heads)


FIRST = ("original", "pruned", "revived", "faint noise")
reports = {name: cr.audit(files[name]) for name in FIRST}
table(reports)

# %% [markdown]
# All four are judged rightly: the clean file is not accused, the {term}`scar` is seen, its {term}`revival` is told from
# pruning, and faint noise is taken for what it is. The report of the pruned file says more.

# %%
text = audit_text(reports["pruned"]).replace(f"{FOLDER}/", "")
for line in text.splitlines():
    print(textwrap.fill(line.strip(), 78, subsequent_indent="    "))

# %% [markdown]
# Read it from the top: what was found, in how many tensors, how large, how improbable by chance; then what **could not
# be told**. That the zeros crowd into columns is how {term}`Wanda scores <Wanda score>` {cite}`sun2024wanda` choose them, and that small
# weights are still there speaks against compression. {numref}`fig-audit-report` has the report's two main pictures of one
# layer. The right one answers "could it be revived?" without the original: the audit hides surviving weights that lie
# like the pruned ones, lets {term}`matrix completion` guess them, and counts the signs it gets right.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-audit-report", "caption": "From the report of the pruned file, one layer: exact zeros (dark; rows down, columns across), and what completion says about weights hidden from it, times their true sign; right of the dashed line the sign is right."}, "image": {"alt": "Left, a map of a matrix with dark streaks down many columns. Right, a histogram of completed values times true sign, with most of its mass to the right of a dashed line at zero."}}
layer = next(x for x in reports["pruned"].measured.layers if x.recoverability)
fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.5))
axes[0].imshow(layer.image[:96, :128], cmap="Blues", interpolation="nearest")
axes[0].set(xticks=[], yticks=[], title="exact zeros")
agreement = layer.recoverability.agreement
agreement = agreement / agreement.std()
axes[1].hist(agreement.clamp(-4, 4), np.linspace(-4, 4, 41))
axes[1].axvline(0, color="0.3", linestyle="--", linewidth=1)
axes[1].set(title="hidden weights, completed", xlabel="in spreads")
plt.show()
print("signs right:", layer.recoverability.signs)

# %% [markdown]
# The same as one HTML file, which opens in any browser, light or dark, and as a command whose exit code is the verdict:
#
# ```console
# conceptrevive audit model.safetensors --html report.html
# echo $?
# ```
#
# 0 is "no evidence found", 1 "evidence of pruning", "evidence of revival" or both, 2 "could not tell" or an error. So a
# step of continuous integration can stop a release; [the page on the audit](../book/audit.md) has one to copy.

# %%
page = FOLDER / "report.html"
write_html(reports["pruned"], page)
html = page.read_text(encoding="utf-8")
print(f"{len(html) / 1000:.0f} kB, {html.count('<figure>')} pictures,", end=" ")
print("no scripts" if "<script" not in html else "scripts")

# %% [markdown]
# ## The probe: what it does not see
#
# :::{admonition} Predict before you run
# The last two files: the same positions filled with noise of a quarter of {term}`sigma_U`, and a model that was revived
# at every pruned position. Which does the audit accuse?
# :::

# %%
LAST = ("default noise", "revived, drawn")
reports |= {name: cr.audit(files[name]) for name in LAST}
table({name: reports[name] for name in LAST})

# %% [markdown]
# Neither. One hides a {term}`concept`, the other was made to bring one back, and to the audit both look like the original. **"No
# evidence found" is not "safe".** Two people still see something: whoever guesses where the noise is, and whoever has
# the original, which a `base` in the call stands for.

# %%
hidden = models["default noise"]
guess = cr.guess_masks(hidden, masks.fraction)
hits = sum(int((guess[n] & masks[n]).sum()) for n in masks)
print(f"smallest weights: {hits / masks.count:.1%} of the mask found;", end=" ")
print(f"guessed blindly: {masks.fraction:.1%}")

compared = {n: cr.audit(files[n], base=files["original"]) for n in LAST}
table(compared)

# %% [markdown]
# The attacker's simplest guess finds more places than chance would. With the base both files show that
# scattered weights were replaced; the audit does not tell there whether by noise or by a revival.
#
# ## The explanation: what each test asks
#
# **Zeros.** A trained weight is exactly zero where rounding makes it so. Among $N$ weights with typical size $m$ (the
# median of $|w|$), half precision rounds sums of that size to multiples of about $2^{-10} m$. Where weights near zero
# have density $d$, estimated from the smallest hundredth, we expect
#
# $$
# \lambda = N \, d \, 2^{-10} m
# $$ (eq-audit-expected)
#
# zeros. They are rare and hardly depend on one another, so their number is about Poisson. If we see $z > \lambda$, the
# {term}`p-value` is at most {cite}`chernoff1952`
#
# $$
# \Pr(Z \ge z) \le e^{\,z - \lambda} \left(\frac{\lambda}{z}\right)^{z} .
# $$ (eq-audit-chernoff)
#
# Padding and dead units leave whole lines of zeros, which prove nothing: the twentieth of rows and columns that has most
# is not counted.


# %% tags=["bare"]
def usual(count):
    """Lines without the twentieth that has most."""
    return count.argsort()[: len(count) - len(count) // 20]


def zero_test(w):
    """log10 of the bound above, for a matrix in half precision."""
    w = w[(w != 0).any(1)][:, (w != 0).any(0)]
    zero = w == 0
    sizes = w[~zero].abs().double()
    near, typical = sizes.quantile(0.01), sizes.quantile(0.5)
    density = (sizes <= near).double().mean() / near
    expected = float(w.numel() * density * 2**-10 * typical)
    z = int(zero[usual(zero.sum(1))][:, usual(zero.sum(0))].sum())
    if z <= expected:
        return 0.0
    return (z - expected + z * math.log(expected / z)) / math.log(10)


# %% [markdown]
# The package's test also knows blocks, triangles, other number formats and underflow, and rounds $\lambda$ to single
# precision. On these files it agrees to six digits.

# %% tags=["agrees"]
for name in ("original", "pruned", "revived"):
    matrices = load_file(files[name])
    ours = [zero_test(w) for w in matrices.values()]
    theirs = [find_zeros(w) for w in matrices.values()]
    assert np.allclose(ours, [e.log_p for e in theirs], rtol=1e-6), name
    seen = sum(e.detail["zeros"] for e in theirs)
    expected = sum(e.detail.get("by_rounding", 0) for e in theirs)
    print(f"{name:<9}{seen:6.0f} zeros; log10 p down to {min(ours):.0f}")
print(f"zeros that rounding could explain in the revived: {expected:.0f}")

# %% [markdown]
# $\lambda$ is generous: the clean layers have fewer zeros than it allows. That errs on the side of the accused.
#
# **Repeats.** Neuron max writes one magnitude into a row many times. Trained rows repeat values seldom; how
# often is told by the neighbouring numbers. A magnitude drawn from the row is no repeat, so *revived, drawn* passes.
#
# **Noise.** Faint noise makes small weights, in those columns that pruning chose. Each row and column is brought to one
# spread; then small weights are counted by column. Their counts vary more than chance lets them. The louder the noise, the
# fewer of its entries are small, until it is as weights are: {numref}`fig-audit-noise`.
#
# **Grids.** Quantised weights are full of natural zeros and repeats. Where values tie as only rounding to few levels makes
# them, no test is asked, and the answer is "could not tell".


# %% tags=["hide-input"]
def noise_figure(original, masks, sigma):
    """Histogram of a layer, and what the audit says of the file."""
    filled = cr.obfuscate(original, masks, sigma=sigma, seed=RANDOM_SEED)
    report = cr.audit(write(filled, FOLDER / "noise.safetensors"))
    answers = [x.about("noise") for x in report.measured.layers]
    effect = max(e.effect for e in answers if e is not None)
    limit = calibration()["effects"]["noise"]
    name = next(iter(original))
    scale = original[name][~masks[name]].std()
    parts = [filled[name][m] / scale for m in (~masks[name], masks[name])]
    fig, ax = plt.subplots(figsize=(5.6, 3))
    ax.hist(
        parts,
        np.linspace(-2, 2, 161),
        stacked=True,
        histtype="stepfilled",
        linewidth=0,
        color=[PALETTE["retained"], PALETTE["obfuscated"]],
        label=["untouched", "noise"],
    )
    verdict = " and ".join(report.verdict)
    ax.set_title(f"{verdict}\nnoise test {effect:.2f}, limit {limit:.2f}")
    ax.set(xlabel=r"weight / $\sigma_U$", ylabel="weights", ylim=(0, 4500))
    ax.legend(loc="upper right")
    return fig


# %% mystnb={"figure": {"name": "fig-audit-noise", "caption": "The weights of one layer in units of sigma_U, untouched and filled with noise of sigma_M (relative to sigma_U), stacked; above, the audit's verdict on the whole file, the largest effect of its test for noise, and the limit. Move the slider."}}
explore(
    partial(noise_figure, original, masks),
    "Histogram of a layer's weights with those that are noise in another "
    "colour: a spike at zero while sigma_M is small, a bell inside the other "
    "as it grows; the audit's verdict stands above",
    values={"sigma": [0.01, 0.02, 0.05, 0.1, 0.25, 1.0]},
    live={"sigma": [0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0]},
)

# %% [markdown]
# ## How often it is wrong
#
# A file has hundreds of matrices and every test is asked of each, so small p-values turn up by chance. With $n$ questions
# and a {term}`family-wise error` of $\alpha$, Holm {cite}`holm1979` sorts the p-values and accepts the smallest ones as
# long as
#
# $$
# p_{(i)} \le \frac{\alpha}{n - i + 1} , \qquad i = 1, 2, \dots
# $$ (eq-audit-holm)
#
# That would do if clean weights were what the tests suppose, and no weights quite are. So the effect must also be
# larger than a **limit**: one and a half times the largest on clean checkpoints of ten origins. Ten other origins
# tell how often a clean file is accused all the same. {numref}`fig-audit-power` has the other side, the {term}`power`.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-audit-power", "caption": "Share of pocket models with the named edit in which the named test finds it, at a skill ratio of 0.02, with 95 % Wilson intervals; eight concepts each. Max is neuron max, sample draws magnitudes, 0.6 is the share of signs kept; noise is in units of sigma_U."}, "image": {"alt": "Six rows with a dot and an interval: zeros of pruned models, repeats after revival by neuron max and noise of 0.01 are found in all eight; repeats after revival with drawn magnitudes, and noise of 0.05 and of 0.25, in none. The intervals are a third wide."}}
rates = published_json("audit/rates")
for half, what in (("set", "limits set on"), ("report", "reported on")):
    clean = rates["false_positives"][half]["checkpoints"]
    share = cr.Rate(clean["value"], tuple(clean["interval"]), clean["n"])
    print(f"clean checkpoints accused, {what}: {share}")
print(provenance_line(rates))

SHOWN = (("zeros", "pruned"), ("repeats", "revived max 0.6"))
SHOWN += (("repeats", "revived sample 0.6"), ("noise", "noise 0.01"))
SHOWN += (("noise", "noise 0.05"), ("noise", "noise 0.25"))
at = {(p["test"], p["edit"], p["skill_ratio"]): p for p in rates["power"]}
power = {}
for test, edit in SHOWN:
    one = at[test, edit, 0.02]
    row = f"{edit}: {test}" if test != "noise" else edit
    power[row] = cr.Rate(one["rate"], tuple(one["interval"]), one["n"])
_ = show_rates(power, label="share found")

# %% [markdown]
# Eight of eight leaves room for a test that misses some, none of eight for one that finds some: read the
# {term}`intervals <Wilson interval>` {cite}`wilson1927interval`. [The full tables](../book/audit.md) have more {term}`skill ratios <skill ratio>` and edits. Only the
# second line on clean checkpoints is a rate: limits set on a file cannot be exceeded by it.
#
# ## Limits: a publisher's checklist
#
# 1. **Is the original public?** Then stop here: nobody needs to revive what can be downloaded, and whoever compares
#    the two files reads the mask, whatever it was filled with.
# 2. **Audit what you publish**, each file, in its final format; before quantising, too. Exit code 1 is a reason not to.
# 3. **Exit code 0: attack it yourself.** `conceptrevive revive --guess` guesses positions; draw with the result, and
#    count with a {term}`judge`. The audit looks for traces, and a trace is not what brings a concept back.
# 4. **Look at other copies**: shards, variants, pickles, an optimiser's state, the history of the repository.
# 5. **Keep the seed of your noise out of it.** Whoever tries it draws the same noise.
# 6. **Say what you did.** The audit's findings are no fault in a model that is declared as pruned; hiding them is a
#    choice about a {term}`threat model`.

# %% [markdown]
# ## Summary
#
# - The audit reads one file and says "evidence of pruning", "evidence of revival", "could not tell" or "no evidence
#   found", with layers, effects, p-values, and what it could not tell.
# - It judged zeros, neuron max and faint noise rightly here. It saw neither the default defence nor a revival with drawn
#   magnitudes.
# - A p-value corrected for all questions and a limit from clean checkpoints together keep false alarms few.
# - "No evidence found" is a statement about these tests. Attack your own file before others do.

# %% [markdown]
# ## What could be wrong
#
# - **One concept, one model, one seed** for everything live.
# - **The pocket model shaped the tests**, so its share of the published rates tests nothing unseen. Power on other models
#   may be another.
# - **Only sixteen layers** were in our files. A whole model asks more questions, and each must be answered more surely.
# - **Signs are estimated from survivors.** What holds for hidden survivors need not hold for the pruned weights.
# - **A guess that hits part of a mask** is not yet a revived concept; no picture was drawn here.

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: none found (●○○, 5 minutes)
#
# You audit clean files of your own and none is accused. How many must you audit, all without a false alarm, until the
# upper end of the 95 % Wilson interval is below 1 %?
#
# :::{admonition} Hint
# :class: dropdown
# `cr.wilson(0, n)` returns both ends. Try some `n`.
# :::

# %%
audits = ...
check("audit.1", audits)

# %% tags=["solution", "hide-cell"]
audits = next(n for n in range(300, 500) if cr.wilson(0, n)[1] < 0.01)
print(audits)
check("audit.1", audits)

# %% [markdown]
# ### Exercise 2: many questions (●●○, 10 minutes)
#
# Write `accepted(p, alpha)` for {eq}`eq-audit-holm`: a list of p-values in any order comes in, a list of true and false
# in the same order comes out. The first that fails ends it: no larger one is accepted.
#
# :::{admonition} Hint
# :class: dropdown
# `sorted(range(len(p)), key=lambda i: p[i])` are the positions from the smallest p-value on.
# :::

# %%
accepted = ...
check("audit.2", accepted)


# %% tags=["solution", "hide-cell"]
def accepted(p, alpha):
    out = [False] * len(p)
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[i] > alpha / (len(p) - rank):
            break
        out[i] = True
    return out


P = [0.001, 0.04, 0.004, 0.2]
assert accepted(P, 0.01) == holm([math.log10(p) for p in P], 0.01, len(P))
check("audit.2", accepted)

# %% [markdown]
# ### Exercise 3: the mark of neuron max (●●○, 10 minutes)
#
# Somebody publishes a model revived by neuron max. Write `raised(w)`: it takes one layer and returns, as a boolean matrix,
# which entries were raised to their row's largest surviving magnitude, with that weight itself. A row that repeats
# nothing was not raised, nor was one of zeros.
#
# :::{admonition} Hint
# :class: dropdown
# Compare `w.abs()` with its largest entry by row, and count. What does a row with one hit say?
# :::

# %%
raised = ...
check("audit.3", raised)


# %% tags=["solution", "hide-cell"]
def raised(w):
    size = w.abs()
    at_top = (size == size.amax(1, keepdim=True)) & (size > 0)
    return at_top & (at_top.sum(1, keepdim=True) > 1)


seen = raised(models["revived"][layer.name.removesuffix(".weight")])
print(f"{seen.float().mean():.1%} of a layer of the revived file")
check("audit.3", raised)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
