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
# # Your own concept, layers, method and model
#
# So far the {term}`concept` was one of ours, and so were the layers, the {term}`locator` and the model. How do you ask the same
# of yours, and how do you know that what you plugged in does what you think?
#
# - **You will be able to** write a {term}`concept` and see whether it is fit to be erased; choose layers; write a
#   locator, a {term}`judge`, a magnitude and a defence, and test a locator against a {term}`control`; take
#   {term}`masks <mask>` from two {term}`checkpoints <checkpoint>`; and go from `locate` to `audit` on a pipeline of another family, or one of your own making.
# - **Prerequisites:** [skilled neurons](03_skilled_neurons.ipynb), for what a locator does;
#   [the first chapter](01_quickstart.ipynb), for the path from there. [Your concept, your
#   model](../book/your-own.md) lists every option; here one of each is tried.
# - **Time:** 30 minutes to read, 2 minutes to run, 35 minutes for the exercises.
# - **Hardware:** two CPU cores; no GPU.

# %% tags=["hide-input"]
import contextlib
import inspect
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import diffusers
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import transformers
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput
from safetensors.torch import load_file, save_file

import conceptrevive as cr
from conceptrevive.cli import main
from conceptrevive.evaluation.judges import classifier
from conceptrevive.evaluation.outcomes import erased_pictures, retained_pictures
from conceptrevive.figures import PALETTE
from conceptrevive.teaching.commands import refused, run_command
from conceptrevive.teaching.exercises import check
from conceptrevive.teaching.moving import slider_pictures, tiled
from conceptrevive.teaching.plots import show_differences, use_theme
from conceptrevive.teaching.versions import versions
from conceptrevive.unlearning.recording import column_norms

# %% tags=["hide-input"]
use_theme()

transformers.utils.logging.disable_progress_bar()
diffusers.utils.logging.disable_progress_bar()
RANDOM_SEED = 0
ROOM = tempfile.TemporaryDirectory()
FOLDER = Path(ROOM.name)
run = partial(run_command, main, FOLDER)
pipe = cr.load_pipeline("pocket")
original = cr.read_weights(pipe)


def draw(pipe, concept, asked, weights):
    """Pictures of (prompt, seed), with these weights."""
    prompts, seeds = zip(*asked, strict=True)
    s = concept.settings
    how = {"seed": seeds, "steps": s.steps, "guidance": s.guidance}
    with cr.swapped(pipe, weights):
        return cr.generate(pipe, prompts, **how)


# %% [markdown]
# ## A concept of yours
#
# A concept needs not be a thing. Ours is *night*, a time of day: {term}`target prompts <target prompt>` that ask for it,
# {term}`base prompts <base prompt>` that differ in nothing else, one for one, and other words for the evaluation to ask
# in. What must survive is listed under `retained`. Commands take the file as `--concept night.yaml`.

# %%
DOCUMENT = """\
name: night
target_prompts: [a cat in a night, a church in a night, a bus in a night,
  a star in a night, an apple in a night, a fish in a night]
base_prompts: [a cat, a church, a bus, a star, an apple, a fish]
eval_prompts: [a photo of a night with a dog, an image of a key in a night,
  a photo of a night with a drum, an image of a crab in a night,
  a photo of a night with a crown, an image of an owl in a night]
labels: ["scene:night"]
retained:
  an image of a cat, a garden: "object:cat"
  an image of a bus, a road: "object:bus"
  an image of a star, a beach: "object:star"
  an image of a castle, a park: "object:castle"
  an image of a rocket, a street: "object:rocket"
  an image of a fish, a room: "object:fish"
settings: {skill_ratio: 0.1, tau: 6, steps: 12, guidance: 3.0}
"""


def concept_of(document):
    with contextlib.chdir(FOLDER):
        Path("night.yaml").write_text(document)
        return cr.Concept.from_yaml("night.yaml")


refused(concept_of, DOCUMENT.replace("labels", "lables"))
refused(concept_of, DOCUMENT.replace("[a cat, a church", "[a church"))
refused(concept_of, DOCUMENT.replace("[a cat,", "[a cat in a night,"))
night = concept_of(DOCUMENT)

