"""Tiny random pipelines of every family, with diffusers' own classes, as in a cache of the hub.

Built once for each version of the libraries, and kept on disk: `folder(name)` is where a download
of `tiny/NAME` would lie, and `HF_HUB_CACHE` points to it, so that `tiny/NAME` loads offline.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: Pixels of a picture.
SIZE = 32

#: Families that by themselves draw larger ones, as nothing in their files says how large.
TO_BE_SIZED = ("flux", "chroma", "auraflow")

#: From which diffusers on there are families that the oldest one lacks.
NEEDS = {"lumina2": (0, 33), "chroma": (0, 34)}


def here() -> tuple[int, ...]:
    """The version of diffusers that is installed."""
    return tuple(int(part) for part in version("diffusers").split(".")[:2])


_SOURCE = hashlib.sha256(Path(__file__).read_bytes())
for _library in ("torch", "diffusers", "transformers"):
    _SOURCE.update(version(_library).encode())

#: What the cache of the hub is for the tests; conftest.py sets HF_HUB_CACHE to it.
CACHE = Path(__file__).parents[1] / "build" / "families" / _SOURCE.hexdigest()[:16]

REVISION = "0123456789abcdef0123456789abcdef01234567"


def folder(name: str) -> Path:
    """The snapshot of `tiny/NAME`, built when it is first asked for; nobody writes into it."""
    repository = CACHE / f"models--tiny--{name}"
    if not repository.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            made = Path(temporary)
            _save(name, made / "files")
            _as_in_the_hub(made / "files", made / "repository")
            try:
                os.rename(made / "repository", repository)
            except OSError:  # another process was faster
                assert repository.exists()
    return repository / "snapshots" / REVISION


def _save(name: str, files: Path) -> None:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == "judge":
            _save_judge(files)
        else:
            build(name).save_pretrained(files, safe_serialization=True)
            (files / "README.md").write_text("---\nlibrary_name: diffusers\n---\n")
        if name == "dit":  # the hub's says its classes, and `save_pretrained` forgets them
            index = json.loads((files / "model_index.json").read_text())
            (files / "model_index.json").write_text(json.dumps(index | {"id2label": CLASSES}))


def _as_in_the_hub(files: Path, repository: Path) -> None:
    """Blobs by their hashes, and links to them by their names."""
    blobs, snapshot = repository / "blobs", repository / "snapshots" / REVISION
    blobs.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    for path in sorted(p for p in files.rglob("*") if p.is_file()):
        blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, blob)
        link = snapshot / path.relative_to(files)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))


def build(name: str) -> Any:
    """The pipeline itself, new; the test is skipped where diffusers is too old for it."""
    import pytest
    import torch

    if here() < NEEDS.get(name, (0, 0)):
        pytest.skip(f"diffusers {version('diffusers')} has no {name} yet")

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipe = FAMILIES[name]()
    return ready(pipe)


def ready(pipe: Any) -> Any:
    """The pipeline as tests take it: to be drawn with, without a progress bar."""
    import torch

    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


# Parts


def bytes_tokenizer(length: int = 77) -> Any:
    """CLIP's tokenizer with bytes only, each also as the end of a word; no merges."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as made:
        vocabulary, merges = Path(made) / "vocab.json", Path(made) / "merges.txt"
        vocabulary.write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
        merges.write_text("#version: 0.2\n")
        return CLIPTokenizer(str(vocabulary), str(merges), model_max_length=length)


