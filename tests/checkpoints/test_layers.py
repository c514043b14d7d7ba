"""Layers are found by module name in any part of a checkpoint; masks fit it whole or not at all."""

from __future__ import annotations

import re

import pytest
import torch

from conceptrevive.checkpoints.contents import open_checkpoint
from conceptrevive.checkpoints.layers import (
    all_layers,
    each_matrix,
    find_layers,
    unreadable,
)
from conceptrevive.checkpoints.selection import choose_layers, expect_whole, read_candidates
from conceptrevive.errors import ConceptReviveError
from tests.checkpoints.small import (
    block,
    candidates,
    matrix,
    pipeline,
    saved,
    text_encoder,
    unet,
)

pytestmark = pytest.mark.usefixtures("one_thread")
FC2 = [f"text_encoder/text_model.encoder.layers.{i}.mlp.fc2" for i in range(2)]


def opened(path, **options):
    return open_checkpoint(path, **{"components": None} | options)


def file_of(tmp_path, weights):
    return opened(saved(tmp_path / "m.safetensors", weights))


def refused(message, work, *arguments):
    with pytest.raises(ConceptReviveError) as error:
        work(*arguments)
    assert message in str(error.value), error.value


# --- finding --------------------------------------------------------------------------------------


def test_layers_come_in_the_order_of_the_files(tmp_path):
    checkpoint = opened(pipeline(tmp_path / "p"))
    found = find_layers(checkpoint, reversed([*FC2, *candidates(2)]))
    assert list(found) == [*candidates(2), *FC2], "part by part, as they are asked for"
    assert found[FC2[0]].header.path == tmp_path / "p" / "text_encoder" / "model.safetensors"
    assert {n: p.entry.name for n, p in found.items() if "/" not in n} == {
        n: f"{n}.weight" for n in candidates(2)
    }


@pytest.mark.parametrize("in_file", ["", "text_model."])
@pytest.mark.parametrize("asked", ["", "text_model."])
@pytest.mark.parametrize("end", ["", ".weight"])
def test_names_of_either_form(in_file, asked, end, tmp_path):
    """Module names of transformers 4 and 5 against files of either; or the parameters' own."""
    checkpoint = opened(pipeline(tmp_path / "p", text=text_encoder(prefix=in_file)))
    names = [f"text_encoder/{asked}encoder.layers.{i}.mlp.fc2{end}" for i in range(2)]
    found = find_layers(checkpoint, names)
    assert list(found) == names
    assert [p.entry.name for p in found.values()] == [
        f"{in_file}encoder.layers.{i}.mlp.fc2.weight" for i in range(2)
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (candidates(3), "down_blocks.2.attentions.0.transformer_blocks.0.ff.net.2: "),
        (candidates(3), "/p has no such layer: locate on this model first"),
        (["text_encoder/nothing"], "text_encoder/nothing: "),
        (["text_encoder_2/x"], "/p has no weights of a component 'text_encoder_2'"),
        (["safety_checker/x"], "/p has 'safety_checker' as pickles, not read: load it where"),
        (["unet/nothing"], "unet/nothing: "),
        (
            [candidates(1)[0], f"{candidates(1)[0]}.weight"],
            f"{candidates(1)[0]} is named twice, with '.weight' at its end and without",
        ),
        ([candidates(1)[0], f"unet/{candidates(1)[0]}"], f"{candidates(1)[0]} is named twice"),
        ([FC2[0], f"{FC2[0]}.weight"], f"{FC2[0]} is named twice"),
    ],
)
def test_names_that_cannot_be_found(names, message, tmp_path):
    folder = pipeline(tmp_path / "p")
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "pytorch_model.bin").write_bytes(b"x")
    refused(message, find_layers, opened(folder), names)


@pytest.mark.parametrize("start", ["joint_blocks.1.1", "double_blocks.0"])
def test_in_another_layout_the_remedy_is_not_to_locate(start, tmp_path):
    checkpoint = file_of(tmp_path, {f"{start}.ff.0.weight": matrix(0)})
    with pytest.raises(ConceptReviveError, match=r"from_single_file\(FILE\)") as error:
        find_layers(checkpoint, candidates(1))
    assert "locate" not in str(error.value)
    refused("from_single_file(FILE)", choose_layers, checkpoint)


