"""Layers of Flux's, SD 3's and others' original files go by diffusers' names, or are refused."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
import torch
from diffusers import SD3Transformer2DModel
from diffusers.loaders import single_file_utils
from safetensors.torch import load_file

import conceptrevive as cr
from conceptrevive.checkpoints import originals
from conceptrevive.checkpoints.contents import open_checkpoint
from conceptrevive.checkpoints.layers import find_layers, read_layers
from conceptrevive.checkpoints.originals import CODES, Names, names_of
from conceptrevive.checkpoints.selection import choose_layers, inventory, read_candidates
from conceptrevive.cli import main
from conceptrevive.models.matrices import choose
from conceptrevive.models.presets import PRESETS
from tests import families
from tests.checkpoints.originals import LDM, TABLES, original, original_name
from tests.checkpoints.small import saved

pytestmark = pytest.mark.usefixtures("one_thread")

FAMILIES = tuple(TABLES)
CONVERTERS = dict(zip(("chroma", "flux", "sd3", "auraflow", "lumina2", "sana"), CODES, strict=True))
CONVERTERS["sd35"] = CONVERTERS["sd3"]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    if not hasattr(single_file_utils, CONVERTERS[request.param].converter):
        pytest.skip(f"this version of diffusers does not convert {request.param}")
    return request.param


@pytest.fixture(scope="module")
def net(family):
    if family == "sd35":  # with a second attention in some blocks
        return SD3Transformer2DModel.from_config(
            dict(families.build("sd3").transformer.config)
            | {"dual_attention_layers": (0,), "qk_norm": "rms_norm"}
        )
    return families.build(family).transformer


@pytest.fixture(scope="module", params=["", LDM], ids=["bare", "in a whole model's"])
def file(request, family, net, tmp_path_factory):
    weights = original(family, net.state_dict(), request.param)
    return saved(tmp_path_factory.mktemp(family) / "model.safetensors", weights)


def apart(file):
    """The layers that stand in no tensor of their own, by their names."""
    return {x.key for x in inventory(open_checkpoint(file)) if x.kind == "opaque"}


@pytest.mark.parametrize("layers", [*sorted({*PRESETS} - {"text-mlp"}), "*.to_out.0", None])
def test_a_selection_means_the_same_as_in_the_model(layers, net, file):
    kinds = {x.kind for x in choose(net, "all").inventory}
    if layers == "convolutions" and "convolution" not in kinds:
        for chosen in (partial(choose, net), partial(choose_layers, open_checkpoint(file))):
            with pytest.raises(cr.ConceptReviveError):
                chosen(layers)
        return
    wanted = choose(net, layers).layers
    found = choose_layers(open_checkpoint(file), layers).layers
    assert found.keys() == wanted.keys()
    for name, layer in found.items():
        assert layer.shape in (wanted[name].shape, ()), name
    assert all(found[n].shape or n in apart(file) for n in found)


def test_weights_are_those_of_the_model(net, file):
    every = {x.name for x in choose(net, "all").inventory}
    whole = sorted(every - apart(file))
    weights = read_layers(find_layers(open_checkpoint(file), whole))
    wanted = cr.read_weights(net, whole)
    assert weights.keys() == wanted.keys() and len(whole) > len(every) / 3
    assert all(torch.equal(weights[n], w) for n, w in wanted.items())
    feed_forward, there = cr.read_weights(net), read_candidates(file)
    assert there.keys() == feed_forward.keys()
    assert all(torch.equal(there[n], w) for n, w in feed_forward.items())


def test_what_is_taken_apart_is_what_the_original_keeps_with_others(family, net, file):
    joined: dict[str, list[str]] = {}
    for name in net.state_dict():
        joined.setdefault(original_name(family, name)[0], []).append(name)
    together = {n for names in joined.values() if len(names) > 1 for n in names}
    swapped = {n for n in apart(file) if "norm" in n}
    assert apart(file) - swapped == {
        n.removesuffix(".weight") for n in together if n.endswith("weight")
    }
    assert swapped <= {"norm_out.linear", "transformer_blocks.1.norm1_context.linear"}


@pytest.mark.parametrize("family", ["sd3", "sd35", "auraflow", "sana"], indirect=True)
def test_diffusers_reads_the_same_from_it(family, net, file, tmp_path):
    """Diffusers' own loader is the oracle for every name, where it takes models of any size."""
    if family == "auraflow" and all(n.startswith(LDM) for n in load_file(file)):
        pytest.skip("diffusers does not take it so")
    net.save_config(tmp_path)
    loader = type(net).from_single_file
    read = loader(str(file), config=str(tmp_path), local_files_only=True)
    mine = net.state_dict()
    assert all(torch.equal(p, mine[n]) for n, p in read.state_dict().items())