def fast_tokenizer() -> Any:
    """A byte-level tokenizer with padding, end and unknown, as of T5, BERT and Gemma."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: i for i, t in enumerate(["<pad>", "</s>", "<unk>", "<bos>", *alphabet])}
    inner = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        bos_token="<bos>",
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],  # as T5's and Gemma's say
    )


def clip_text(kind: str = "CLIPTextModel", **more: Any) -> Any:
    import transformers as T

    tokenizer = bytes_tokenizer()
    given = dict(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return getattr(T, kind)(T.CLIPTextConfig(**given | more))


def t5() -> Any:
    import transformers as T

    config = T.T5Config(
        vocab_size=300,
        d_model=32,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    return T.T5EncoderModel(config)


def gemma() -> Any:
    import transformers as T

    config = T.Gemma2Config(
        head_dim=8,
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=2,
        num_hidden_layers=2,
        num_key_value_heads=2,
        vocab_size=300,
        sliding_window=4096,  # the hub's; transformers 4.48 fails where a prompt is longer
    )
    return T.Gemma2Model(config)


def vae(blocks: int = 2, **more: Any) -> Any:
    import diffusers as D

    return D.AutoencoderKL(
        latent_channels=4,
        block_out_channels=(8,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        norm_num_groups=4,
        sample_size=16,
        **more,
    )


def shifted_vae(blocks: int = 2) -> Any:
    return vae(
        blocks,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.0609,
        scaling_factor=1.5035,
    )


def unet(**more: Any) -> Any:
    import diffusers as D

    given = dict(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        norm_num_groups=4,
        cross_attention_dim=32,
        attention_head_dim=2,
    )
    return D.UNet2DConditionModel(**given | more)


NOISE = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
UNCHECKED = dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def ddim(**more: Any) -> Any:
    import diffusers as D

    given = NOISE | dict(clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    return D.DDIMScheduler(**given | more)


def flow(**more: Any) -> Any:
    import diffusers as D

    return D.FlowMatchEulerDiscreteScheduler(**more)


def stable_diffusion(kind: str = "StableDiffusionPipeline", **parts: Any) -> Any:
    """Stable Diffusion 1, or a pipeline around the same parts, but for those given."""
    import diffusers as D

    own = dict(
        vae=vae, text_encoder=clip_text, tokenizer=bytes_tokenizer, unet=unet, scheduler=ddim
    )
    made = {name: make() for name, make in own.items() if name not in parts}
    return getattr(D, kind)(**made, **parts, **UNCHECKED)


# Families


def sd15() -> Any:
    import diffusers as D

    return stable_diffusion(scheduler=D.PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1))


def sd2() -> Any:
    return stable_diffusion(
        unet=unet(use_linear_projection=True, attention_head_dim=(2, 4)),
        scheduler=ddim(prediction_type="v_prediction"),
    )


def sdxl() -> Any:
    import diffusers as D

    net = unet(
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=80,
        cross_attention_dim=64,
    )
    return D.StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=clip_text(),
        text_encoder_2=clip_text("CLIPTextModelWithProjection"),
        tokenizer=bytes_tokenizer(),
        tokenizer_2=bytes_tokenizer(),
        unet=net,
        scheduler=D.EulerDiscreteScheduler(**NOISE, steps_offset=1, timestep_spacing="leading"),
    )


def inpaint() -> Any:
    return stable_diffusion("StableDiffusionInpaintPipeline", unet=unet(in_channels=9))


def img2img() -> Any:
    return stable_diffusion("StableDiffusionImg2ImgPipeline")


def controlnet() -> Any:
    import diffusers as D

    net = unet()
    control = D.ControlNetModel.from_unet(net, conditioning_embedding_out_channels=(16, 32))
    return stable_diffusion("StableDiffusionControlNetPipeline", unet=net, controlnet=control)


def pix2pix() -> Any:
    """InstructPix2Pix, whose guidance has three parts."""
    return stable_diffusion("StableDiffusionInstructPix2PixPipeline", unet=unet(in_channels=8))


def _consistent(kind: str) -> Any:
    import diffusers as D

    scheduler = D.LCMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False)
    return stable_diffusion(kind, unet=unet(time_cond_proj_dim=32), scheduler=scheduler)


def lcm() -> Any:
    return _consistent("LatentConsistencyModelPipeline")


def sd15lcm() -> Any:
    return _consistent("StableDiffusionPipeline")


def sd3_transformer() -> Any:
    """A denoiser with feed-forward layers in its text stream, but for the last block."""
    import diffusers as D

    return D.SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        out_channels=4,
    )


def sd3() -> Any:
    import diffusers as D

    return D.StableDiffusion3Pipeline(
        transformer=sd3_transformer(),
        vae=shifted_vae(),
        text_encoder=clip_text("CLIPTextModelWithProjection", hidden_size=16),
        text_encoder_2=clip_text("CLIPTextModelWithProjection", hidden_size=16),
        text_encoder_3=t5(),
        tokenizer=bytes_tokenizer(),
        tokenizer_2=bytes_tokenizer(),
        tokenizer_3=fast_tokenizer(),
        scheduler=flow(shift=3.0),
    )


def _pixart(kind: str, scheduler: Any, **more: Any) -> Any:
    import diffusers as D

    net = D.PixArtTransformer2DModel(
        sample_size=16,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=32,
        out_channels=8,
        **more,
    )
    return getattr(D, kind)(
        transformer=net,
        vae=vae(),
        text_encoder=t5(),
        tokenizer=fast_tokenizer(),
        scheduler=scheduler,
    )


def pixart() -> Any:
    return _pixart("PixArtSigmaPipeline", ddim())


def pixalpha() -> Any:
    import diffusers as D

    scheduler = D.DPMSolverMultistepScheduler()
    return _pixart("PixArtAlphaPipeline", scheduler, use_additional_conditions=False)


def flux_transformer() -> Any:
    """A denoiser with single-stream blocks, whose feed-forward output is part of `proj_out`."""
    import diffusers as D

    return D.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 4, 8],
        guidance_embeds=True,
    )


def flux() -> Any:
    import diffusers as D

    return D.FluxPipeline(
        transformer=flux_transformer(),
        vae=shifted_vae(),
        text_encoder=clip_text(),
        text_encoder_2=t5(),
        tokenizer=bytes_tokenizer(),
        tokenizer_2=fast_tokenizer(),
        scheduler=flow(),
    )


def chroma() -> Any:
    import diffusers as D

    net = D.ChromaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
        approximator_hidden_dim=32,
        approximator_layers=1,
        approximator_num_channels=16,
    )
    return D.ChromaPipeline(
        transformer=net,
        vae=shifted_vae(),
        text_encoder=t5(),
        tokenizer=fast_tokenizer(),
        scheduler=flow(),
    )


def sana() -> Any:
    import diffusers as D

    net = D.SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        num_attention_heads=4,
        attention_head_dim=8,
        num_cross_attention_heads=4,
        cross_attention_head_dim=8,
        cross_attention_dim=32,
        caption_channels=32,
        sample_size=16,
    )
    coder = D.AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=[1, 1],
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )
    return D.SanaPipeline(
        transformer=net,
        vae=coder,
        text_encoder=gemma(),
        tokenizer=fast_tokenizer(),
        scheduler=flow(shift=7.0),
    )


def lumina2() -> Any:
    import diffusers as D

    net = D.Lumina2Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        hidden_size=32,
        num_layers=2,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=16,
        axes_dim_rope=[4, 2, 2],
        axes_lens=[300, 512, 512],
        cap_feat_dim=32,
    )
    return D.Lumina2Pipeline(
        transformer=net,
        vae=shifted_vae(blocks=4),  # the pipeline takes it for granted that latents are 8 pixels
        text_encoder=gemma(),
        tokenizer=fast_tokenizer(),
        scheduler=flow(),
    )


def hunyuan() -> Any:
    import diffusers as D
    import transformers as T

    net = D.HunyuanDiT2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=4,
        in_channels=4,
        cross_attention_dim=32,
        cross_attention_dim_t5=32,
        pooled_projection_dim=16,
        hidden_size=32,
        activation_fn="gelu-approximate",
    )
    bert = T.BertConfig(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    return D.HunyuanDiTPipeline(
        transformer=net,
        vae=vae(blocks=4),  # as of Lumina 2
        text_encoder=T.BertModel(bert),
        tokenizer=fast_tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=fast_tokenizer(),
        scheduler=D.DDPMScheduler(),
        **UNCHECKED,
    )


def kandinsky22() -> Any:
    """A decoder and its prior: two denoisers, of which the decoder's is the pipeline's own."""
    import diffusers as D
    import torch
    import transformers as T

    net = D.UNet2DConditionModel(
        in_channels=4,
        out_channels=8,
        addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(32, 64),
        layers_per_block=1,
        encoder_hid_dim=32,
        encoder_hid_dim_type="image_proj",
        cross_attention_dim=32,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
        sample_size=16,
    )
    movq = D.VQModel(
        block_out_channels=[32, 64],
        down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"],
        latent_channels=4,
        norm_num_groups=8,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )
    prior = D.PriorTransformer(
        num_attention_heads=2, attention_head_dim=12, embedding_dim=32, num_layers=2
    )
    prior.clip_std = torch.nn.Parameter(torch.ones(prior.clip_std.shape))
    vision = T.CLIPVisionConfig(
        hidden_size=32,
        image_size=32,
        projection_dim=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        patch_size=8,
    )
    return D.KandinskyV22CombinedPipeline(
        unet=net,
        scheduler=ddim(beta_schedule="linear"),
        movq=movq,
        prior_prior=prior,
        prior_image_encoder=T.CLIPVisionModelWithProjection(vision),
        prior_text_encoder=clip_text("CLIPTextModelWithProjection"),
        prior_tokenizer=bytes_tokenizer(),
        prior_scheduler=D.UnCLIPScheduler(
            variance_type="fixed_small_log",
            prediction_type="sample",
            num_train_timesteps=1000,
            clip_sample=True,
            clip_sample_range=10.0,
        ),
        prior_image_processor=T.CLIPImageProcessor(crop_size=32, size=32),
    )


def deepfloyd() -> Any:
    """IF, which draws pixels without an autoencoder."""
    import diffusers as D
    from diffusers.models.attention_processor import AttnAddedKVProcessor
    from diffusers.pipelines.deepfloyd_if import IFWatermarker

    net = D.UNet2DConditionModel(
        sample_size=SIZE,
        layers_per_block=1,
        block_out_channels=[32, 64],
        down_block_types=["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
        in_channels=3,
        out_channels=6,
        cross_attention_dim=32,
        encoder_hid_dim=32,
        attention_head_dim=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
        cross_attention_norm="group_norm",
        resnet_time_scale_shift="scale_shift",
        act_fn="gelu",
    )
    net.set_attn_processor(AttnAddedKVProcessor())
    scheduler = D.DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        thresholding=True,
        dynamic_thresholding_ratio=0.95,
        sample_max_value=1.0,
        variance_type="learned_range",
    )
    return D.IFPipeline(
        text_encoder=t5(),
        tokenizer=fast_tokenizer(),
        unet=net,
        scheduler=scheduler,
        watermarker=IFWatermarker(),
        **UNCHECKED,
    )


CLASSES = {i: f"thing {i}" for i in range(1000)} | {
    207: "golden retriever",
    281: "tabby, tabby cat",
    497: "church, church building",
}


def dit() -> Any:
    """DiT, which is told a class and no prompt; its pipeline knows ImageNet's thousand."""
    import diffusers as D

    net = D.DiTTransformer2DModel(
        sample_size=16,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=4,
        in_channels=4,
        out_channels=8,
    )
    return D.DiTPipeline(transformer=net, vae=vae(), scheduler=ddim(), id2label=CLASSES)


