"""From two checkpoints to masks: by hand, through files, and what is said where there is none."""

from __future__ import annotations

import pytest
import torch

import conceptrevive as cr
from conceptrevive.auditing.suggesting import FAR, entries_between
from conceptrevive.errors import ConceptReviveError
from tests.checkpoints.small import block, candidates, matrix, pipeline, saved, text_encoder, unet

pytestmark = pytest.mark.usefixtures("one_thread")
PRUNED = block(0, "ff.net.2")


def test_entries_by_hand():
    """σ of the old matrix is 2: half of its entries are 2, half −2."""
    old = torch.tensor([[2.0, -2.0, 2.0, -2.0], [2.0, -2.0, 2.0, -2.0]])
    new = torch.tensor([[0.0, -2.0, 2.1, -2.3], [2.0, 0.0, 1.9, -2.0]])
    found = {e: m.int().tolist() for e, m in entries_between(new, old).items()}
    assert found["zeroed"] == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert found["changed"] == [[1, 0, 1, 1], [0, 1, 1, 0]]
    assert found["moved"] == [[1, 0, 0, 1], [0, 1, 0, 0]]  # 0.1 is half of FAR's 0.2, 0.3 more
    assert entries_between(new, old, far=1.1)["moved"].sum() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("finer_first", [True, False])
def test_rounding_is_no_change(dtype, finer_first):
    """A copy in another dtype differs in nothing, whichever of the two is the finer one."""
    fine = matrix(0)
    pair = (fine, fine.to(dtype)) if finer_first else (fine.to(dtype), fine)
    assert not any(m.any() for m in entries_between(*pair).values())
    far = (fine.to(dtype).float() - fine).abs().max() / fine.std()
    assert far < FAR / 3


def erased(weights, name=f"{PRUNED}.weight", share=0.1, value=0.0):
    """The weights with a share of one layer's set to `value`, and where."""
    mask = torch.rand(weights[name].shape, generator=torch.Generator().manual_seed(3)) < share
    return weights | {name: weights[name].masked_fill(mask, value)}, mask.flatten(1)


@pytest.mark.parametrize("file", [True, False])
def test_what_was_zeroed_elsewhere_is_attacked_like_what_was_pruned_here(tmp_path, file):
    """A file alone finds its place in the original's pipeline; layers of the kind are all there."""
    before = unet()
    after, mask = erased(before)
    original = pipeline(tmp_path / "original", before)
    unlearned = (
        saved(tmp_path / "esd.safetensors", after) if file else pipeline(tmp_path / "esd", after)
    )
    changes = cr.masks_between(original, unlearned)
    assert list(changes.masks) == candidates(2)
    assert torch.equal(changes.masks[PRUNED], mask) and changes.layers == {PRUNED: int(mask.sum())}
    assert changes.counts["zeroed"] == changes.counts["changed"] == int(mask.sum())
    assert changes.counts["moved"] < int(mask.sum()) and not changes.left_out  # some were small
    assert changes.masks.concept == f"zeroed: {unlearned.name}"


def test_any_matrix_of_any_component(tmp_path):
    name = "text_model.encoder.layers.1.mlp.fc2.weight"
    convolution = "down_blocks.0.resnets.1.conv1.weight"
    text, mask = erased(text_encoder(), name)
    net, kernels = erased(unet(), convolution, value=3.0)
    original = pipeline(tmp_path / "original")
    unlearned = pipeline(
        tmp_path / "new", net, {n.removeprefix("text_model."): w for n, w in text.items()}
    )
    changes = cr.masks_between(original, unlearned, entries="changed")
    key = f"text_encoder/{name.removeprefix('text_model.').removesuffix('.weight')}"
    assert torch.equal(changes.masks[key], mask)
    assert torch.equal(changes.masks[convolution.removesuffix(".weight")], kernels)
    assert changes.layers == {k: int(m.sum()) for k, m in changes.masks.items() if m.any()}


def test_what_has_no_mask_is_told(tmp_path):
    """Quantised layers have zeros of their own; biases are no matrices."""
    before = unet(dtype=torch.float16) | {"conv_in.bias": torch.zeros(16)}
    after, mask = erased(before)
    coarse, new, small = block(0, "attn2.to_k"), block(0, "ff.net.0.proj"), block(1, "attn2.to_k")
    step = after[f"{coarse}.weight"].abs().max() / 7
    after[f"{coarse}.weight"] = (after[f"{coarse}.weight"] / step).round() * step
    after[f"{new}.lora.weight"] = matrix(1)
    after[f"{small}.weight"] = after[f"{small}.weight"].to(torch.float8_e4m3fn)
    after["conv_in.bias"] = torch.ones(16)
    original = saved(tmp_path / "a.safetensors", before)
    changes = cr.masks_between(original, saved(tmp_path / "b.safetensors", after))
    assert torch.equal(changes.masks[PRUNED], mask) and list(changes.layers) == [PRUNED]
    assert changes.left_out == {
        coarse: "its values lie on a quantisation grid, which puts many on 0",
        f"{new}.lora": f"not in {original}",
        small: "F8_E4M3, no float matrix of 16 bits or more",
    }
    assert changes.vectors == ("conv_in.bias",)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda w: w, {}, r"of 10 layers compared, none differs: give the checkpoint from before"),
        (
            lambda w: erased(w, value=1.0)[0],
            {},
            r"of 10 layers compared, no entry is zeroed; (\d+) are changed, \1 of them by more "
            "than 0.1 standard deviations; all others are as they were: give --entries changed$",
        ),
        (
            lambda w: {n: x * 1.001 for n, x in w.items()},
            {"entries": "moved"},
            "no entry is moved; 13568 are changed, 0 of them by more than 0.1 standard deviations; "
            r"nearly all weights changed, as .*: give --entries moved --far 0\.00\d+$",
        ),
        (
            lambda w: {n: x[:-1] for n, x in w.items()},
            {},
            r"attn2.to_k is \[31, 24\] in .*b.safetensors and \[32, 24\] in .*a.safetensors: give",
        ),
        (
            lambda w: {f"other.{i}": x for i, x in enumerate(w.values())},
            {},
            r"a.safetensors shares no layer with .*b.safetensors, whose first is other.0: give its",
        ),
        (lambda w: w, {"entries": "zerod"}, r"entries 'zerod' is unknown \(did you mean 'zeroed'"),
        (lambda w: w, {"far": 0.0}, r"far is 0.0: it counts standard deviations, above 0"),
    ],
)
def test_nothing_found_is_no_success(tmp_path, change, options, message):
    before = unet()
    original = saved(tmp_path / "a.safetensors", before)
    unlearned = saved(tmp_path / "b.safetensors", change(before))
    with pytest.raises(ConceptReviveError, match=message):
        cr.masks_between(original, unlearned, **options)


