"""Train the pocket AutoencoderKL: 64×64×3 pictures ↔ 16×16×8 latents.

python -m training.train_autoencoder --minutes 10 --out runs/vae
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from training.common import add_common, autocast, device_of, pictures_to_tensor, sheet
from training.data import render

CONFIG = dict(
    in_channels=3,
    out_channels=3,
    latent_channels=8,
    sample_size=64,
    layers_per_block=1,
    norm_num_groups=1,  # few channels a group would wash absolute colour out of so small a network
    block_out_channels=(16, 32, 64),
    down_block_types=("DownEncoderBlock2D",) * 3,
    up_block_types=("UpDecoderBlock2D",) * 3,
    mid_block_add_attention=False,
)


def edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Horizontal and vertical differences of (b, 3, h, w)."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def loss_of(vae: AutoencoderKL, x: torch.Tensor) -> torch.Tensor:
    """L1 + edge L1 + a small KL, as in latent diffusion but without the discriminator."""
    posterior = vae.encode(x).latent_dist
    y = vae.decode(posterior.sample()).sample.float()
    edge = sum((a - b).abs().mean() for a, b in zip(edges(x), edges(y), strict=True))
    return (x - y).abs().mean() + 0.5 * edge + 2e-6 * posterior.kl().mean()


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    add_common(ap, out="runs/vae")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    device = device_of(args.device)
    pictures, _ = render(args.pictures, seed=args.seed + 1, allow_held_out=True)
    data = torch.from_numpy(pictures)
    vae = AutoencoderKL(**CONFIG).to(device, memory_format=torch.channels_last)
    print(
        f"{sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M parameters, {len(data)} pictures",
        flush=True,
    )
    opt = torch.optim.AdamW(vae.parameters(), lr=3e-3, weight_decay=1e-4, betas=(0.9, 0.98))
    start, step, running = time.time(), 0, 0.0
    while (spent := time.time() - start) < args.minutes * 60:
        left = 1 - spent / (args.minutes * 60)
        for g in opt.param_groups:
            g["lr"] = 3e-3 * min(1, step / 50 + 0.02, left / 0.5 + 0.01)
        x = pictures_to_tensor(data[torch.randint(0, len(data) - 512, (args.batch,))], device)
        with autocast(device):
            loss = loss_of(vae, x.contiguous(memory_format=torch.channels_last))
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        opt.step()
        step, running = step + 1, running * 0.98 + loss.item() * 0.02
        if step % 50 == 0:
            print(
                f"step {step} loss {running / (1 - 0.98**step):.4f} {spent / 60:.1f} min",
                flush=True,
            )
    vae.eval()
    with torch.no_grad():
        x = pictures_to_tensor(data[-512:], device)
        mean = vae.encode(x).latent_dist.mean
        y = vae.decode(mean).sample.clamp(-1, 1)
        psnr = -10 * ((x - y) ** 2).mean().div(4).log10()
        print(f"held-out L1 {(x - y).abs().mean():.4f}  PSNR {psnr:.1f} dB")
        vae.register_to_config(scaling_factor=round(1 / mean.std().item(), 5))
    Path(args.out).mkdir(parents=True, exist_ok=True)
    vae.save_pretrained(args.out)
    sheet(torch.stack([x[:16], y[:16]], 1).flatten(0, 1), Path(args.out) / "samples.png", columns=8)


if __name__ == "__main__":
    main()
