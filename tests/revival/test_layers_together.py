"""Layers side by side: the same whatever the threads, in order, and nothing left changed."""

import threading
import warnings

import pytest
import torch

import conceptrevive as cr
from conceptrevive.revival.completion.threads import side_by_side


@pytest.fixture(params=[1, 2, 5], ids="{} threads".format)
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_in_order_and_the_number_of_threads_is_left_as_it_was(threads):
    own = []

    def run(i):
        own.append((threading.get_ident(), torch.get_num_threads()))
        return i * i

    assert list(side_by_side(run, range(7))) == [i * i for i in range(7)]
    assert torch.get_num_threads() == threads
    if threads > 1:
        assert {n for _, n in own} == {1}
        assert threading.get_ident() not in {who for who, _ in own}
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [threads]


def test_few_items_share_all_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        assert list(side_by_side(lambda _: torch.get_num_threads(), range(2))) == [2, 2]
        assert list(side_by_side(lambda _: torch.get_num_threads(), range(1))) == [5]
        assert list(side_by_side(lambda _: torch.get_num_threads(), [])) == []
    finally:
        torch.set_num_threads(before)


def test_an_error_arrives_and_what_was_not_begun_is_left(threads):
    begun = []

    def run(i):
        begun.append(i)
        if i == 0:
            raise cr.ConceptReviveError("the first")
        threading.Event().wait(0.01)

    with pytest.raises(cr.ConceptReviveError, match="the first"):
        list(side_by_side(run, range(100)))
    assert len(begun) < 100 and torch.get_num_threads() == threads


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_the_callers_modes_go_along(threads, context):
    def run(_):
        return torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    with context():
        assert list(side_by_side(run, range(3))) == [run(0)] * 3


def pruned(layers=6, rows=32, columns=96):
    draw = torch.Generator().manual_seed(0)
    weights, masks = {}, {}
    for i in range(layers):
        truth = torch.randn(rows, 4, generator=draw) @ torch.randn(4, columns, generator=draw)
        truth += 0.1 * torch.randn(rows, columns, generator=draw)
        masks[f"l{i}"] = torch.rand(rows, columns, generator=draw) < 0.05
        weights[f"l{i}"] = truth.masked_fill(masks[f"l{i}"], 0)
    # Three shapes, so that there are three parts.
    for i, name in enumerate(list(weights)):
        cut = rows - 4 * (i % 3)
        weights[name], masks[name] = weights[name][:cut].clone(), masks[name][:cut].clone()
    return weights, masks


@pytest.mark.parametrize(
    ("solver", "magnitude"),
    [
        ("conditional", "max"),
        ("conditional", "average"),
        ("conditional", "sample"),
        ("conditional", "expected"),
        ("prior", "expected"),
        ("paper", "max"),
    ],
)
def test_what_is_revived_does_not_depend_on_threads(threads, solver, magnitude):
    weights, masks = pruned()
    there = cr.revive(weights, masks, solver=solver, magnitude=magnitude)
    torch.set_num_threads(1)
    alone = cr.revive(weights, masks, solver=solver, magnitude=magnitude)
    assert list(there) == list(alone) == list(weights)
    for name in weights:
        torch.testing.assert_close(there[name], alone[name], rtol=1e-5, atol=1e-6)


def test_inference_tensors_are_completed(threads):
    weights, masks = pruned()
    plain = cr.revive(weights, masks)
    with torch.inference_mode():
        weights = {n: w.clone() for n, w in weights.items()}
        revived = cr.revive(weights, masks)
    assert all(torch.equal(revived[n], plain[n]) for n in weights)


def test_warnings_and_errors_name_the_layer_and_the_callers_line(threads):
    weights, masks = pruned()
    masks["l4"][3] = True
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        cr.complete(weights, masks)
    (told,) = heard
    assert told.filename == __file__
    assert str(told.message).startswith("l4: 1 fully pruned rows")
    weights["l5"][0, 0], masks["l5"][0, 0] = float("nan"), False
    masks["l4"][3] = False
    with pytest.raises(cr.ConceptReviveError, match="l5: surviving entries hold NaN"):
        cr.revive(weights, masks)
    assert torch.get_num_threads() == threads