# %% [markdown]
# ### Is it fit?
#
# A document that is accepted need not be a concept that can be studied. Three things have to hold *before* anything is
# pruned, and each is a count. Does the original draw it? Does the {term}`judge` see it then? And is the judge silent
# where it was not asked for? If the first or second fails there is nothing to erase, or nobody to notice; if the third,
# an {term}`erased concept` still counts as drawn.
#
# The judge is the classifier that `judge:` names, with the classes in `labels`; or two texts that CLIP {cite}`radford2021clip` compares, in
# `clip_pair`; or a function of yours from pictures to truth values. A night is dark, so ours takes a line,
# `np.asarray(picture.convert("L")).mean() < 90` for each picture.


# %% tags=["hide-input"]
def dark(pictures):
    """Whether a picture is dark."""
    return [np.asarray(p.convert("L")).mean() < 90 for p in pictures]


N = 6  # pictures of each kind
with_it = erased_pictures(night, N, RANDOM_SEED)
others = retained_pictures(night, N, RANDOM_SEED)
sheets = {"original": draw(pipe, night, with_it + others, original)}
judge = classifier(night.judge)
rows = {}
for asked, some in (
    ("night asked for", sheets["original"][:N]),
    ("not asked for", sheets["original"][N:]),
):
    labelled = judge.correct(some, [night.labels] * N)
    rows[asked] = {"dark": cr.Rate.of(dark(some))}
    rows[asked] |= {"classifier": cr.Rate.of(labelled)}
pd.DataFrame(rows).T

# %% [markdown]
# Night is fit, as far as six pictures tell, and both judges say so. With a concept that is not, change the words, the
# judge's threshold or the concept before you go on.
#
# The same as commands, for any model: `conceptrevive evaluate MODEL --concept night.yaml`, and with `--judge mine:dark`
# for a judge of yours. In Python it is `cr.evaluate(pipe, night, judge=dark)`.
#
# ## A locator of yours
#
# {term}`ConceptPrune <ConceptPrune>` {cite}`chavhan2025conceptprune` takes of each row the weights with the highest
# {term}`Wanda scores <Wanda score>` {cite}`sun2024wanda`, and then asks whether the column is louder for the target prompts than for the base
# prompts. Why the second question? Here is a locator without it. Let $A_t[j]$ be the norm of column $j$ for the target
# prompts at step $t$. A weight is taken if it is among its row's *loudest* at any of the first $\tau$ steps:
#
# $$
# M[i,j] \Leftrightarrow |W_{ij}|\, A_t[j] \text{ is in row } i\text{'s top } \lfloor k \cdot 4d \rfloor
# \text{ for a } t \le \tau .
# $$ (eq-your-own-loudest)
#
# A locator is a function of a pipeline and a concept that returns {module name: mask}. It gets `layers` and `seed` if it
# names them. `column_norms` listens for it, in any layers and on any pipeline that the package draws with.


# %% tags=["bare"]
def loudest(weight, norms, k):
    """The k highest scores of every row, at any step."""
    mask = torch.zeros_like(weight, dtype=torch.bool)
    for a in norms[0]:
        top = (weight.abs() * a).topk(int(k * weight.shape[1]), dim=1)
        mask.scatter_(1, top.indices, True)
    return mask


def tested(weight, norms, k):
    """The same, where the column is louder than for the base prompts."""
    steps = norms.unbind(1)
    each = [loudest(weight, n[:, None], k) & (n[0] > n[1]) for n in steps]
    return torch.stack(each).any(0)


def listen(pipe, concept, layers=None, seed=0):
    """{layer: (2, tau, columns)}: norms for target and base prompts."""
    s = concept.settings
    groups = concept.target_prompts, concept.base_prompts
    how = {"tau": s.tau, "steps": s.steps, "guidance": s.guidance}
    return column_norms(pipe, groups, seed=seed, layers=layers, **how)


def find(pipe, concept, layers=None, seed=0, rule=loudest, norms=None):
    """Masks of the loudest weights."""
    k = concept.settings.skill_ratio
    norms = norms or listen(pipe, concept, layers, seed)
    weights = cr.read_weights(pipe, layers)
    return {name: rule(w, norms[name], k) for name, w in weights.items()}


