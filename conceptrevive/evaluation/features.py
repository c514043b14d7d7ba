"""Features of pictures, for FID: a classifier's penultimate layer, or Inception's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, one_line
from conceptrevive.evaluation.judges import Classifier

Features = Float[Tensor, "pictures dimension"]


def penultimate(judge: Classifier, images: Sequence[Image.Image]) -> Features:
    """What a classifier's last linear layer is given; on the processor.

    Raises ConceptReviveError for a classifier without linear layers.
    """
    layers = [m for m in judge.model.modules() if isinstance(m, torch.nn.Linear)]
    if not layers:
        raise ConceptReviveError(
            f"the judge is a {type(judge.model).__name__} without a linear layer: FID needs the "
            "features before its last; use another judge"
        )
    seen: list[Tensor] = []
    hook = layers[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0].cpu()))
    try:
        judge.probabilities(images)
    finally:
        hook.remove()
    return torch.cat(seen)


def inception_features(images: Sequence[Image.Image], device: str = "cpu") -> Features:
    """The 2048 features of FID's Inception, on the processor; each picture at its own size."""
    net, rows = inception(device), []
    with torch.no_grad():
        for image in images:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
            rows.append(net(pixels[None].to(device)).cpu())
    return torch.cat(rows)


@lru_cache(maxsize=1)
def inception(device: str = "cpu") -> Any:
    """torchmetrics' Inception, whose weights torch-fidelity fetches once.

    Raises ConceptReviveError where torch-fidelity or its weights cannot be had.
    """
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        with _weights_only():
            net = NoTrainInceptionV3("inception-v3-compat", ["2048"])
    except ModuleNotFoundError as e:
        raise ConceptReviveError(
            "FID at paper scale needs Inception, and torch-fidelity is not installed: "
            "pip install torch-fidelity"
        ) from e
    # What it is loaded by raises what torch, torchvision, urllib and the file system like.
    except Exception as e:
        raise ConceptReviveError(
            f"cannot load Inception for FID ({one_line(e)}): install a torchvision that fits "
            "torch; torch-fidelity fetches the weights from github.com into torch's cache, so put "
            "them there by hand where that cannot be reached"
        ) from e
    return net.to(device)


@contextmanager
def _weights_only() -> Iterator[None]:
    """Within the block torch loads tensors alone, and runs no code of a file."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
