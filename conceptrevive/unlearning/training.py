"""Training of chosen weights, step by step: masked, seeded, and to be gone on with after a stop."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, expect, expect_number, expect_whole
from conceptrevive.files import replacing
from conceptrevive.models.selection import Layers
from conceptrevive.models.weights import Weights
from conceptrevive.unlearning.fit import check_fit, check_masks, check_not_empty
from conceptrevive.unlearning.gradients import leaves

FORMAT = "conceptrevive-training-1"

#: From a step and the weights at it to the gradients that it follows.
Gradients: TypeAlias = Callable[[int, Weights], Weights]


def check_training(steps: int, lr: float, checkpoint: str | os.PathLike[str] | None) -> None:
    """Raise ConceptReviveError for settings of a training of a wrong type or out of range."""
    expect_whole(steps, "steps")
    if steps < 1:
        raise ConceptReviveError(f"steps is {steps}: train for at least one")
    expect_number(lr, "lr")
    if not (math.isfinite(lr) and lr > 0):
        raise ConceptReviveError(f"lr is {lr}: give a learning rate above 0, such as 1e-5")
    expect(checkpoint, (str, os.PathLike, NoneType), "checkpoint", "give the name of a file")


def expect_weight(value: float, name: str) -> None:
    """Raise ConceptReviveError unless `value` is a number from 0 up; infinity is one."""
    expect_number(value, name)
    if not value >= 0:
        raise ConceptReviveError(f"{name} is {value}: give 0 or more")


def named_layers(masks: Mapping[str, Tensor] | None, layers: Layers) -> Layers:
    """The layers to train: those of the masks, or those named. Not both, or ConceptReviveError."""
    if masks is None:
        return layers
    check_masks(masks)
    if layers is not None:
        raise ConceptReviveError("masks and layers exclude each other: masks name their layers")
    return list(masks)


def fitting_masks(
    weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]
) -> dict[str, Bool[Tensor, "rows columns"]]:
    """Masks on their weights' devices.

    Raises ConceptReviveError if they do not fit, or hold no entry.
    """
    check_fit(weights, masks)
    check_not_empty(masks)
    return {name: masks[name].to(weight.device) for name, weight in weights.items()}


def trained(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    gradients_at: Gradients,
    *,
    steps: int,
    lr: float,
    masks: Mapping[str, Bool[Tensor, "rows columns"]] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    run: str = "",
    every: int = 50,
) -> Weights:
    """`weights` after `steps` of Adam in float32, without weight decay; their dtypes are kept.

    Args:
        gradients_at: called with the step, from 0, and the weights there; what it draws must depend
            on the step alone.
        masks: what may change, True = trained; all else stays bit for bit. None trains everything.
        checkpoint: a file that the state is kept in after each `every` steps and after the last;
            one that is there is gone on from.
        run: what tells this training from others, see `run_digest`.

    Raises:
        ConceptReviveError: the checkpoint is not of this run, or cannot be read or written.
    """
    at = leaves(weights)
    optimiser = torch.optim.Adam(list(at.values()), lr=lr)
    first = 0 if checkpoint is None else _resumed(checkpoint, run, at, optimiser)
    for step in range(first, steps):
        for name, gradient in gradients_at(step, at).items():
            at[name].grad = gradient if masks is None else gradient * masks[name]
        optimiser.step()
        if checkpoint is not None and ((step + 1) % every == 0 or step + 1 == steps):
            _keep(checkpoint, run, step + 1, at, optimiser)
    out = {name: w.detach().to(weights[name].dtype) for name, w in at.items()}
    if masks is None:
        return out
    return {name: torch.where(masks[name], w, weights[name]) for name, w in out.items()}


def run_digest(tensors: Mapping[str, Tensor], **settings: object) -> str:
    """What tells a training from others: all that it starts from."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in tensors.items():
        digest.update(name.encode())
        flat = tensor.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _keep(
    path: str | os.PathLike[str],
    run: str,
    step: int,
    at: Weights,
    optimiser: torch.optim.Adam,
) -> None:
    kept = {}
    for name, weight in at.items():
        kept[f"weight:{name}"] = weight.detach()
        for part in ("exp_avg", "exp_avg_sq"):
            kept[f"{part}:{name}"] = optimiser.state[weight][part]
    note = json.dumps({"format": FORMAT, "run": run, "step": step})
    tensors = {name: t.cpu().contiguous() for name, t in kept.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"conceptrevive": note})


def _resumed(
    path: str | os.PathLike[str], run: str, at: Weights, optimiser: torch.optim.Adam
) -> int:
    """The step to go on at, with weights and optimiser as they were; 0 if nothing was kept."""
    if not Path(path).exists():
        return 0
    try:
        with safe_open(path, "pt") as f:
            note = json.loads((f.metadata() or {}).get("conceptrevive", "{}"))
            if note.get("format") != FORMAT or note.get("run") != run:
                raise ConceptReviveError(
                    f"{path} is not of this training: it is left as it is; name another "
                    "checkpoint, or move it away"
                )
            for name, weight in at.items():
                weight.data.copy_(f.get_tensor(f"weight:{name}"))
                moments = {
                    part: f.get_tensor(f"{part}:{name}").to(weight.device)
                    for part in ("exp_avg", "exp_avg_sq")
                }
                step = torch.tensor(float(note["step"]))
                optimiser.state[weight] = {"step": step, **moments}
    except (OSError, SafetensorError, json.JSONDecodeError) as e:
        raise ConceptReviveError(
            f"cannot read the checkpoint {path} ({e}): move it away to start again"
        ) from e
    return int(note["step"])