# %% [markdown]
# With the second question back, `tested`, it is ConceptPrune, bit for bit. So the two locators differ in one line, and
# what differs in their pictures is due to that line.
#
# A third locator belongs to every comparison: a {term}`control` that knows nothing. It takes as many weights of each row
# as ConceptPrune does, at random.
#
# :::{admonition} Predict before you run
# Which of the three erase the night: ConceptPrune, the loudest, the random one? And which of them leave the cat, the bus
# and the others?
# :::

# %% tags=["agrees", "hide-input"]
norms = listen(pipe, night, seed=RANDOM_SEED)
masks = {"ConceptPrune": cr.locate(pipe, night, seed=RANDOM_SEED)}
again = cr.locate_by(partial(find, rule=tested, norms=norms), pipe, night)
for name, mask in masks["ConceptPrune"].items():
    assert torch.equal(again[name], mask), name
print(f"with the test: ConceptPrune's {again.count:,} weights, bit for bit")

masks["loudest"] = cr.locate_by(partial(find, norms=norms), pipe, night)
refused(cr.locate_by, lambda pipe, concept: {}, pipe, night)
refused(cr.locate_by, lambda pipe, concept: {"x": mask}, pipe, night)


# %% tags=["hide-input"]
def same_rows(masks, seed):
    """As many in each row, at random places."""
    source = torch.Generator().manual_seed(seed)
    return {
        name: m.gather(1, torch.rand(m.shape, generator=source).argsort(1))
        for name, m in masks.items()
    }


masks["random"] = cr.MaskSet(same_rows(masks["ConceptPrune"], RANDOM_SEED))
for name, found in masks.items():
    weights = cr.prune(original, found)
    sheets[name] = draw(pipe, night, with_it + others, weights)

wanted = [probe.labels for probe in night.retained]
shown = {
    name: (dark(sheet[:N]), judge.correct(sheet[N:], wanted))
    for name, sheet in sheets.items()
}
heads = ["weights taken", "night drawn", "others drawn"]
rows = {
    name: (
        f"{masks[name].fraction:.1%}" if name in masks else "none",
        *map(str, map(cr.Rate.of, outcomes)),
    )
    for name, outcomes in shown.items()
}
pd.DataFrame.from_dict(rows, orient="index", columns=heads)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-your-own-locators", "caption": "Six pictures asked for at night above, six others below, from the same noise, with the weights pruned that a locator points at. Move the slider or press Play."}}
slider_pictures(
    [tiled(sheet, columns=N, scale=1) for sheet in sheets.values()],
    list(sheets),
    "Six small pictures of things that should stand in the night, and below "
    "them a cat, a bus, a star, a castle, a rocket and a fish by day",
    control="locator",
)

# %% [markdown]
# ## Apparent success, and a probe
#
# Our locator does what ConceptPrune does ({numref}`fig-your-own-locators`): the night is gone and the others are there,
# while as many weights at random places do nothing. Was the second question idle, then?
#
# Random places are a weak control: whatever prunes loud weights does more than they do. A stricter one is as loud and
# has never heard of the night. Give the locator the base prompts in place of the target prompts. The mask is then
# located *by day*, and if the night goes with it too, then going does not mean having been found.
#
# :::{admonition} Predict before you run
# Both locators, by day. Which of these two masks makes pictures of the night go: the loudest weights by day, ConceptPrune's
# by day, both or neither? And how many of the weights loudest at night are among the loudest by day?
# :::

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-your-own-differences", "caption": "Paired differences to the original in pictures of the night that are dark, with 95 % intervals: six pictures each for masks located at night and for random places, twelve for masks located by day."}, "image": {"alt": "Five rows of dots with intervals and a dashed line at no difference: ConceptPrune and loudest at minus one, random at zero, and the two masks located by day."}}
k = night.settings.skill_ratio
by_day = {
    f"{name}, by day": cr.MaskSet(
        {n: rule(w, norms[n].flip(0), k) for n, w in original.items()}
    )
    for name, rule in (("ConceptPrune", tested), ("loudest", loudest))
}
more = erased_pictures(night, 2 * N, RANDOM_SEED)  # the first N as before
before = sheets["original"][:N] + draw(pipe, night, more[N:], original)
after = {name: dark(sheet[:N]) for name, sheet in sheets.items()}
del after["original"]
for name, found in by_day.items():
    sheet = draw(pipe, night, more, cr.prune(original, found))
    after[name] = dark(sheet)
    print(f"{name}: {found.fraction:.1%} of the weights")