@pytest.mark.parametrize("family", ["flux", "chroma", "lumina2"], indirect=True)
def test_diffusers_moves_the_same(family, net):
    """Where it takes one size only: its converter, on tensors of that size without data."""
    sizes = {"flux": (3072, 12288), "chroma": (3072, 12288), "lumina2": (2304, 768)}[family]
    keys = original(family, net.state_dict())
    given = {key: torch.empty(w.shape, device="meta") for key, w in keys.items()}
    for key in given:
        rows = 3 * sizes[0]
        if "linear1" in key:
            rows += sizes[1]
        elif family == "lumina2":
            rows = sizes[0] + 2 * sizes[1]
        if re.search(r"qkv\.|linear1\.", key):
            given[key] = torch.empty((rows, *given[key].shape[1:]), device="meta")
    convert = getattr(single_file_utils, CONVERTERS[family].converter)
    made = convert(dict(given))
    names = names_of({key: tuple(w.shape) for key, w in keys.items()})
    assert names.moved and all(made[new] is given[key] for key, new in names.moved.items())
    ids = {id(w) for w in given.values()}
    rest = {n for n, w in made.items() if id(w) not in ids and n.endswith("weight")}
    assert {f"{n}.weight" for n in names.apart} == rest
    sized = names_of({key: tuple(w.shape) for key, w in given.items()})
    assert {n: tuple(made[f"{n}.weight"].shape) for n in sized.apart} == {
        n: x.shape for n, x in sized.apart.items()
    }


def masks_of(net, names=None):
    weights = cr.read_weights(net, names)
    small = {n: w.abs() <= w.abs().float().quantile(0.1) for n, w in weights.items()}
    return cr.MaskSet(small, concept="cat")


def test_pruned_revived_and_hidden_under_the_old_names(family, net, file, tmp_path, capsys):
    masks, path = masks_of(net), tmp_path / "masks"
    masks.save(path)
    keys = {original_name(family, f"{n.partition('[')[0]}.weight")[0] for n in masks}
    before = load_file(file)
    prefix = LDM if all(k.startswith(LDM) for k in before) else ""
    out = {name: tmp_path / f"{name}.safetensors" for name in ("pruned", "revived", "hidden")}
    more = ["--masks", str(path), "--out"]
    assert main(["prune", str(file), *more, str(out["pruned"])]) == 0
    assert main(["revive", str(out["pruned"]), *more, str(out["revived"])]) == 0
    assert main(["obfuscate", str(file), *more, str(out["hidden"])]) == 0
    capsys.readouterr()
    for written in out.values():
        after = load_file(written)
        assert list(after) == list(before)
        changed = {n for n, w in after.items() if not torch.equal(w, before[n])}
        assert changed == {prefix + k for k in keys}
    pruned = read_candidates(out["pruned"])
    for name, weight in cr.prune(cr.read_weights(net), masks).items():
        assert torch.equal(pruned[name], weight)
    assert main(["masks", str(file), str(out["pruned"]), "--out", str(tmp_path / "m")]) == 0
    found = cr.MaskSet.load(tmp_path / "m")
    assert sum(m.sum() for m in found.values()) == masks.count


def test_masks_of_a_part_are_refused(net, file, tmp_path, capsys):
    every = cr.read_weights(net)
    masks_of(net, list(every)[:1]).save(tmp_path / "masks")
    argv = ["prune", str(file), "--masks", str(tmp_path / "masks"), "--out"]
    assert main([*argv, str(tmp_path / "o.safetensors")]) == 2
    assert "the masks cover 1 of its" in capsys.readouterr().err


