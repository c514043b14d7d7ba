"""Quant Recover: rounded per output row and back; an exact zero cannot move."""

import pytest
import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.revival.quantisation import quantise

NAME = "a.ff.net.2"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_an_exact_zero_cannot_move(bits, dtype):
    w = torch.randn(16, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    w[torch.rand(16, 64, generator=torch.Generator().manual_seed(1)) < 0.2] = 0
    w[3] = 0
    out = quantise({NAME: w}, bits)[NAME]
    assert out.dtype == dtype and not torch.equal(out, w)
    assert bool((out[w == 0] == 0).all())
    assert all(len(row.abs().unique()) <= 2 ** (bits - 1) + 1 for row in out)


def test_a_row_by_hand():
    w = torch.tensor([[7.0, 3.4, -3.6, 0.4, 0.0], [-0.7, 0.7, 0.06, 0.04, 0.0]])
    out = quantise({NAME: w}, 4)[NAME]
    assert out[0].tolist() == [7, 3, -4, 0, 0]
    torch.testing.assert_close(out[1], torch.tensor([-0.7, 0.7, 0.1, 0.0, 0.0]))


def test_what_cannot_be_rounded_is_named():
    with pytest.raises(ConceptReviveError, match=r"bits is 1: give 2 to 16 bits an entry"):
        quantise({NAME: torch.ones(2, 2)}, 1)
    with pytest.raises(ConceptReviveError, match=r"bits is a float: give a whole number"):
        quantise({NAME: torch.ones(2, 2)}, 4.0)
    with pytest.raises(ConceptReviveError, match=r"a\.ff\.net\.2: a torch\.int64 of shape"):
        quantise({NAME: torch.ones(2, 2, dtype=torch.long)}, 4)
    assert quantise({NAME: torch.ones(0, 3)}, 4)[NAME].shape == (0, 3)