changes = {
    name: cr.paired_difference(seen, dark(before)[: len(seen)])
    for name, seen in after.items()
}
show_differences(changes, label="nights drawn, after − before")
plt.show()

# %% [markdown]
# At night the two were alike; by day they are not ({numref}`fig-your-own-differences`). ConceptPrune's mask of the day
# leaves all twelve nights. The loudest weights of the day take some along, though no prompt of theirs ever said
# "night"; the interval only just ends below 0, so draw more before you build on it. That the night goes with the
# loudest weights says less than it seemed, then: part of it seems to be what pruning loud weights does to nights, wherever
# they were heard.
#
# ## The explanation: loud for what?
#
# Each weight sits in a column, and of the column we know how loud it is at night and by day
# ({numref}`fig-your-own-margin`).

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-your-own-margin", "caption": "Located weights by the margin of their column: the largest ratio, of the six steps, of the norm for target prompts to that for base prompts. Left of the line no step is louder for the night."}, "image": {"alt": "Two outlined histograms on a logarithmic axis of margins. The loudest weights reach from below 0.8 to above 3; ConceptPrune's begin at 1, lie on the others' line from there on, and end in the same high bar above 3."}}
loud, day = masks["loudest"], by_day["loudest, by day"]
print(f"loudest at night: {loud.count:,} weights;", end=" ")
print(f"{(loud & day).count / loud.count:.0%} of them also by day")

fig, ax = plt.subplots(figsize=(5.6, 2.5))
for name, state in (("loudest", "pruned"), ("ConceptPrune", "retained")):
    margins = [
        (norms[n][0] / norms[n][1]).amax(0).repeat_interleave(m.sum(0))
        for n, m in masks[name].items()
    ]
    margins = torch.cat(margins).clamp(0.8, 3)
    edges = np.geomspace(0.8, 3, 45)
    how = {"histtype": "step", "linewidth": 2, "color": PALETTE[state]}
    ax.hist(margins, edges, label=name, **how)
ax.axvline(1, color="0.3", linestyle="--", linewidth=1)
ax.set(xscale="log", xlabel="margin A/B of the column", ylabel="weights")
ax.set_xticks([0.8, 1, 1.5, 2, 3], ["≤ 0.8", "1", "1.5", "2", "≥ 3"])
ax.minorticks_off()
ax.legend()
plt.show()

# %% [markdown]
# Where columns are louder at night than by day the two masks agree. What the test takes away lies left of the line, and
# a large part of the loudest weights is among the loudest by day as well: loud for every picture, and so in every mask
# that asks for loudness alone.
#
# The test is only as good as the base prompts. Ours have a flaw: "a cat in a night" names a place and "a cat" names
# none. What is louder at night may be what is louder for any place. "A cat in a garden" would be the stricter base.
#
# Nothing here says that ConceptPrune's weights all belong to the night; [the chapter on them](03_skilled_neurons.ipynb) found
# many whose margin is hardly above 1.
#
# ## Layers of yours
#
# ConceptPrune looks at {term}`ff.net.2`. What `layers` says in Python and `--layers` on the command line can be a preset,
# the end of names, a pattern, a list, a function of a layer or a `cr.Selection`; the masks keep it. `--dry-run` says
# what it means in your model, with shapes and counts, and what is left out and why, before an hour is spent on it;
# `conceptrevive list layers` names the presets.
#
# A layer's mask depends on that layer alone. So one call hears them all, and each kind can be pruned by itself.
# {numref}`fig-your-own-layers` has what that does with the same {term}`skill ratio`.
#
# :::{admonition} Predict before you run
# Which kinds of layers, pruned alone, make the night go? The {term}`text encoder` sees nothing but the prompt; can pruning there
# do it?
# :::

