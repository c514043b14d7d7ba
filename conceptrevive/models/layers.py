"""Which weights of a model can be pruned: its denoiser's candidate layers (paper §1)."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from torch import nn

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.protocol import Model
from conceptrevive.models.wrappers import may_be_linear, named_modules, plain_linear, unwrapped

#: How the names of ConceptPrune's candidates end: the second linear layer of every transformer
#: feed-forward block (paper §1), those of the text stream (SD3, Flux) included.
CANDIDATES = ("ff.net.2", "ff_context.net.2")

#: Linear layers that look like outputs of feed-forward blocks under other names.
_FEED_FORWARD = re.compile(r"(^|\.)(ff|feed_forward|mlp)[^.]*\.")
_SINGLE_BLOCK = re.compile(r"(^|\.)single_transformer_blocks\.\d+\.proj_out$")


def denoiser(model: Model) -> nn.Module:
    """The denoising network: a pipeline's `unet` or `transformer`, or `model` if it is a module.

    `torch.compile` and data parallelism are seen through.
    """
    if isinstance(model, nn.Module):
        return unwrapped(model)
    for name in ("unet", "transformer"):
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            return unwrapped(part)
    raise ConceptReviveError(
        f"{type(model).__name__} has neither a unet nor a transformer: "
        "give a diffusers pipeline or its denoiser"
    )


def candidate_layers(
    model: Model,
    names: Iterable[str] | None = None,
    pattern: str | tuple[str, ...] = CANDIDATES,
) -> dict[str, nn.Linear]:
    """Linear layers keyed by module name: those in `names`, else those whose name ends so.

    Feed-forward output layers that the default leaves out are named in a warning.

    Raises:
        ConceptReviveError: a name is not in the model, is not linear, or nothing matches; or a
            layer's weight is quantised, adapted (LoRA), computed from others, or not in memory.
    """
    net = denoiser(model)
    modules = named_modules(net)
    if names is None:
        found = {
            name: plain_linear(name, module)
            for name, module in modules.items()
            if name.endswith(pattern) and may_be_linear(module)
        }
        shapes = {
            name: (module.out_features, module.in_features)
            for name, module in modules.items()
            if isinstance(module, nn.Linear)
        }
        left_out = outputs_left_out(shapes, found) if pattern == CANDIDATES else ""
        if not found:
            endings = " or ".join(map(repr, [pattern] if isinstance(pattern, str) else pattern))
            instead = f"; its feed-forward outputs are {left_out}" if left_out else ""
            raise ConceptReviveError(
                f"no linear layer of {type(net).__name__} ends with {endings}{instead}"
            )
        if left_out:
            warnings.warn(
                f"candidates of {type(net).__name__} are the {len(found)} layers that end with "
                f"{' or '.join(CANDIDATES)}; left out: {left_out}",
                stacklevel=2,
            )
        return found
    if isinstance(names, str):
        raise ConceptReviveError(f"names is the string {names!r}: give a list of module names")
    chosen = {}
    for name in names:
        if name not in modules or not may_be_linear(modules[name]):
            raise ConceptReviveError(
                f"the model has no linear layer named {name!r}: "
                "were these masks located on another architecture?"
            )
        chosen[name] = plain_linear(name, modules[name])
    return chosen


def linear_layers(model: Model) -> dict[str, nn.Linear]:
    """Every linear layer of the denoiser, keyed by module name.

    Raises ConceptReviveError as `candidate_layers` does.
    """
    modules = named_modules(denoiser(model))
    # An adapter around a layer is named, and refused, not its inner part.
    adapted = tuple(f"{n}." for n, m in modules.items() if hasattr(m, "base_layer"))
    names = [
        n
        for n, m in modules.items()
        if (isinstance(m, nn.Linear) and not n.startswith(adapted)) or f"{n}." in adapted
    ]
    return candidate_layers(model, names)


def outputs_left_out(shapes: Mapping[str, tuple[int, ...]], found: Collection[str]) -> str:
    """Feed-forward outputs not in `found`, e.g. `single_transformer_blocks.*.proj_out (38)`.

    Args:
        shapes: {layer: rows and columns of its weight}.
    """
    counts: Counter[str] = Counter()
    for name, shape in shapes.items():
        if name in found or len(shape) != 2:
            continue
        contracts = shape[1] > shape[0]
        if _SINGLE_BLOCK.search(name) or (contracts and _FEED_FORWARD.search(name)):
            counts[re.sub(r"(^|\.)\d+(?=\.)", r"\1*", name)] += 1
    return ", ".join(f"{name} ({n})" for name, n in counts.items())
