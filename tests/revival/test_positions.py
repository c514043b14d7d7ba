"""Where an attacker looks who finds no zeros: the smallest magnitudes of all layers together."""

import pytest
import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.revival.positions import guess_everywhere

WEIGHTS = {
    "a": torch.tensor([[5.0, -1.0, 3.0], [0.2, 8.0, -0.1]]),
    "b": torch.tensor([[-9.0, 7.0], [6.0, 0.3]]).to(torch.float16),
}


def test_the_smallest_of_all_layers_are_taken_wherever_they_are():
    guess = guess_everywhere(WEIGHTS, 0.3)
    assert guess["a"].tolist() == [[False, False, False], [True, False, True]]
    assert guess["b"].tolist() == [[False, False], [False, True]]
    assert guess.count == 3 and guess_everywhere(WEIGHTS, 0).count == 0
    assert guess_everywhere(WEIGHTS, 1).fraction == 1


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_out_of_range_is_named(share):
    with pytest.raises(ConceptReviveError, match=r"fraction is .*; it is a share of the entries"):
        guess_everywhere(WEIGHTS, share)