def drawn(w, seed):
    return torch.randn(w.shape, generator=torch.Generator().manual_seed(seed)) * w.std()


NOISE = "all others are as they were: give --entries changed"
TRAINED = "nearly all weights changed, as training changes them: give --entries moved"


def filled(w, masks):
    """The defence's noise in the masked weights, of which some come near what was there."""
    return cr.obfuscate(w, masks, sigma=0.25, seed=0)


def raised(w, masks):
    """The attack's magnitudes: ± the largest of the row, or half of them still 0."""
    return cr.revive(cr.prune(w, masks), masks, top_k=1.0)


def tuned(w, _):
    """Training moves every weight a little."""
    return {n: x + 0.01 * drawn(x, i) for i, (n, x) in enumerate(w.items())}


def aimed(w, _):
    """Training that moves some weights far, as a method that spares the others does."""
    return {
        n: x + torch.where(drawn(x, i) > 2 * x.std(), 1.0, 0.01) * drawn(x, i)
        for i, (n, x) in enumerate(w.items())
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cr.prune, {"zeroed": "", "changed": ""}),
        (filled, {"zeroed": NOISE, "changed": "", "moved": NOISE}),
        (raised, {"zeroed": NOISE, "changed": ""}),
        (tuned, {"zeroed": f"{TRAINED} --far 0.0", "changed": TRAINED, "moved": TRAINED}),
        (aimed, {"zeroed": TRAINED, "changed": TRAINED, "moved": ""}),
        (lambda w, m: cr.prune(tuned(w, m), m), {"zeroed": ""}),
        (
            lambda w, _: {n: drawn(x, i) for i, (n, x) in enumerate(w.items())},
            dict.fromkeys(("zeroed", "changed", "moved"), "most weights are further than 0.1 stan"),
        ),
    ],
    ids=["zeroed", "noise", "magnitudes", "tuned", "aimed", "pruned, then tuned", "another"],
)
def test_what_tells_what_was_done_is_suggested(tmp_path, change, said, dtype):
    """Where the others are as they were all that changed is meant; after training, what moved."""
    before = {n: w for n, w in unet(dtype=dtype).items() if w.ndim > 1}
    matrices = {n: w.float().flatten(1) for n, w in before.items()}
    masks = {n: w.abs() < 0.1 * w.std() for n, w in matrices.items()}
    changed = change(matrices, masks)
    after = {n: changed[n].reshape(w.shape).to(dtype) for n, w in before.items()}
    original = saved(tmp_path / "a.safetensors", before)
    unlearned = saved(tmp_path / "b.safetensors", after)
    for entries, suggestion in said.items():
        try:
            changes = cr.masks_between(original, unlearned, entries=entries)
        except ConceptReviveError as e:
            assert changes_say(suggestion, str(e).partition("deviations; ")[2])
            continue
        assert changes_say(suggestion, changes.suggestion)
        if not suggestion and entries == "changed":
            found = {n: changes.masks[n.removesuffix(".weight")] for n in masks}
            told = {n: (after[n] != before[n]).flatten(1) for n in masks}
            assert all(torch.equal(found[n], told[n]) for n in masks)


def changes_say(suggestion, text):
    return text.startswith(suggestion) if suggestion else text == ""


def test_zeros_that_moved_little_are_suggested_as_zeros(tmp_path):
    before = unet()
    original = saved(tmp_path / "a.safetensors", before)
    unlearned = saved(tmp_path / "b.safetensors", erased(before)[0])
    changes = cr.masks_between(original, unlearned, entries="moved")
    assert changes.suggestion == "most of these are 0 now: give --entries zeroed"
    with pytest.raises(ConceptReviveError, match=r"than 9 standard.*: give --entries zeroed$"):
        cr.masks_between(original, unlearned, entries="moved", far=9.0)


def test_what_is_suggested_finds_something(tmp_path):
    """Of weights that were all tuned a little, those that went farthest."""
    before = unet()
    original = saved(tmp_path / "a.safetensors", before)
    unlearned = saved(tmp_path / "b.safetensors", {n: w * 1.001 for n, w in before.items()})
    with pytest.raises(ConceptReviveError, match="--far") as told:
        cr.masks_between(original, unlearned)
    far = float(str(told.value).rpartition("--far ")[2])
    changes = cr.masks_between(original, unlearned, entries="moved", far=far)
    assert 0 < changes.masks.fraction < 0.5 and not changes.suggestion