def test_slashes_in_the_names_of_a_single_file(tmp_path):
    """Flax names layers so: they are no components."""
    names = [f"down_blocks_{i}/ff/kernel" for i in range(2)]
    checkpoint = file_of(tmp_path, {n: matrix(0) for n in names})
    assert list(find_layers(checkpoint, names)) == list(all_layers(checkpoint)) == names


def test_one_tensor_in_two_files(tmp_path):
    for name in ("one", "two"):
        saved(tmp_path / "p" / f"{name}.safetensors", unet())
    checkpoint = opened(tmp_path / "p")
    for work in (lambda: find_layers(checkpoint, candidates(1)), lambda: all_layers(checkpoint)):
        refused("two.safetensors: tensor 'down_blocks.0", work)
        refused(f"stands in another file of {tmp_path / 'p'} too: give the file you mean", work)


# --- whole or not at all --------------------------------------------------------------------------


def kv(blocks):
    return [block(i, f"attn2.to_{x}") for i in range(blocks) for x in "kv"]


@pytest.mark.parametrize(
    "names", [candidates(4), kv(4), [*kv(4), *candidates(4)], ["down_blocks.3.attentions.0.norm"]]
)
def test_all_layers_of_a_kind_are_whole(names, tmp_path):
    weights = unet(blocks=4) | {"down_blocks.3.attentions.0.norm.weight": matrix(0)}
    expect_whole(file_of(tmp_path, weights), names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (candidates(2), "the masks cover 2 of its 4 such layers and leave out down_blocks.2."),
        (kv(4)[:7], "cover 7 of its 8 such layers and leave out down_blocks.3.attentions.0."),
        ([*kv(4)[:7], *candidates(4)], "cover 11 of its 12 such layers and leave out"),
        (["down_blocks.0.resnets.1.conv1"], "cover 1 of its 2 such layers and leave out down_bl"),
    ],
    ids=["SD-2 on SDXL", "one to_v too few", "of two kinds", "convolutions"],
)
def test_masks_of_a_smaller_model_that_fit_by_chance(names, message, tmp_path):
    checkpoint = file_of(tmp_path, unet(blocks=4))
    refused(f"{tmp_path / 'm.safetensors'}: the masks cover", expect_whole, checkpoint, names)
    refused(message, expect_whole, checkpoint, names)
    refused("locate on this model, or insist with --partial", expect_whole, checkpoint, names)


@pytest.mark.parametrize(
    ("named", "left_out"),
    [
        ("transformer_blocks.{}.ff.net.2", "transformer_blocks.0.ff_context.net.2"),
        ("transformer_blocks.{}.ff_context.net.2", "transformer_blocks.0.ff.net.2"),
    ],
)
def test_of_two_streams_both_are_candidates(named, left_out, tmp_path):
    streams = ("ff", "ff_context")
    checkpoint = file_of(
        tmp_path,
        {f"transformer_blocks.{i}.{s}.net.2.weight": matrix(i) for i in range(2) for s in streams},
    )
    message = f"cover 2 of its 4 such layers and leave out {left_out}"
    refused(message, expect_whole, checkpoint, [named.format(i) for i in range(2)])


def test_single_blocks_are_of_one_kind(tmp_path):
    """Flux's: the number stands directly before the layer's name."""
    names = [f"single_transformer_blocks.{i}.proj_out" for i in range(3)]
    weights = {f"{n}.weight": matrix(0) for n in [*names, "proj_out"]}
    checkpoint = file_of(tmp_path, weights)
    refused("cover 2 of its 3 such layers", expect_whole, checkpoint, names[:2])


def test_components_are_whole_each_for_itself(tmp_path):
    checkpoint = opened(pipeline(tmp_path / "p"))
    expect_whole(checkpoint, FC2)
    message = f"cover 1 of its 2 such layers and leave out {FC2[1]}"
    refused(message, expect_whole, checkpoint, [*candidates(2), FC2[0]])
    modules = [n.replace("text_model.", "") for n in FC2]
    refused(message, expect_whole, checkpoint, modules[:1])


# --- reading --------------------------------------------------------------------------------------


