"""Build the pocket pipeline's untrained parts: tokenizer, text encoder, UNet, scheduler."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from conceptrevive.concepts import world as W
from training.layout import name_text_encoder, write_vocabulary
from training.worlds import FIRST_PHRASES, World

MAX_TOKENS = 16
TEXT_WIDTH = 32
#: Every object that tokenizer and judges know.
ALL = World(W.OBJECTS, FIRST_PHRASES)

UNET = dict(
    sample_size=16,
    in_channels=8,
    out_channels=8,
    block_out_channels=(64, 128),
    layers_per_block=1,
    # Attention only at 8×8, many transformer layers and few convolutions: the feed-forward layers
    # must do the drawing.
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    transformer_layers_per_block=4,
    attention_head_dim=4,
    cross_attention_dim=TEXT_WIDTH,
    norm_num_groups=16,
    use_linear_projection=True,
)


def vocabulary_sentences(world: World) -> list[str]:
    """Every word of the world, often enough that BPE keeps each whole."""
    phrases, sentences = world.phrases, []
    for o in map(W.with_article, [*world.objects, *W.HYPERNYMS]):
        sentences += [p.format(o=o) for p in phrases.objects]
        sentences += [
            p.format(o=o, s=W.with_article(s)) for p in phrases.held_out for s in W.SCENES
        ]
        sentences += [o + W.STYLE_SUFFIX.format(style=st) for st in W.STYLES]
    if phrases.the:
        sentences += [f"the {o}" for o in world.objects]
    return sentences


def train_merges(sentences: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair encoding until every word is whole; ties go to the first by the alphabet.

    The tokenizers library breaks ties by a hash that differs from run to run.
    """
    words = Counter(w for s in sentences for w in re.findall(r"[a-z]+|[^\sa-z]", s.lower()))
    split = {w: [*w[:-1], w[-1] + "</w>"] for w in words}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in split.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: _merged(parts, best) for word, parts in split.items()}


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out


def build_tokenizer(folder: Path, world: World = ALL) -> CLIPTokenizer:
    """Byte-pair encoding of the world's captions, in CLIP's layout, as CLIPTokenizer.

    Writes `vocab.json` and `merges.txt`. A run that goes on keeps the tokenizer it began with: its
    embeddings belong to it.
    """
    if (folder / "vocab.json").exists():
        return load_tokenizer(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = train_merges(vocabulary_sentences(world))
    # CLIP's own layout: every byte, every byte at the end of a word, the merges, then the two
    # special tokens.
    tokens = [
        *alphabet,
        *(c + "</w>" for c in alphabet),
        *(a + b for a, b in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(
        json.dumps({t: i for i, t in enumerate(dict.fromkeys(tokens))})
    )
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return load_tokenizer(folder)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer written by `build_tokenizer`."""
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=MAX_TOKENS
    )


def text_config(tokenizer: CLIPTokenizer, width: int, layers: int, heads: int) -> CLIPTextConfig:
    """A CLIP text tower of the given size for this tokenizer."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_scheduler() -> DDIMScheduler:
    """SD-1.5's noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def build_pipeline(
    vae: AutoencoderKL, tokenizer: CLIPTokenizer, unet_kwargs: dict | None = None
) -> StableDiffusionPipeline:
    """The untrained pocket pipeline around a trained autoencoder."""
    return StableDiffusionPipeline(
        vae=vae,
        tokenizer=tokenizer,
        text_encoder=CLIPTextModel(text_config(tokenizer, TEXT_WIDTH, 2, 2)),
        unet=UNet2DConditionModel(**(UNET | (unet_kwargs or {}))),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_half(pipe: StableDiffusionPipeline, folder: Path) -> None:
    """Write the pipeline with its weights in float16, to be loaded in float32 where none is asked.

    Without a dtype diffusers loads its networks in float32, and transformers from version 5 on in
    the one named in the text encoder's config: named float16, the two would not fit.
    """
    half_copy(pipe).save_pretrained(folder, safe_serialization=True)
    config = folder / "text_encoder" / "config.json"
    named = json.loads(config.read_text())
    key = "dtype" if "dtype" in named else "torch_dtype"
    config.write_text(json.dumps(named | {key: "float32"}, indent=2, sort_keys=True) + "\n")
    name_text_encoder(folder / "text_encoder" / "model.safetensors")
    write_vocabulary(folder / "tokenizer")


def half_copy(pipe: StableDiffusionPipeline) -> StableDiffusionPipeline:
    """The pipeline with its parts in float16; `pipe` itself stays as it is."""
    parts = {
        name: copy.deepcopy(getattr(pipe, name)).half() for name in ("vae", "text_encoder", "unet")
    }
    return StableDiffusionPipeline(
        **parts,
        tokenizer=pipe.tokenizer,
        scheduler=pipe.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
