"""Tiny random pipelines of other kinds than plain Stable Diffusion, around the parts of `tiny`."""

from __future__ import annotations

from typing import Any

import diffusers as D
import torch
import transformers as T


def parts(tiny: Any, *names: str, **other: Any) -> dict[str, Any]:
    """`tiny`'s parts by name, and others."""
    shared = names or ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    return {name: getattr(tiny, name) for name in shared} | other


UNCHECKED = dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def inpaint(tiny: Any) -> Any:
    return D.StableDiffusionInpaintPipeline(**parts(tiny), **UNCHECKED)


def img2img(tiny: Any) -> Any:
    return D.StableDiffusionImg2ImgPipeline(**parts(tiny), **UNCHECKED)


def controlnet(tiny: Any) -> Any:
    net = D.ControlNetModel.from_unet(tiny.unet, conditioning_channels=3)
    return D.StableDiffusionControlNetPipeline(**parts(tiny), controlnet=net, **UNCHECKED)


def lcm(tiny: Any) -> Any:
    unet = D.UNet2DConditionModel.from_config(tiny.unet.config, time_cond_proj_dim=32)
    scheduler = D.LCMScheduler.from_config(tiny.scheduler.config)
    return D.LatentConsistencyModelPipeline(
        **parts(tiny, unet=unet, scheduler=scheduler), **UNCHECKED
    )


def kandinsky(tiny: Any) -> Any:
    """The combined pipeline of Kandinsky 2.2, whose latents belong to its prior."""
    movq = D.VQModel(
        block_out_channels=[8, 8],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
        num_vq_embeddings=4,
        vq_embed_dim=4,
    )
    vision = T.CLIPVisionModelWithProjection(
        T.CLIPVisionConfig(
            hidden_size=16,
            image_size=16,
            projection_dim=16,
            intermediate_size=16,
            num_attention_heads=2,
            num_hidden_layers=1,
            patch_size=8,
        )
    )
    text = T.CLIPTextModelWithProjection(tiny.text_encoder.config)
    return D.KandinskyV22CombinedPipeline(
        unet=tiny.unet,
        scheduler=tiny.scheduler,
        movq=movq,
        prior_prior=D.PriorTransformer(
            num_attention_heads=2, attention_head_dim=8, embedding_dim=16, num_layers=1
        ),
        prior_image_encoder=vision,
        prior_text_encoder=text,
        prior_tokenizer=tiny.tokenizer,
        prior_scheduler=D.UnCLIPScheduler(prediction_type="sample"),
        prior_image_processor=T.CLIPImageProcessor(crop_size=16, size=16),
    )


def hunyuan(tiny: Any) -> Any:
    """HunyuanDiT of a size that is not its own: its pipeline draws 1024 pixels and no less."""
    transformer = D.HunyuanDiT2DModel(
        sample_size=16,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        cross_attention_dim=16,
        cross_attention_dim_t5=16,
        pooled_projection_dim=8,
        hidden_size=16,
        activation_fn="gelu-approximate",
        text_len=77,
        text_len_t5=24,
    )
    bert = T.BertModel(
        T.BertConfig(
            vocab_size=len(tiny.tokenizer),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=128,
        )
    )
    t5 = T.T5EncoderModel(
        T.T5Config(vocab_size=len(tiny.tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1)
    )
    return D.HunyuanDiTPipeline(
        vae=tiny.vae,
        transformer=transformer,
        text_encoder=bert,
        tokenizer=tiny.tokenizer,
        text_encoder_2=t5,
        tokenizer_2=tiny.tokenizer,
        scheduler=D.DDPMScheduler(),
        **UNCHECKED,
    )


def sd3_transformer() -> Any:
    """A denoiser with feed-forward layers in its text stream."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return D.SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_projection_dim=16,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            out_channels=4,
        )


def flux_transformer() -> Any:
    """A denoiser with single-stream blocks, whose feed-forward output is part of `proj_out`."""
    return D.FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=1,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
    )


def auraflow_transformer() -> Any:
    """A denoiser whose feed-forward outputs are named otherwise."""
    return D.AuraFlowTransformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=16,
        out_channels=4,
        pos_embed_max_size=64,
    )
