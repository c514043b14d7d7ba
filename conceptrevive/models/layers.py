"""A model's denoiser, and every layer of its components that has a matrix."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.addresses import DENOISERS
from conceptrevive.models.presets import Kind, Layer
from conceptrevive.models.protocol import Model
from conceptrevive.models.wrappers import Convolution, is_opaque, named_modules, unwrapped


def denoiser(model: Model) -> nn.Module:
    """The denoising network: a pipeline's `unet` or `transformer`, or `model` if it is a module.

    `torch.compile`, data parallelism and PEFT are seen through.
    """
    return _denoiser(model)[1]


def _denoiser(model: Model) -> tuple[str, nn.Module]:
    """The denoiser's component, empty if `model` is it, and the denoiser."""
    if isinstance(model, nn.Module):
        return "", unwrapped(model)
    for name in DENOISERS:
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            return name, unwrapped(part)
    raise ConceptReviveError(
        f"{type(model).__name__} has neither a unet nor a transformer: "
        "give a diffusers pipeline or its denoiser"
    )


def component_of(model: Model, name: str) -> nn.Module:
    """A pipeline's network by its name; `model` itself where it is one."""
    if isinstance(model, nn.Module):
        return unwrapped(model)
    own, net = _denoiser(model)
    return net if name == own else unwrapped(model.components[name])


def inventory(model: Model, components: set[str] | None = None) -> list[tuple[Layer, nn.Module]]:
    """Every layer that has a matrix, with its module: the denoiser's, then those of components.

    Args:
        components: of a pipeline, beside the denoiser; None takes all.
    """
    own, net = _denoiser(model)
    out = list(_layers_of(own, net, True))
    others = {} if isinstance(model, nn.Module) else getattr(model, "components", {})
    for name, part in others.items():
        wanted = name != own and (components is None or name in components)
        if wanted and isinstance(part, nn.Module):
            out += _layers_of(name, unwrapped(part), False)
    return out


def _layers_of(
    component: str, root: nn.Module, denoises: bool
) -> Iterator[tuple[Layer, nn.Module]]:
    inside: tuple[str, ...] = ()  # of opaque modules, whose parts are no layers of their own
    for name, module in named_modules(root).items():
        if name.startswith(inside) and inside:
            continue
        kind: Kind
        if is_opaque(module):
            kind, inside = "opaque", (*inside, f"{name}.")
        elif isinstance(module, nn.Linear):
            kind = "linear"
        elif isinstance(module, Convolution):
            kind = "convolution"
        else:
            continue
        yield Layer(component, name, kind, _shape(module), denoises), module


def _shape(module: nn.Module) -> tuple[int, ...]:
    """The shape that the layer's weight has, or would have if it were not packed."""
    inner = getattr(module, "base_layer", module)
    if isinstance(inner, Convolution):
        return (inner.out_channels, inner.in_channels // inner.groups, *inner.kernel_size)
    rows, columns = (getattr(inner, n, None) for n in ("out_features", "in_features"))
    return (rows, columns) if isinstance(rows, int) and isinstance(columns, int) else ()
