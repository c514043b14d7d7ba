"""torchvision's ResNets as timm keeps them on the hub, in safetensors: the released code's judge.

`timm/resnet50.tv2_in1k` is torchvision's ResNet-50 with its second weights (IMAGENET1K_V2). Neither
library is needed: the network is transformers' own, its tensors are renamed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

#: Whose labels a network of ImageNet's thousand classes has, where it names none: the same order.
LABELS = "microsoft/resnet-50"

#: What a bottleneck's layer is: stage, block, then a convolution, a norm or the shortcut's two.
LAYER = re.compile(r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)\.(.+)")

#: Names outside of the stages, in timm and in transformers.
OTHERS = {
    "conv1.": "resnet.embedder.embedder.convolution.",
    "bn1.": "resnet.embedder.embedder.normalization.",
    "fc.": "classifier.1.",
}


def is_timm(source: str) -> bool:
    """Whether a judge's folder or hub id is in timm's format, which names an architecture."""
    config = Path(source, "config.json")
    if not Path(source).is_dir():
        return source.startswith("timm/")
    try:
        told = json.loads(config.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and "architecture" in told and "model_type" not in told


def load_timm_resnet(source: str) -> tuple[Any, Any]:
    """A ResNet of timm's and its image processor, as transformers has them.

    Args:
        source: a folder with `config.json` and `model.safetensors`, or a hub id.

    Raises:
        ValueError: another architecture, or tensors that do not fit it; what the hub raises.
    """
    from safetensors.torch import load_file
    from transformers import CLIPImageProcessor, ResNetConfig, ResNetForImageClassification

    told = json.loads(Path(_file(source, "config.json")).read_bytes())
    if not re.fullmatch(r"resnet(50|101|152)", str(told.get("architecture"))):
        raise ValueError(
            "of timm's networks resnet50, resnet101 and resnet152 are taken, and this is a "
            f"{told.get('architecture')}"
        )
    about = told["pretrained_cfg"]
    state = {renamed(k): w for k, w in load_file(_file(source, "model.safetensors")).items()}
    config = ResNetConfig(**_shapes(state))
    names = told.get("label_names") or about.get("label_names")
    names = names or list((ResNetConfig.from_pretrained(LABELS).id2label or {}).values())
    if len(names) != config.num_labels:
        raise ValueError(f"it has {config.num_labels} classes and {len(names)} names for them")
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in config.id2label.items()}
    model = ResNetForImageClassification(config)
    counters = {n: b for n, b in model.state_dict().items() if n.endswith("num_batches_tracked")}
    model.load_state_dict(counters | state)
    return model, CLIPImageProcessor(**_seen(about))


def _file(source: str, name: str) -> str:
    if Path(source).is_dir():
        return str(Path(source, name))
    from huggingface_hub import hf_hub_download

    return hf_hub_download(source, name)


def renamed(key: str) -> str:
    """A tensor's name in transformers, where stages and layers are counted from 0."""
    if found := LAYER.fullmatch(key):
        stage, block, kind, number, rest = found.groups()
        block = f"resnet.encoder.stages.{int(stage) - 1}.layers.{block}"
        if kind == "downsample.":
            return f"{block}.shortcut.{('convolution', 'normalization')[int(number)]}.{rest}"
        part = {"conv": "convolution", "bn": "normalization"}[kind]
        return f"{block}.layer.{int(number) - 1}.{part}.{rest}"
    for old, new in OTHERS.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key


def _shapes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Depths and widths of a network, read off its renamed tensors."""
    last = re.compile(
        r"resnet\.encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.2\.convolution\.weight"
    )
    blocks = {tuple(map(int, m.groups())): w for n, w in state.items() if (m := last.fullmatch(n))}
    stages = range(4)
    if any((stage, 0) not in blocks for stage in stages) or "classifier.1.weight" not in state:
        raise ValueError("model.safetensors holds no ResNet of four stages and its classes")
    return {
        "depths": [sum(s == stage for s, _ in blocks) for stage in stages],
        "hidden_sizes": [len(blocks[stage, 0]) for stage in stages],
        "embedding_size": len(state["resnet.embedder.embedder.convolution.weight"]),
        "num_labels": len(state["classifier.1.weight"]),
    }


def _seen(told: Mapping[str, Any]) -> dict[str, Any]:
    """How pictures are prepared: shorter side, centre, mean and deviation."""
    size = (told.get("test_input_size") or told["input_size"])[-1]
    share = told.get("test_crop_pct") or told["crop_pct"]
    return {
        "size": {"shortest_edge": int(size / share)},
        "crop_size": {"height": size, "width": size},
        "resample": {"bilinear": 2, "bicubic": 3}[told["interpolation"]],
        "image_mean": told["mean"],
        "image_std": told["std"],
    }