def test_what_is_taken_apart_is_refused_by_name(net, file, tmp_path, capsys):
    if not apart(file):
        pytest.skip("nothing is")
    loader = f"{type(net).__name__}.from_single_file(FILE).save_pretrained(FOLDER)"
    for name in sorted(apart(file)):
        with pytest.raises(cr.ConceptReviveError) as e:
            find_layers(open_checkpoint(file), [f"transformer/{name}"])
        assert str(e.value).startswith(f"transformer/{name}: {file} keeps it within ")
        assert "which diffusers takes apart or orders anew, so convert it with" in str(e.value)
        assert loader in str(e.value)
    name = min(apart(file))
    masks_of(net, [name]).save(tmp_path / "masks")
    argv = ["prune", str(file), "--masks", str(tmp_path / "masks"), "--out"]
    assert main([*argv, str(tmp_path / "o.safetensors")]) == 2
    assert f"{name}: {file} keeps it within " in capsys.readouterr().err
    assert not (tmp_path / "o.safetensors").exists()


def test_the_joined_tensor_goes_by_its_own_name(file):
    """So that an attack without masks finds what was pruned there, too."""
    checkpoint = open_checkpoint(file)
    keys = sorted({x.key.removesuffix(".weight") for x in names_of(shapes(file)).apart.values()})
    assert set(find_layers(checkpoint, keys)) == set(keys)


def shapes(file):
    return {n: tuple(w.shape) for n, w in load_file(file).items()}


def test_the_command_line_says_what_there_is(net, file, tmp_path, capsys):
    assert main(["list", "layers", str(file)]) == 0
    told = capsys.readouterr().out
    assert "transformer/" in told and "feed-forward" in told
    masks_of(net).save(tmp_path / "masks")
    argv = ["obfuscate", str(file), "--masks", str(tmp_path / "masks"), "--dry-run", "--out"]
    assert main([*argv, str(tmp_path / "o.safetensors")]) == 0
    told = capsys.readouterr().out
    if apart(file):
        assert "goes by the file's own name, and by none of diffusers'" in told


