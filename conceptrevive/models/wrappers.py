"""Modules around modules: what is seen through, and what is refused because it hides weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from conceptrevive.errors import ConceptReviveError

PARALLEL = (DataParallel, DistributedDataParallel)

Convolution: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d

#: What weights are pruned, completed and revived in.
FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

#: What `fuse_qkv_projections` makes, and of which layers.
JOINED = {
    "to_qkv": ("to_q", "to_k", "to_v"),
    "to_kv": ("to_k", "to_v"),
    "to_added_qkv": ("add_q_proj", "add_k_proj", "add_v_proj"),
}

META = (
    "the weights are not in memory (device meta): load the model onto a device; if it is "
    "offloaded, call pipe.remove_all_hooks() and pipe.to(device), or offload it with "
    "pipe.enable_model_cpu_offload()"
)


def unwrapped(module: nn.Module) -> nn.Module:
    """What `torch.compile`, data parallelism or PEFT wraps; `module` itself if none does.

    A layer whose adapter is fused computes with its own weight alone, so that it is seen through.
    """
    while True:
        if isinstance(module, PARALLEL):
            module = module.module
        elif isinstance(inner := module._modules.get("_orig_mod"), nn.Module):
            module = inner
        elif isinstance(inner := _adapted_model(module), nn.Module):
            module = inner
        elif _is_fused(module):
            module = module._modules["base_layer"] or module
        else:
            return module


def _adapted_model(module: nn.Module) -> nn.Module | None:
    """The model within a `PeftModel`, or within its `LoraModel`."""
    inner = module._modules.get("base_model")
    if isinstance(inner, nn.Module) and isinstance(inner._modules.get("model"), nn.Module):
        return inner._modules["model"]
    return None


def _is_fused(module: nn.Module) -> bool:
    has_layer = isinstance(module._modules.get("base_layer"), nn.Module)
    merged, disabled = getattr(module, "merged", False), getattr(module, "disable_adapters", False)
    return has_layer and merged is True and disabled is not True


def is_opaque(module: nn.Module) -> bool:
    """Whether `module` holds a matrix in a form of its own: an adapter, or of a foreign class.

    Quantisation puts such layers in the place of linear ones.
    """
    if hasattr(module, "base_layer"):
        return True
    own = type(module).__module__.startswith(("torch.nn.", "diffusers."))
    if own or isinstance(module, nn.Linear | nn.Embedding | Convolution):
        return False
    if hasattr(module, "in_features") and hasattr(module, "out_features"):
        return True
    tensors = [*module._parameters.values(), *module._buffers.values()]
    return not module._modules and any(t is not None and t.ndim > 1 for t in tensors)


def named_modules(root: nn.Module) -> dict[str, nn.Module]:
    """`root.named_modules()` with wrappers seen through, so that names are those of checkpoints."""
    found: dict[str, nn.Module] = {}
    seen: set[nn.Module] = set()

    def visit(module: nn.Module, name: str) -> None:
        module = unwrapped(module)
        if module in seen:
            return
        seen.add(module)
        found[name] = module
        for child_name, child in module.named_children():
            visit(child, f"{name}.{child_name}" if name else child_name)

    visit(root, "")
    return found


def plain_linear(name: str, module: nn.Module) -> nn.Linear:
    """`module` itself, whose weight is its own plain matrix.

    Raises:
        ConceptReviveError: it is not; what is read there would not be what the layer computes with,
            or what is written would have no effect.
    """
    _refuse_adapter(name, module)
    kind = type(module).__name__
    if not isinstance(module, nn.Linear):
        raise ConceptReviveError(
            f"{name} is a {kind}, no plain linear layer: load the model without quantisation or "
            "other replacements of its layers"
        )
    _check_plain(name, module, (module.out_features, module.in_features))
    return module


def plain_convolution(name: str, module: nn.Module) -> Convolution:
    """As `plain_linear`, for a convolution, whose weight is its own plain kernel."""
    _refuse_adapter(name, module)
    if not isinstance(module, Convolution):
        raise ConceptReviveError(f"{name} is a {type(module).__name__}, no convolution")
    inputs = module.in_channels // module.groups
    _check_plain(name, module, (module.out_channels, inputs, *module.kernel_size))
    return module


def _refuse_adapter(name: str, module: nn.Module) -> None:
    if hasattr(module, "base_layer"):
        raise ConceptReviveError(
            f"{name} is a {type(module).__name__} with an adapter (LoRA) that is not fused: "
            "call pipe.fuse_lora() first, or merge_adapter() of PEFT's own model"
        )


def _check_plain(name: str, module: nn.Module, shape: tuple[int, ...]) -> None:
    kind, weight = type(module).__name__, module._parameters.get("weight")
    if weight is None:
        raise ConceptReviveError(
            f"{name}: its weight is computed from other tensors: remove the parametrisation or "
            "pruning hook first (torch.nn.utils.parametrize.remove_parametrizations, "
            "torch.nn.utils.prune.remove)"
        )
    if weight.is_meta:
        raise ConceptReviveError(f"{name}: {META}")
    plain = type(weight) is nn.Parameter and weight.dtype in FLOATS
    if not plain or weight.shape != shape:
        raise ConceptReviveError(
            f"{name} is a {kind} whose weight is a {type(weight).__name__} of {weight.dtype}, "
            "quantised or sharded: load the model unquantised, in float32, bfloat16 or float16"
        )


def fused_layers(root: nn.Module) -> set[str]:
    """Names of layers that compute no more, since diffusers has joined them with others."""
    return {
        f"{name}.{part}"
        for name, module in named_modules(root).items()
        if _is_joined(module)
        for joined, parts in JOINED.items()
        if hasattr(module, joined)
        for part in parts
    }


def _is_joined(attention: nn.Module) -> bool:
    """Older classes stay marked when they are taken apart, and do as their processor does."""
    processor = type(getattr(attention, "processor", None)).__name__
    older = type(attention).__module__.endswith(".attention_processor")
    marked = getattr(attention, "fused_projections", False) is True
    return marked and (not older or processor.startswith("Fused"))


def group_offloading(root: nn.Module) -> list[Any]:
    """The groups in which diffusers moves the parts of `root` to where they run and back."""
    registries = (getattr(module, "_diffusers_hook", None) for module in root.modules())
    hooks = [r.get_hook("group_offloading") for r in registries if r is not None]
    return [hook.group for hook in hooks if hook is not None]


def refuse_disk(component: str, root: nn.Module) -> None:
    """Raise ConceptReviveError if what is in memory of `root` is not its weights."""
    for group in group_offloading(root):
        if path := getattr(group, "offload_to_disk_path", None):
            raise ConceptReviveError(
                f"{type(root).__name__}: the weights of {component or 'it'} are offloaded to "
                f"{path}, and what is in memory is not them: load the model again, and offload it "
                "without offload_to_disk_path"
            )


@contextmanager
def without_checkpointing(net: nn.Module) -> Iterator[None]:
    """Within the block `net` keeps its activations, as without gradient checkpointing.

    What is computed again for the gradient would be so with the model's own weights, not with those
    that are handed in.
    """
    on = [m for m in net.modules() if getattr(m, "gradient_checkpointing", False) is True]
    for module in on:
        module.gradient_checkpointing = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in on:
            module.gradient_checkpointing = True  # type: ignore[assignment]


def refuse_undrawable(model: object, net: nn.Module) -> None:
    """Raise ConceptReviveError if the denoiser `net` cannot draw as it is wrapped or placed."""
    for name in ("unet", "transformer"):
        part = getattr(model, name, None)
        if isinstance(part, PARALLEL):
            raise ConceptReviveError(
                f"the {name} is wrapped in {type(part).__name__}, with which diffusers cannot "
                f"draw: set pipe.{name} = pipe.{name}.module"
            )
    for name, parameter in net.named_parameters():
        if parameter.is_meta:
            raise ConceptReviveError(f"{name}: {META}")
