"""conceptrevive: does pruning make a diffusion model forget? Erase, revive, defend, evaluate.

The data flow, one direction: pipeline → activations → masks → pruned → completed → revived → images → scores.
"""

from conceptrevive.audit import AuditReport, audit
from conceptrevive.completion import Completion, complete, complete_all
from conceptrevive.concepts import Concept, Probe, Settings, get_concept, paper_concepts, pocket_concepts
from conceptrevive.defence import modified_probability, obfuscate
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation import Outcomes, evaluate
from conceptrevive.locate import locate
from conceptrevive.masks import MaskSet, prune, zero_masks
from conceptrevive.models import candidate_layers, load_pipeline, read_side, read_weights, swapped, write_weights
from conceptrevive.provenance import version
from conceptrevive.revival import complete_layers, guess_masks, retain_signs, revive, sign_accuracy
from conceptrevive.sampling import generate
from conceptrevive.statistics import Rate, paired_difference, wilson

__version__ = version()

__all__ = [
    "AuditReport", "Completion", "Concept", "ConceptReviveError", "MaskSet", "Outcomes", "Probe", "Rate", "Settings", "audit",
    "candidate_layers", "complete", "complete_all", "complete_layers", "evaluate", "generate", "get_concept", "guess_masks",
    "load_pipeline", "locate", "modified_probability", "obfuscate", "paired_difference", "paper_concepts", "pocket_concepts",
    "prune", "read_side", "read_weights", "retain_signs", "revive", "sign_accuracy", "swapped", "wilson", "write_weights",
    "zero_masks",
]  # fmt: skip