@pytest.mark.parametrize("file", [""], indirect=True)
def test_zeros_are_found_where_they_are(file, tmp_path, capsys):
    """Without masks, as an attacker has none; the audit reads the file by its own names."""
    weights = load_file(file)
    in_blocks = [n for n in weights if re.search(r"(blocks|layers)\.\d", n)]
    wide = [n for n in in_blocks if weights[n].ndim == 2 and min(weights[n].shape) >= 32]
    generator = torch.Generator().manual_seed(0)
    for name in wide:
        there = torch.rand(weights[name].shape, generator=generator)
        weights[name] = weights[name].masked_fill(there < 0.1, 0)
    pruned = saved(tmp_path / "pruned.safetensors", weights)
    assert main(["audit", str(pruned), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert set(report["findings"][0]["layers"]) <= set(wide)
    out = tmp_path / "revived.safetensors"
    assert main(["revive", str(pruned), "--out", str(out)]) == 0
    changed = {n for n, w in load_file(out).items() if not torch.equal(w, weights[n])}
    assert changed == set(wide)


def test_a_pipeline_and_its_original_file_are_compared(family, net, file, tmp_path, capsys):
    """Layers that both have as such; the others are named."""
    folder = tmp_path / "transformer"
    changed = masks_of(net)
    with cr.swapped(net, cr.prune(cr.read_weights(net), changed)):
        net.save_pretrained(folder)
    changes = cr.masks_between(file, folder)
    weights = cr.read_weights(net, list(changed))
    zeroed = sum(int((changed[n] & (w != 0)).sum()) for n, w in weights.items())
    assert changes.counts["zeroed"] == changes.masks.count == zeroed > 0
    assert apart(file) <= set(changes.left_out)


@pytest.mark.parametrize("family", ["flux", "sd3"], indirect=True)
def test_what_diffusers_cannot_convert_keeps_its_remedy(family, net, file, monkeypatch):
    """A tensor is missing, or diffusers is too old."""
    remedy = f"so convert it with diffusers: {type(net).__name__}.from_single_file"
    weights = shapes(file)
    prefix = LDM if all(k.startswith(LDM) for k in weights) else ""
    key = original_name(family, "proj_out.weight")[0]
    assert names_of({k: s for k, s in weights.items() if k != prefix + key}) == Names()
    monkeypatch.delattr(single_file_utils, CONVERTERS[family].converter)
    assert names_of(weights) == Names()
    with pytest.raises(cr.ConceptReviveError, match=re.escape(remedy)):
        choose_layers(open_checkpoint(file))


def test_the_text_encoders_of_stable_diffusion_3(tmp_path):
    pipe = families.build("sd3")
    weights = original("sd3", pipe.transformer.state_dict(), LDM)
    for name, encoder, wrapped in (
        ("clip_l", pipe.text_encoder, "text_model."),
        ("clip_g", pipe.text_encoder_2, "text_model."),
        ("t5xxl", pipe.text_encoder_3, ""),
    ):
        for key, p in encoder.state_dict().items():
            own = f"{wrapped}{key.removeprefix(wrapped)}" if "projection" not in key else key
            weights[f"text_encoders.{name}.transformer.{own}"] = p.clone()
    weights["first_stage_model.decoder.conv_in.weight"] = torch.ones(8, 4, 3, 3)
    path = saved(tmp_path / "sd3.safetensors", weights)
    wanted = cr.read_weights(pipe, "text-mlp,feed-forward")
    there = read_layers(find_layers(open_checkpoint(path), wanted))
    assert there.keys() == wanted.keys() and {n.partition("/")[0] for n in wanted if "/" in n} == {
        "text_encoder",
        "text_encoder_2",
        "text_encoder_3",
    }
    assert all(torch.equal(there[n], w) for n, w in wanted.items())
    assert not any("first_stage" in n for n in choose_layers(open_checkpoint(path), "all").layers)


def test_files_as_diffusers_names_them_are_left_as_they_are(net):
    assert names_of({n: tuple(w.shape) for n, w in net.state_dict().items()}) == Names()
    assert originals.names_of({}) == Names()


@pytest.mark.parametrize("prefix", ["", LDM])
def test_the_original_file_in_a_pipeline_of_diffusers(tmp_path, prefix, capsys):
    """Located with the file in a pipeline's place, pruned there, and loaded so again."""
    folder = families.folder("sd3")
    net = families.build("sd3").transformer
    state = {n: p + 0.01 for n, p in net.state_dict().items()}
    weights = original("sd3", state, prefix)
    weights |= {"first_stage_model.x.weight": torch.ones(4, 4)} if prefix else {}
    file = saved(tmp_path / "sd3.safetensors", weights)
    loaded = cr.load_pipeline(folder, device="cpu", denoiser=file).transformer
    assert all(torch.equal(p, state[n]) for n, p in loaded.state_dict().items())
    assert not loaded.training
    concept, masks = tmp_path / "c.yaml", tmp_path / "masks"
    concept.write_text(CONCEPT)
    drawn = ["--concept", str(concept), "--device", "cpu", "--size", "16", "--out", str(masks)]
    assert main(["locate", str(folder), "--transformer", str(file), *drawn]) == 0
    pruned = tmp_path / "pruned.safetensors"
    assert main(["prune", str(file), "--masks", str(masks), "--out", str(pruned)]) == 0
    capsys.readouterr()
    again = cr.load_pipeline(folder, device="cpu", denoiser=pruned)
    for name, weight in cr.read_weights(again).items():
        assert torch.equal(weight == 0, cr.MaskSet.load(masks)[name])


CONCEPT = """
name: cat
target_prompts: [a cat, a cat in the park]
base_prompts: [a garden, a park]
labels: [cat]
settings: {skill_ratio: 0.2, tau: 2, steps: 3, guidance: 3}
"""


def test_an_original_file_that_does_not_fit_a_pipeline(tmp_path):
    folder = families.folder("sd3")
    weights = original("sd3", families.build("sd3").transformer.state_dict())
    short = dict(weights)
    del short["joint_blocks.1.x_block.mlp.fc2.bias"]
    narrow = weights | {"x_embedder.proj.bias": torch.ones(3)}
    for spoilt, said in (
        (short, "joint_blocks.1.x_block.mlp.fc2.bias"),
        (narrow, "pos_embed.proj"),
    ):
        file = saved(tmp_path / "sd3.safetensors", spoilt)
        with pytest.raises(
            cr.ConceptReviveError,
            match=r"sd3\.safetensors does not fit a SD3Transformer2DModel like that in .*: its "
            f"tensors are not named as diffusers does, and it cannot convert .*{re.escape(said)}",
        ):
            cr.load_pipeline(folder, device="cpu", denoiser=file)
    with pytest.raises(cr.ConceptReviveError, match="--transformer, a file of its denoiser alone"):
        cr.load_pipeline(file, device="cpu")
