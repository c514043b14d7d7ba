"""conceptrevive: does pruning make a diffusion model forget? Erase, revive, defend, evaluate.

The data flow, one direction: pipeline → activations → masks → pruned → completed → revived → images → scores.
"""

from conceptrevive.auditing.verdict import AuditReport, audit
from conceptrevive.concepts.concept import Concept, Probe, Settings
from conceptrevive.concepts.paper import paper_concepts
from conceptrevive.concepts.pocket import pocket_concepts
from conceptrevive.concepts.presets import get_concept
from conceptrevive.defence.obfuscation import modified_probability, obfuscate
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.outcomes import Outcomes, evaluate
from conceptrevive.intervals import Rate, paired_difference, wilson
from conceptrevive.models.generation import generate
from conceptrevive.models.layers import candidate_layers
from conceptrevive.models.pipeline import load_pipeline
from conceptrevive.models.weights import read_side, read_weights, swapped, write_weights
from conceptrevive.revival.attack import revive, revive_matrix
from conceptrevive.revival.completion.problems import Completion
from conceptrevive.revival.completion.solvers import complete, complete_matrix
from conceptrevive.revival.positions import guess_masks, zero_masks
from conceptrevive.revival.signs import retain_signs, sign_accuracy
from conceptrevive.unlearning.conceptprune import locate
from conceptrevive.unlearning.masks import MaskSet, prune
from conceptrevive.version import version

__version__ = version()

__all__ = [
    "AuditReport", "Completion", "Concept", "ConceptReviveError", "MaskSet", "Outcomes", "Probe", "Rate", "Settings", "audit",
    "candidate_layers", "complete", "complete_matrix", "evaluate", "generate", "get_concept", "guess_masks",
    "load_pipeline", "locate", "modified_probability", "obfuscate", "paired_difference", "paper_concepts", "pocket_concepts",
    "prune", "read_side", "read_weights", "retain_signs", "revive", "revive_matrix", "sign_accuracy", "swapped", "wilson", "write_weights",
    "zero_masks",
]  # fmt: skip
