"""The training loop on a bowl whose bottom is known, and its checkpoints."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import save_file

from conceptrevive.errors import ConceptReviveError
from conceptrevive.unlearning.training import (
    check_training,
    expect_weight,
    fitting_masks,
    named_layers,
    run_digest,
    trained,
)

START = {"a": torch.tensor([[1.0, -0.0, 3.0]]), "b": torch.ones(1, 1, dtype=torch.bfloat16)}


def towards_zero(step, at):
    """The gradient of half the squares, with noise that depends on the step alone."""
    noise = torch.randn(1, generator=torch.Generator().manual_seed(step)).item() / 100
    return {n: w.detach() + noise for n, w in at.items()}


def test_what_is_masked_out_stays_bit_for_bit_and_dtypes_are_kept():
    masks = {"a": torch.tensor([[True, False, False]]), "b": torch.tensor([[True]])}
    out = trained(START, towards_zero, steps=5, lr=0.1, masks=masks)
    assert out["a"][0, 0] < 0.6 and out["b"].dtype == torch.bfloat16
    assert torch.equal(out["a"][:, 1:], START["a"][:, 1:]) and out["a"][0, 1].signbit()
    assert START["a"][0, 0] == 1, "what was given is not changed"


def test_it_is_torchs_adam():
    weight = torch.nn.Parameter(START["a"].clone())
    adam = torch.optim.Adam([weight], lr=0.1)
    for step in range(7):
        weight.grad = towards_zero(step, {"a": weight})["a"]
        adam.step()
    assert torch.equal(trained({"a": START["a"]}, towards_zero, steps=7, lr=0.1)["a"], weight)


def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path):
    whole = trained(START, towards_zero, steps=7, lr=0.1)
    path, taken = tmp_path / "state.safetensors", []

    def stopping(step, at):
        if step == 5 and not path.with_suffix(".again").exists():
            raise KeyboardInterrupt
        taken.append(step)
        return towards_zero(step, at)

    given = dict(steps=7, lr=0.1, checkpoint=path, run="r", every=2)
    with pytest.raises(KeyboardInterrupt):
        trained(START, stopping, **given)
    path.with_suffix(".again").touch()
    out = trained(START, stopping, **given)
    assert taken == [0, 1, 2, 3, 4, 4, 5, 6], "from the last that was kept"
    assert all(torch.equal(out[n], w) for n, w in whole.items())
    assert trained(START, None, **given)["a"].equal(whole["a"]), "finished: nothing left to do"


def test_checkpoints_of_others_are_left_alone(tmp_path):
    path = tmp_path / "state.safetensors"
    given = dict(steps=1, lr=0.1, checkpoint=path)
    trained(START, towards_zero, **given, run="one")
    before = path.read_bytes()
    with pytest.raises(ConceptReviveError, match="is not of this training: it is left as it is; n"):
        trained(START, towards_zero, **given, run="two")
    assert path.read_bytes() == before
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(ConceptReviveError, match="is not of this training"):
        trained(START, towards_zero, **given, run="one")
    path.write_bytes(b"no")
    with pytest.raises(ConceptReviveError, match=r"cannot read the checkpoint .*: move it away to"):
        trained(START, towards_zero, **given, run="one")


def test_a_digest_tells_weights_and_settings_apart():
    one = run_digest(START, lr=0.1)
    assert one == run_digest(dict(START), lr=0.1)
    assert len({one, run_digest(START, lr=0.2), run_digest({**START, "a": START["a"] + 1})}) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 1e-5, None), "steps is 0: train for at least one"),
        ((1.5, 1e-5, None), "steps is a float: give a whole number"),
        ((1, 0, None), "lr is 0: give a learning rate above 0"),
        ((1, math.inf, None), "lr is inf: give a learning rate above 0"),
        ((1, "1", None), "lr is a str: give a number"),
        ((1, 1e-5, 3), "checkpoint is a int: give the name of a file"),
    ],
)
def test_settings_of_a_wrong_kind(given, message):
    with pytest.raises(ConceptReviveError, match=message):
        check_training(*given)


def test_weights_of_losses():
    expect_weight(math.inf, "cap")
    for value in (-1, math.nan):
        with pytest.raises(ConceptReviveError, match=f"cap is {value}: give 0 or more"):
            expect_weight(value, "cap")


def test_masks_say_which_layers():
    masks = {"a": torch.tensor([[True, False, False]])}
    assert named_layers(masks, None) == ["a"] and named_layers(None, ["b"]) == ["b"]
    with pytest.raises(ConceptReviveError, match="masks and layers exclude each other"):
        named_layers(masks, ["a"])
    with pytest.raises(ConceptReviveError, match="masks is a str: give"):
        named_layers("masks.safetensors", None)
    with pytest.raises(ConceptReviveError, match="are all empty, which changes nothing"):
        fitting_masks({"a": START["a"]}, {"a": torch.zeros(1, 3, dtype=torch.bool)})