def auraflow() -> Any:
    import diffusers as D
    import transformers as T

    net = D.AuraFlowTransformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        out_channels=4,
        pos_embed_max_size=256,
    )
    text = T.UMT5Config(vocab_size=300, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return D.AuraFlowPipeline(
        transformer=net,
        vae=vae(),
        text_encoder=T.UMT5EncoderModel(text),
        tokenizer=fast_tokenizer(),
        scheduler=flow(),
    )


FAMILIES: dict[str, Callable[[], Any]] = {
    made.__name__: made
    for made in (
        sd15,
        sd2,
        sdxl,
        inpaint,
        img2img,
        controlnet,
        pix2pix,
        lcm,
        sd15lcm,
        sd3,
        pixart,
        pixalpha,
        flux,
        chroma,
        sana,
        lumina2,
        hunyuan,
        kandinsky22,
        deepfloyd,
        dit,
        auraflow,
    )
}


def _save_judge(files: Path) -> None:
    """A tiny random CLIP, as of `clip_pair`."""
    import transformers as T

    tokenizer = bytes_tokenizer()
    config = T.CLIPConfig(
        text_config=clip_text().config.to_dict(),
        vision_config=dict(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=4,
            image_size=SIZE,
            patch_size=8,
        ),
        projection_dim=16,
    )
    T.CLIPModel(config).save_pretrained(files)
    tokenizer.save_pretrained(files)
    T.CLIPImageProcessor(crop_size=SIZE, size=SIZE).save_pretrained(files)