# %% tags=["hide-input"]
PATTERN = "'mid_block.*.attn1.to_q,text_encoder/*.fc1'"
LOCATE = "locate pocket --concept night.yaml --out masks.safetensors"
run(f"{LOCATE} --layers {PATTERN} --dry-run", first=7)
run(f"{LOCATE} --layers atention --dry-run")
wide = cr.read_weights(pipe, lambda x: x.denoises and x.matrix[1] > 1000)
print(f"by a function: {len(wide)} convolutions, as matrices", end=" ")
print(sorted({tuple(w.shape) for w in wide.values()}))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-your-own-layers", "caption": "As above, with ConceptPrune's masks of other layers, each kind pruned alone. Move the slider or press Play."}}
KINDS = ["ff-first", "attention", "convolutions", "text-mlp"]
every = cr.locate(pipe, night, layers=",".join(KINDS), seed=RANDOM_SEED)
few = with_it[:3] + others[:3]
sheet = sheets["original"]
tried = {"original": sheet[:3] + sheet[N : N + 3]}
for kind in KINDS:
    weights = cr.read_weights(pipe, kind)
    mine = cr.MaskSet({n: every[n] for n in weights})
    tried[kind] = draw(pipe, night, few, cr.prune(weights, mine))
    nights = sum(dark(tried[kind][:3]))
    right = sum(judge.correct(tried[kind][3:], wanted[:3]))
    print(f"{kind:<13}{len(mine):>3} layers {mine.count:>9,} weights;", end=" ")
    print(f"night {nights} of 3, others {right} of 3")
slider_pictures(
    [tiled(sheet, columns=3, scale=2) for sheet in tried.values()],
    list(tried),
    "Three small pictures that should show a night, and below them a cat, a "
    "bus and a star by day",
    control="layers",
)

# %% [markdown]
# In these three pictures the first feed-forward layers and the attention take the night, and some of the others with it.
# Without these kernels of the convolutions all is noise. Noise is not dark: whoever reads the rate of the night alone
# reports a perfect erasure. And a tenth of the text encoder's feed-forward weights leaves everything in place. The skill
# ratio was chosen for {term}`ff.net.2`; other layers want one of their own, and three pictures rank nothing.
#
# `all` and `linear` are not for ConceptPrune on a {term}`UNet`: layers for the time step see no single picture, and are
# refused by name.
#
# ## Methods in a file
#
# Commands take a function as `module:function` of a module that is installed or lies in the working folder. A magnitude
# says how large a revived weight is, a defence what stands in place of the zeros. Both see weights and masks, no
# pictures. A package gives them names, by an entry point:
#
# ```toml
# [project.entry-points."conceptrevive.locators"]
# loudest = "mine:find"
# ```
#
# Here the file is put together from the cells above, and registered by writing what `pip install` would write.


# %% tags=["hide-input"]
def size(weight, mask, generator):
    """Half of the row's largest survivor: (rows, 1)."""
    return torch.where(mask, 0, weight).abs().amax(1, keepdim=True) / 2


def shuffled(weights, masks, seed=0):
    """In each layer the pruned places get survivors, drawn anew."""
    source = torch.Generator().manual_seed(seed)
    out = {}
    for name, w in weights.items():
        m, alive = masks[name], w[~masks[name]]
        drawn = torch.randint(len(alive), (int(m.sum()),), generator=source)
        out[name] = w.masked_scatter(m, alive[drawn])
    return out


imports = "import numpy as np\nimport torch\n\nimport conceptrevive as cr\n"
imports += "from conceptrevive.unlearning.recording import column_norms\n"
functions = (loudest, listen, find, dark, size, shuffled)
parts = [imports, *map(inspect.getsource, functions)]
(FOLDER / "mine.py").write_text("\n\n".join(parts))

installed = FOLDER / "mine-1.0.dist-info"
installed.mkdir()
(installed / "METADATA").write_text("Name: mine\nVersion: 1.0\n")
entry = "[conceptrevive.locators]\nloudest = mine:find\n"
(installed / "entry_points.txt").write_text(entry)
sys.path.append(str(FOLDER))
run("list locators")

