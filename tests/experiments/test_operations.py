"""What is counted on tensors without values: bytes that are there together, seconds of a card."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from conceptrevive.experiments import operations
from conceptrevive.experiments.operations import Card, peak_bytes, seconds


def test_seconds_by_hand():
    assert seconds(1e12, Card("made up", 8e12, 1e9), 0.25) == 0.5


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_bytes_by_hand(device):
    old = torch.zeros(1000, device=device)

    def chain():
        a = old + old  # 4000 bytes; `old` itself was there before
        b = a * a  # 8000
        del a
        b.add_(1)  # in place: no more
        c = b.view(10, 100)[:5]  # a view: no more
        return c + c  # 2000 beside b's 4000

    assert peak_bytes(chain) == 8000
    assert peak_bytes(lambda: old[:10]) == 0
    assert peak_bytes(lambda: (old + 1, old + 2, old + 3)) == 12000


def test_attention_makes_no_map():
    q = torch.zeros(2, 4, 50, 8, device="meta")
    # 2 · 4 · 50 · 8 values of 4 bytes: the output alone; a map would have 2 · 4 · 50 · 50.
    assert peak_bytes(lambda: scaled_dot_product_attention(q, q, q)) == 2 * 4 * 50 * 8 * 4
    assert peak_bytes(lambda: scaled_dot_product_attention(q, key=q, value=q[..., :3])) == 4800


def test_memory_grows_with_the_pictures():
    one, two = (peak_bytes(lambda n=n: operations.denoise(n)) for n in (1, 2))
    # The widest of its layers: two halves of 4 · 320 channels in, half of that out, float16.
    assert one > 3 * 64 * 64 * 4 * 320 * 2
    assert two == pytest.approx(2 * one, rel=0.01)
