"""Judges of pictures: an image classifier with labels in groups, and CLIP where no class fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.evaluation.timm_resnet import is_timm, load_timm_resnet
from conceptrevive.files import ASSETS
from conceptrevive.models.lacking import expect_weights, expect_words
from conceptrevive.models.pipeline import cannot_load, hushed, parse_device


def _source(name: str, shipped: str) -> str:
    expect(name, (str, Path), "the judge", "give a folder, a hub id (owner/name) or 'pocket'")
    return str(ASSETS / shipped) if name == "pocket" else str(name)


def _load(kind: str, source: str, device: torch.device) -> tuple[Any, Any]:
    """A transformers model in float32 and its image processor; safetensors only."""
    loader: Any
    try:
        with hushed():
            import transformers

            if kind == "classifier" and is_timm(source):
                model, processor = load_timm_resnet(source)
                return model.eval().to(device), processor
            kinds = {"classifier": "AutoModelForImageClassification", "clip": "CLIPModel"}
            loader = getattr(transformers, kinds[kind])
            model = loader.from_pretrained(source, use_safetensors=True).float()
            loader = transformers.AutoImageProcessor
            processor = loader.from_pretrained(source, use_fast=False)
    # Transformers, its tokenizers and the hub raise what they like.
    except Exception as e:
        raise ConceptReviveError(
            f"cannot load the judge {source!r}: {cannot_load(source, e)}"
        ) from e
    if Path(source).is_dir():
        expect_weights(model, Path(source))
    return model.eval().to(device), processor


def group_of(label: str) -> str:
    """`object:cat` → `object`; a plain label is of the group ""."""
    return label.partition(":")[0] if ":" in label else ""


@dataclass(frozen=True)
class Classifier:
    """An image classifier.

    Labels "group:name" are softmaxed per group; labels without a colon form one group.
    """

    model: Any
    processor: Any
    labels: tuple[str, ...]

    @classmethod
    def load(cls, name: str = "pocket", device: str | torch.device | None = "cpu") -> Classifier:
        """`pocket`, a folder, or a hub id.

        Such as "microsoft/resnet-50", or "timm/resnet50.tv2_in1k", torchvision's second weights of
        the same network.
        """
        model, processor = _load("classifier", _source(name, "classifier"), parse_device(device))
        return cls(
            model,
            processor,
            tuple(model.config.id2label[i] for i in range(model.config.num_labels)),
        )

    def groups(self) -> dict[str, list[int]]:
        """{group: label indices}; the one group of plain labels is called ""."""
        out: dict[str, list[int]] = {}
        for i, label in enumerate(self.labels):
            out.setdefault(group_of(label), []).append(i)
        return out

    @torch.no_grad()
    def probabilities(
        self, images: Sequence[Image.Image], batch_size: int = 64
    ) -> Float[Tensor, "pictures labels"]:
        """One row per picture; each group sums to 1."""
        device = next(self.model.parameters()).device
        rows = []
        for first in range(0, len(images), batch_size):
            pixels = self.processor(list(images[first : first + batch_size]), return_tensors="pt")[
                "pixel_values"
            ]
            rows.append(self.model(pixel_values=pixels.to(device)).logits.float().cpu())
        logits = torch.cat(rows) if rows else torch.zeros(0, len(self.labels))
        out = torch.zeros_like(logits)
        for members in self.groups().values():
            out[:, members] = logits[:, members].softmax(-1)
        return out

    def top1(
        self, images: Sequence[Image.Image], group: str = "object", batch_size: int = 64
    ) -> list[str]:
        """The most probable label of `group` for each picture."""
        groups = self.groups()
        members = groups.get(group) or groups.get("")
        if members is None:
            raise ConceptReviveError(
                f"the classifier has no labels of group {group!r}: it has {', '.join(groups)}"
            )
        best = self.probabilities(images, batch_size)[:, members].argmax(-1)
        return [self.labels[members[int(i)]] for i in best]

    def check(self, wanted: Sequence[Sequence[str]]) -> None:
        """Raise ConceptReviveError for a label the classifier does not know."""
        missing = sorted({w for labels in wanted for w in labels} - set(self.labels))
        if missing:
            raise ConceptReviveError(
                f"the classifier has no label {missing[0]!r}: "
                "see `Classifier.load(…).labels` for its own"
            )

    def correct(self, images: Sequence[Image.Image], wanted: Sequence[Sequence[str]]) -> list[bool]:
        """Whether each picture's top-1 label, within the wanted ones' group, is a wanted one."""
        self.check(wanted)
        out = [False] * len(images)
        of = [group_of(labels[0]) for labels in wanted]
        for group in dict.fromkeys(of):
            index = [i for i, g in enumerate(of) if g == group]
            best = self.top1([images[i] for i in index], group)
            for i, label in zip(index, best, strict=True):
                out[i] = label in wanted[i]
        return out


@dataclass(frozen=True)
class Clip:
    """CLIP similarity and features."""

    model: Any
    processor: Any
    tokenizer: Any

    @classmethod
    def load(cls, name: str = "pocket", device: str | torch.device | None = "cpu") -> Clip:
        """`pocket`, a folder, or a hub id such as "openai/clip-vit-base-patch32"."""
        from transformers import CLIPTokenizer

        source = _source(name, "clip")
        model, processor = _load("clip", source, parse_device(device))
        loader: Any = CLIPTokenizer
        try:
            tokenizer = loader.from_pretrained(source)
        except Exception as e:
            raise ConceptReviveError(
                f"cannot load the judge {source!r}: {cannot_load(source, e)}"
            ) from e
        expect_words(tokenizer, source)
        return cls(model, processor, tokenizer)

    @torch.no_grad()
    def image_features(
        self, images: Sequence[Image.Image], batch_size: int = 64
    ) -> Float[Tensor, "pictures dimension"]:
        """Unit vectors."""
        device, rows = next(self.model.parameters()).device, []
        for first in range(0, len(images), batch_size):
            pixels = self.processor(list(images[first : first + batch_size]), return_tensors="pt")[
                "pixel_values"
            ]
            pooled = self.model.vision_model(pixel_values=pixels.to(device)).pooler_output
            rows.append(self.model.visual_projection(pooled).float().cpu())
        return torch.nn.functional.normalize(torch.cat(rows), dim=-1)

    @torch.no_grad()
    def text_features(self, prompts: Sequence[str]) -> Float[Tensor, "prompts dimension"]:
        """Unit vectors."""
        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="pt"
        )
        device = next(self.model.parameters()).device
        # The unpadded and the padded text share their first end token, which CLIP pools.
        pooled = self.model.text_model(input_ids=tokens.input_ids.to(device)).pooler_output
        return torch.nn.functional.normalize(
            self.model.text_projection(pooled).float().cpu(), dim=-1
        )

    def similarity(
        self, images: Sequence[Image.Image], prompts: Sequence[str]
    ) -> Float[Tensor, "pictures prompts"]:
        """Cosine of every picture with every prompt."""
        return self.image_features(images) @ self.text_features(prompts).T

    def shows(self, images: Sequence[Image.Image], pair: tuple[str, str]) -> list[bool]:
        """Whether each picture is nearer to the first prompt of `pair` than to the second."""
        s = self.similarity(images, pair)
        return [bool(nearer) for nearer in s[:, 0] > s[:, 1]]


@lru_cache(maxsize=4)
def classifier(name: str = "pocket", device: str = "cpu") -> Classifier:
    """`Classifier.load`, kept for the next call."""
    return Classifier.load(name, device)


@lru_cache(maxsize=2)
def clip(name: str = "pocket", device: str = "cpu") -> Clip:
    """`Clip.load`, kept for the next call."""
    return Clip.load(name, device)


def judge_files() -> list[Path]:
    """The shipped judges' weights, whose hashes stand in the model card."""
    return sorted(p for d in ("classifier", "clip") for p in (ASSETS / d).glob("*.safetensors"))