# %% [markdown]
# ## From two checkpoints to masks
#
# Whoever unlearned a model, and however: if you have the original too, the places are what differs. Suppose somebody
# publishes the night pruned and then hidden by {term}`obfuscation`, without a word about how.

# %% tags=["hide-input"]
hidden = cr.obfuscate(original, masks["ConceptPrune"], seed=RANDOM_SEED)
theirs = {f"{name}.weight": w for name, w in hidden.items()}
save_file(theirs, FOLDER / "theirs.safetensors")

run("masks pocket theirs.safetensors --out found.safetensors")
run(
    "masks pocket theirs.safetensors --out found.safetensors "
    "--entries changed --layers feed-forward",
    first=5,
)
found = cr.MaskSet.load(FOLDER / "found.safetensors")
true = masks["ConceptPrune"]
print(f"{(found & true).count:,} of {true.count:,} places found,", end=" ")
print(f"{found.count - (found & true).count} wrong ones\n")

run(
    "revive theirs.safetensors --masks found.safetensors "
    "--out back.safetensors",
    first=3,
)
back = load_file(FOLDER / "back.safetensors")
revived = cr.revive(cr.prune(hidden, found), found)
assert all(torch.equal(back[f"{n}.weight"], w) for n, w in revived.items())
print("what stood at these places makes no difference, bit for bit")

# %% [markdown]
# No weight is zero, and the refusal says what there is instead. With that the noise hides nothing: where the original is
# public, the map is what is left when one file is taken from the other. (What is missing was drawn, by chance, as it had
# been, in the half precision of the {term}`pocket model`'s file.) `--entries moved` leaves out what hardly moved, as after
# training.
#
# ## A model of yours
#
# Another family of diffusers takes the same commands. PixArt-Σ {cite}`chen2024pixart` has a transformer in place of the {term}`UNet` and T5 {cite}`raffel2020t5` for
# its text. Here is one of random weights, so small that it draws in a second; it lies in a folder as a download from the
# hub would. Its pictures are noise, and nothing can be forgotten. What it shows is that every step fits.


# %% tags=["hide-input"]
def tiny_pixart(tokenizer, seed):
    """PixArt-Σ with random weights, for 64 pixels."""
    heads = {"attention_head_dim": 8, "num_attention_heads": 4}
    sides = {"sample_size": 8, "in_channels": 4, "out_channels": 8}
    reads = {"caption_channels": 32, "cross_attention_dim": 32}
    parts = {**heads, **sides, **reads, "num_layers": 2}
    net = diffusers.PixArtTransformer2DModel(**parts)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4}
    sizes |= {"num_layers": 2, "vocab_size": len(tokenizer)}
    text = transformers.T5EncoderModel(transformers.T5Config(**sizes))
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4}
    kinds |= {"up_block_types": ("UpDecoderBlock2D",) * 4}
    wide = {"latent_channels": 4, "block_out_channels": (8,) * 4}
    coder = diffusers.AutoencoderKL(**kinds, **wide, norm_num_groups=4)
    source = torch.Generator().manual_seed(seed)
    for part in (net, text, coder):
        part.eval().requires_grad_(False)
        for name, p in part.named_parameters():
            if p.ndim > 1:
                p.normal_(0, p[0].numel() ** -0.5, generator=source)
            elif name.endswith("bias"):
                p.zero_()
    return diffusers.PixArtSigmaPipeline(
        tokenizer, text, coder, net, diffusers.DDIMScheduler()
    )


other = tiny_pixart(pipe.tokenizer, RANDOM_SEED)
other.save_pretrained(FOLDER / "pixart")

# %% tags=["hide-input"]
SHORT = "--steps 4 --guidance 3"
run(
    "locate pixart --concept night.yaml --method loudest --out m.safetensors",
    first=3,
)
run("prune pixart --masks m.safetensors --out pruned", first=3)
run("revive pruned --magnitude mine:size --out revived", first=4)
run(
    "obfuscate pixart --masks m.safetensors --defence mine:shuffled "
    "--out hidden",
    first=3,
)
run(
    "evaluate revived --concept night.yaml --judge mine:dark --images 4 "
    f"--retained 0 {SHORT}",
    first=4,
)
run("audit pruned", first=1)

