"""conceptrevive: does pruning make a diffusion model forget? Erase, revive, defend, evaluate.

The data flow, one direction:
pipeline → activations → masks → pruned → completed → revived → images → scores.

Importing this costs nothing: torch is loaded with the first name that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from conceptrevive.version import version

__version__ = version()

#: Where each public name is defined.
_HOMES = {
    "auditing.changes": ("Changes", "masks_between"),
    "auditing.verdict": ("AuditReport", "audit"),
    "concepts.concept": ("Concept", "Probe", "Settings"),
    "concepts.paper": ("paper_concepts",),
    "concepts.pocket": ("pocket_concepts",),
    "concepts.presets": ("get_concept",),
    "defence.defences": ("defend",),
    "defence.obfuscation": ("modified_probability", "obfuscate"),
    "errors": ("ConceptReviveError",),
    "evaluation.outcomes": ("Outcomes", "evaluate"),
    "intervals": ("Rate", "paired_difference", "wilson"),
    "models.adapters.adapter": ("Adapter",),
    "models.generation": ("denoise_steps", "generate"),
    "models.matrices": ("candidate_layers",),
    "models.pipeline": ("load_pipeline",),
    "models.selection": ("Selection",),
    "models.weights": ("read_side", "read_weights", "swapped", "write_weights"),
    "revival.attack": ("revive", "revive_matrix"),
    "revival.completion.problems": ("Completion",),
    "revival.completion.solvers": ("complete", "complete_matrix"),
    "revival.positions": ("guess_masks", "zero_masks"),
    "revival.signs": ("retain_signs", "sign_accuracy"),
    "unlearning.conceptprune": ("locate",),
    "unlearning.forget_it_all": ("locate_forget_it_all",),
    "unlearning.locators": ("locate_by",),
    "unlearning.masks": ("MaskSet", "prune"),
    "unlearning.salun": ("locate_salun", "unlearn_salun"),
    "unlearning.scissorhands": ("locate_scissorhands", "unlearn_scissorhands"),
}

_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)

if TYPE_CHECKING:  # the same once more, for tools that read without running
    from conceptrevive.auditing.changes import Changes as Changes
    from conceptrevive.auditing.changes import masks_between as masks_between
    from conceptrevive.auditing.verdict import AuditReport as AuditReport
    from conceptrevive.auditing.verdict import audit as audit
    from conceptrevive.concepts.concept import Concept as Concept
    from conceptrevive.concepts.concept import Probe as Probe
    from conceptrevive.concepts.concept import Settings as Settings
    from conceptrevive.concepts.paper import paper_concepts as paper_concepts
    from conceptrevive.concepts.pocket import pocket_concepts as pocket_concepts
    from conceptrevive.concepts.presets import get_concept as get_concept
    from conceptrevive.defence.defences import defend as defend
    from conceptrevive.defence.obfuscation import modified_probability as modified_probability
    from conceptrevive.defence.obfuscation import obfuscate as obfuscate
    from conceptrevive.errors import ConceptReviveError as ConceptReviveError
    from conceptrevive.evaluation.outcomes import Outcomes as Outcomes
    from conceptrevive.evaluation.outcomes import evaluate as evaluate
    from conceptrevive.intervals import Rate as Rate
    from conceptrevive.intervals import paired_difference as paired_difference
    from conceptrevive.intervals import wilson as wilson
    from conceptrevive.models.adapters.adapter import Adapter as Adapter
    from conceptrevive.models.generation import denoise_steps as denoise_steps
    from conceptrevive.models.generation import generate as generate
    from conceptrevive.models.matrices import candidate_layers as candidate_layers
    from conceptrevive.models.pipeline import load_pipeline as load_pipeline
    from conceptrevive.models.selection import Selection as Selection
    from conceptrevive.models.weights import read_side as read_side
    from conceptrevive.models.weights import read_weights as read_weights
    from conceptrevive.models.weights import swapped as swapped
    from conceptrevive.models.weights import write_weights as write_weights
    from conceptrevive.revival.attack import revive as revive
    from conceptrevive.revival.attack import revive_matrix as revive_matrix
    from conceptrevive.revival.completion.problems import Completion as Completion
    from conceptrevive.revival.completion.solvers import complete as complete
    from conceptrevive.revival.completion.solvers import complete_matrix as complete_matrix
    from conceptrevive.revival.positions import guess_masks as guess_masks
    from conceptrevive.revival.positions import zero_masks as zero_masks
    from conceptrevive.revival.signs import retain_signs as retain_signs
    from conceptrevive.revival.signs import sign_accuracy as sign_accuracy
    from conceptrevive.unlearning.conceptprune import locate as locate
    from conceptrevive.unlearning.forget_it_all import locate_forget_it_all as locate_forget_it_all
    from conceptrevive.unlearning.locators import locate_by as locate_by
    from conceptrevive.unlearning.masks import MaskSet as MaskSet
    from conceptrevive.unlearning.masks import prune as prune
    from conceptrevive.unlearning.salun import locate_salun as locate_salun
    from conceptrevive.unlearning.salun import unlearn_salun as unlearn_salun
    from conceptrevive.unlearning.scissorhands import locate_scissorhands as locate_scissorhands
    from conceptrevive.unlearning.scissorhands import unlearn_scissorhands as unlearn_scissorhands


def __getattr__(name: str) -> object:
    """Import what `name` needs when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'conceptrevive' has no attribute {name!r}")
    value = getattr(import_module(f"conceptrevive.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
