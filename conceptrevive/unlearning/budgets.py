"""How much each locator takes, by the table of concepts: as released, or chosen for the model.

The pocket model's are the `chosen` of `results/pocket/budgets.json`, by what is forgotten and what
is kept and never by what is revived (`conceptrevive.experiments.budgets`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from conceptrevive.concepts.defaults import Preset
from conceptrevive.unlearning.defaults import Method

#: ConceptPrune's candidates, every linear layer, or every linear and convolutional one.
Selection = Literal["candidates", "linear", "all"]

#: SalUn's share of all weights, which are trained and never zeroed in its code.
SALUN_RELEASED = 0.5


@dataclass(frozen=True)
class Budget:
    """What a method takes and, if it trains, how.

    Attributes:
        share: of all weights of `layers` (SalUn, Scissorhands), or r₂ (Forget-It-All): what is
            zeroed. larger: r₂ of the concepts that need more.
        steps, lr: of the full method, in batches of 8.
        again: layers in which Scissorhands draws anew what it located; None takes all.
    """

    share: float
    layers: Selection = "linear"
    larger: Mapping[str, float] | None = None
    steps: int = 0
    lr: float = 0.0
    again: tuple[str, ...] | None = None

    def share_of(self, concept: str) -> float:
        """The share for a concept."""
        return (self.larger or {}).get(concept, self.share)


#: Where the released code for SD-1.5 draws anew: self-attention of two blocks.
_BLOCKS = tuple(
    f"up_blocks.{i}.attentions.1.transformer_blocks.0.attn1.{part}"
    for i in (1, 2)
    for part in ("to_q", "to_k", "to_v", "to_out.0")
)

BUDGETS: Mapping[Preset, Mapping[Method, Budget]] = {
    "pocket": {
        "salun": Budget(0.003, steps=30, lr=2e-4),
        "scissorhands": Budget(0.001, steps=30, lr=2e-4),
        "forget-it-all": Budget(0.1, "candidates"),
    },
    # As released, but that SalUn's share is smaller (its half, zeroed, destroys any model), and
    # that neither looks at convolutions, norms and biases.
    "paper": {
        "salun": Budget(0.01, steps=600, lr=1e-5),
        "scissorhands": Budget(0.001, steps=300, lr=2e-5, again=_BLOCKS),
        "forget-it-all": Budget(
            0.007, "candidates", larger=dict.fromkeys(("parachute", "golf ball", "gas pump"), 0.03)
        ),
    },
}