plain = diffusers.DiffusionPipeline.from_pretrained(FOLDER / "revived")
plain.set_progress_bar_config(disable=True)
how = {"num_inference_steps": 4, "use_resolution_binning": False}
how |= {"clean_caption": False}
picture = plain("a cat in a night", **how).images[0]
print(f"plain diffusers draws {type(picture).__name__} {picture.size}")

# %% [markdown]
# Every command takes the folder as it takes the pocket model, with the functions of our file, and what is written loads
# in diffusers alone. The audit calls the pruned folder pruned: it looks at values and asks no architecture.
# A table in [Your concept, your model](../book/your-own.md) lists the families that are drawn with in their own way.
#
# :::{admonition} On a real model loading takes more words
# :class: dropdown
# Refusals say which. They are for `locate` and `evaluate`:
#
# ```console
# conceptrevive locate MODEL --dtype bfloat16 --variant fp16 …
# conceptrevive locate MODEL --unet my-unet/ …
# conceptrevive locate MODEL --lora style.safetensors@0.8 …
# conceptrevive locate model.safetensors --config like-it/ …
# ```
# :::
#
# ## A pipeline of your own making
#
# What if the class is yours too? This one has the pocket model's parts and is called otherwise: the prompt is a
# `caption`, and {term}`guidance's <classifier-free guidance>` two predictions are two calls.
#
# An adapter says what differs. We give it in two parts, so that each lack is seen: it is refused, with what to add. Then
# comes the test that is worth having for whatever you plug in, a case in which the answer is known. These are the pocket
# model's weights, so the {term}`mask` must be the pocket model's too.
#
# `generate` and `evaluate` take `adapter=` as `locate` does, commands `--adapter mine:InTwoCalls`, and an entry point of
# `conceptrevive.adapters` makes it the way of its class.


# %% tags=["hide-input"]
class Captioned(diffusers.StableDiffusionPipeline):
    """Stable Diffusion, called in a way of its own."""

    @torch.no_grad()
    def __call__(
        self,
        caption,
        num_inference_steps,
        guidance_scale,
        latents,
        generator=None,
        output_type="pil",
    ):
        texts = self.encode_prompt(caption, self.device, 1, True)
        self.scheduler.set_timesteps(num_inference_steps)
        for t in self.scheduler.timesteps:
            told, untold = (self.unet(latents, t, x).sample for x in texts)
            noise = untold + guidance_scale * (told - untold)
            latents = self.scheduler.step(noise, t, latents).prev_sample
        if output_type == "latent":
            return StableDiffusionPipelineOutput(latents, None)
        pixels = self.vae.decode(latents / self.vae.config.scaling_factor)
        images = self.image_processor.postprocess(pixels.sample, output_type)
        return StableDiffusionPipelineOutput(images, None)


# %%
class ByCaption(cr.Adapter):
    def prompts(self, model, prompts):
        return {"caption": list(prompts)}


class InTwoCalls(ByCaption):
    def layout(self, model, guidance):
        return (("prompt",), ("none",))


mine = Captioned(**pipe.components, requires_safety_checker=False)
two = replace(
    night,
    target_prompts=night.target_prompts[:2],
    base_prompts=night.base_prompts[:2],
)
refused(cr.locate, mine, two)
refused(cr.locate, mine, two, adapter=ByCaption())
own = cr.locate(mine, two, adapter=InTwoCalls())
usual = cr.locate(pipe, two)
same = (own & usual).count / (own | usual).count
print(f"with its adapter: Jaccard index {same:.4f} with the usual mask")

# %% [markdown]
# ## Summary
#
# - A concept is fit if three counts say so before anything is pruned: the original draws it, the judge sees it, and the
#   judge is silent where it was not asked for.
# - Locators, judges, magnitudes and defences are functions. What they return is checked for its form; whether it means
#   what its name says is for a control to tell.
# - A locator whose mask makes a concept go has not thereby found it. Ours did as well as ConceptPrune, until both were
#   asked for a mask without the concept. A control has to be as loud as what it controls for.
# - One selection says which layers, in every function and command. A layer's mask from activations does not depend on
#   which other layers were heard.
# - Two checkpoints give the map without any locator.
# - Another family takes the same commands; another way of being called takes an adapter, which a known answer tests.