def test_all_layers_are_those_of_two_axes(tmp_path):
    folder = pipeline(tmp_path / "p", unet(1) | {"empty.weight": torch.empty(0, 8)})
    names = list(all_layers(opened(folder)))
    assert names[-4:] == [f"text_encoder/{n.removesuffix('.weight')}" for n in text_encoder()]
    assert block(0, "attn2.to_k") in names and "down_blocks.0.resnets.0.conv1" in names
    assert "conv_in.bias" not in names and "empty" not in names


def test_matrices_one_by_one(tmp_path):
    weights = {
        "a.weight": matrix(0),
        "conv.weight": matrix(1, (16, 8, 3, 3)),
        "half.weight": matrix(2).half(),
        "eight.weight": matrix(3).to(torch.float8_e4m3fn),
        "position_ids": torch.arange(12).reshape(3, 4),
        "attention_mask": torch.full((8, 8), -torch.inf).triu(1),
        "table": matrix(4),
    }
    places = all_layers(file_of(tmp_path, weights))
    found = dict(each_matrix(places))
    assert found.keys() == {"a", "conv", "half", "table"}
    assert found["conv"].shape == (16, 72) and found["half"].dtype == torch.float16
    assert [n for n, p in places.items() if unreadable(p)] == ["eight"]


def test_a_weight_that_is_not_finite_is_named(tmp_path):
    weights = {
        "a.weight": matrix(0),
        "b.weight": matrix(1).index_fill(1, torch.tensor(3), torch.nan),
    }
    places = all_layers(file_of(tmp_path, weights))
    refused("tensor 'b.weight' holds NaN or Inf: the file is damaged", list, each_matrix(places))


@pytest.mark.parametrize(
    "name", ["a.weight", "a.qweight", "a.weight_packed", "a.weight._data", "a.W_q"]
)
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_packed_weights_are_told_whatever_they_are_called(name, dtype, tmp_path):
    weights = {name: torch.ones(8, 64, dtype=dtype), "a.scales": matrix(0, (8, 4))}
    places = all_layers(file_of(tmp_path, weights))
    assert [p.entry.name for p in places.values() if unreadable(p)] == [name]


def test_candidates_or_layers_by_name(tmp_path):
    folder = pipeline(tmp_path / "p", variant="fp16")
    assert list(read_candidates(folder, variant="fp16")) == candidates(2)
    (weight,) = read_candidates(folder, FC2[:1], variant="fp16").values()
    assert torch.equal(weight, text_encoder()[FC2[0].partition("/")[2] + ".weight"])


def test_candidates_that_are_left_out_are_said(tmp_path, recwarn):
    """Any feed-forward output of another name; Flux's single blocks are known."""
    names = [f"transformer_blocks.{i}.ff.net.2" for i in range(2)]
    others = [f"single_transformer_blocks.{i}.proj_out" for i in range(3)]
    shapes = dict.fromkeys([*names, *others, "blocks.0.mlp.fc2"], (32, 64))
    shapes |= {"blocks.0.mlp.fc1": (64, 32), "proj_out": (32, 64)}
    path = saved(
        tmp_path / "m.safetensors", {f"{n}.weight": matrix(0, x) for n, x in shapes.items()}
    )
    taken = [*names, *(f"{n}[:,32:]" for n in others)]
    assert set(choose_layers(opened(path)).layers) == set(taken)
    (warning,) = recwarn
    assert str(warning.message) == (
        f"feed-forward takes 5 layers of {path}; left out, though they look like feed-forward "
        "outputs: blocks.*.mlp.fc2 (1)"
    )
    recwarn.clear()
    choose_layers(opened(saved(tmp_path / "u.safetensors", unet())))
    assert not recwarn.list


def test_where_there_are_no_candidates(tmp_path):
    checkpoint = file_of(tmp_path, {"a.mlp.fc2.weight": matrix(0)})
    message = (
        "the preset feed-forward (second linear layer of every feed-forward block) fits no layer "
        f"of {tmp_path / 'm.safetensors'}; it has 1: a.mlp.fc2 (1); choose linear, all, or name "
        "layers by a pattern"
    )
    with pytest.raises(ConceptReviveError, match=f"^{re.escape(message)}$"):
        choose_layers(checkpoint)
