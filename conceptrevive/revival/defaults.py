"""What the attack can be told, and what it does unless told otherwise.

Free of torch: the command line lists these.
"""

from __future__ import annotations

from typing import Literal, get_args

Solver = Literal["conditional", "prior", "paper"]

SOLVERS: tuple[Solver, ...] = get_args(Solver)

SOLVER: Solver = "conditional"

#: What each does, for who has to choose.
SOLVERS_SAID: dict[Solver, str] = {
    "conditional": "the Gaussian conditional mean in closed form; the default",
    "prior": "the same, given that pruned entries are large: finds more signs, takes longer",
    "paper": "SoftImpute as released",
}

Magnitude = Literal["max", "average", "sample", "expected"]

MAGNITUDES: tuple[Magnitude, ...] = get_args(Magnitude)

MAGNITUDE: Magnitude = "max"

#: What each gives, for who has to choose.
MAGNITUDES_SAID: dict[Magnitude, str] = {
    "max": "the largest |w| that survived in the row; the default",
    "average": "the mean |w| that survived in the row",
    "sample": "|N(μ, σ²)| of what survived in the row",
    "expected": "the completed weight as it is",
}

#: The paper's K: the share of signs kept, those with the largest completed magnitude (§3.3).
TOP_K = 0.6
