"""Which weights of a model can be pruned: its denoiser, and the layers that are candidates (paper §1)."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from conceptrevive.errors import ConceptReviveError

#: Second linear layer of every transformer feed-forward block, the candidates of ConceptPrune (paper §1).
CANDIDATES = "ff.net.2"


def denoiser(model) -> nn.Module:
    """The denoising network: a pipeline's `unet` or `transformer`, or `model` itself if it is a module."""
    if isinstance(model, nn.Module):
        return model
    for name in ("unet", "transformer"):
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            return part
    raise ConceptReviveError(
        f"{type(model).__name__} has neither a unet nor a transformer: give a diffusers pipeline or its denoiser"
    )


def candidate_layers(
    model, names: Iterable[str] | None = None, pattern: str = CANDIDATES
) -> dict[str, nn.Linear]:
    """Linear layers keyed by module name: those in `names`, else those whose name ends with `pattern`.

    Raises:
        ConceptReviveError: a name is not in the model, is not linear, or nothing matches.
    """
    modules = dict(denoiser(model).named_modules())
    if names is None:
        found = {
            n: m for n, m in modules.items() if n.endswith(pattern) and isinstance(m, nn.Linear)
        }
        if not found:
            raise ConceptReviveError(
                f"no linear layer of {type(denoiser(model)).__name__} ends with {pattern!r}"
            )
        return found
    out = {}
    for name in names:
        if not isinstance(modules.get(name), nn.Linear):
            raise ConceptReviveError(
                f"the model has no linear layer named {name!r}: were these masks located on another architecture?"
            )
        out[name] = modules[name]
    return out
