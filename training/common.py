"""What the training scripts share: arguments, device, picture tensors, sample sheets."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import torch
from PIL import Image


def add_common(
    ap: argparse.ArgumentParser,
    out: str | None,
    minutes: float | None = 10,
    batch: int = 64,
    pictures: int = 20_000,
):
    """Arguments every training script takes."""
    ap.add_argument(
        "--minutes", type=float, default=minutes, help="training time, data preparation not counted"
    )
    ap.add_argument("--out", default=out)
    ap.add_argument("--batch", type=int, default=batch)
    ap.add_argument("--pictures", type=int, default=pictures, help="how many to paint")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--device", default=None)


def device_of(name: str | None) -> torch.device:
    """The named device, else CUDA if there is one, else the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def autocast(device: torch.device, enabled: bool = True):
    """bfloat16 autocast on `device`."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if enabled else nullcontext()


def pictures_to_tensor(pictures: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 (b, h, w, 3) → float (b, 3, h, w) in [-1, 1]."""
    return pictures.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def sheet(pictures: torch.Tensor, path: Path, columns: int = 8, scale: int = 2) -> None:
    """Write (n, 3, h, w) in [-1, 1] as one PNG."""
    p = ((pictures.float().cpu().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    n, h, w, _ = p.shape
    rows = -(-n // columns)
    p = torch.cat([p, p.new_full((rows * columns - n, h, w, 3), 255)])
    grid = (
        p.reshape(rows, columns, h, w, 3).permute(0, 2, 1, 3, 4).reshape(rows * h, columns * w, 3)
    )
    Image.fromarray(grid.numpy()).resize(
        (columns * w * scale, rows * h * scale), Image.NEAREST
    ).save(path)