# %% [markdown]
# ## What could be wrong
#
# - **Six or twelve pictures, one seed, one concept.** That is enough to see a model break, not to rank locators that do
#   not break it. [The scorecard](18_scorecard.ipynb) takes hundreds.
# - **The judge of the night looks at brightness.** A model that draws black squares passes for one that draws nights.
# - **The locators differ in size too.** Without the test more weights are taken; exercise 3 and a smaller skill ratio are
#   ways to tell size from place.
# - **The base prompts have no scene**, so the test asks for the night and for any place together.
# - **A random model proves that shapes fit**, not that a concept of that family can be located, erased or revived.
# - **`column_norms` hears what the released code hears.** A locator of gradients needs other ears; see
#   [other locators](11_other_locators.ipynb).

# %% [markdown]
# ## Exercises
#
# Replace the three dots, run the cell, and the check tells you whether you are right. Solutions are
# folded below each exercise.
#
# ### Exercise 1: all that the text goes through (●○○, 5 minutes)
#
# Which `--layers` takes the keys and values of every cross-attention of the pocket model (`attn2`, not `attn1`), and the
# second linear layer of each block of its text encoder (`fc2`), and nothing else? Give the text.
#
# :::{admonition} Hint
# :class: dropdown
# Several ends of names or patterns go together with commas between them. `run(f"{LOCATE} --layers … --dry-run")` says what
# is taken.
# :::

# %%
layers = ...
check("your_own.1", layers)

# %% tags=["solution", "hide-cell"]
layers = "attn2.to_k,attn2.to_v,text_encoder/*.fc2"
check("your_own.1", layers)

# %% [markdown]
# ### Exercise 2: a magnitude (●●○, 10 minutes)
#
# {term}`Neuron max` follows a row's one largest weight. Write `typical(weight, mask, generator)`, which gives every
# revived weight the median $|w|$ of its row's survivors, as `(rows, 1)`. Then look at `cr.revive(…, magnitude=typical)`.
#
# :::{admonition} Hint
# :class: dropdown
# Masked places hold the completion's guesses; put `torch.nan` there and take `nanmedian`.
# :::

# %%
typical = ...
check("your_own.2", typical)


# %% tags=["solution", "hide-cell"]
def typical(weight, mask, generator):
    alive = torch.where(mask, torch.nan, weight).abs()
    return alive.nanmedian(1, keepdim=True).values


pruned = cr.prune(original, masks["ConceptPrune"])
smaller = cr.revive(pruned, magnitude=typical)
check("your_own.2", typical)

# %% [markdown]
# ### Exercise 3: a stricter control (●●○, 10 minutes)
#
# ConceptPrune's mask has two parts: which columns, and of each column which rows. Write `same_columns(masks, seed)`,
# which keeps the number of pruned weights in every column and draws the rows. If that control erased the night as well,
# what would follow for the $|W_{ij}|$ in {eq}`eq-your-own-loudest`?
#
# :::{admonition} Hint
# :class: dropdown
# `same_rows` shuffles each row; shuffle along the other dimension.
# :::

# %%
same_columns = ...
check("your_own.3", same_columns)


# %% tags=["solution", "hide-cell"]
def same_columns(masks, seed):
    source = torch.Generator().manual_seed(seed)
    return {
        name: m.gather(0, torch.rand(m.shape, generator=source).argsort(0))
        for name, m in masks.items()
    }


check("your_own.3", same_columns)

# %% [markdown]
# ### Exercise 4: moved (●●○, 10 minutes)
#
# `--entries moved` takes weights that differ from the original by more than `far` standard deviations of the original
# matrix, upwards or downwards. Write `moved(new, old, far)`, which returns the mask.
#
# :::{admonition} Hint
# :class: dropdown
# `old.std()` is the unit; `abs()` makes it both ways.
# :::

# %%
moved = ...
check("your_own.4", moved)


# %% tags=["solution", "hide-cell"]
def moved(new, old, far):
    return (new - old).abs() > far * old.std()


check("your_own.4", moved)

# %% [markdown]
# ## References

# %% [markdown]
# ## Versions

# %%
versions()
