"""What surrounds the completion: locating, editing a model's folder, the whole attack, and drawing.

    python -m benchmarks.pipeline [--model pocket | sd15-random] [--device cuda]

Locating is timed against plain sampling of the same steps, batches and prompts, in turns; editing
by the memory it adds to that of a model of the given size, which is written for the purpose;
drawing under each choice of precision, memory layout and batch, with its difference in grey values
from the first: the model's own precision.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.common import RESULTS, Run, alternate, ratio, write_table
from conceptrevive.checkpoints.editing import edit_checkpoint
from conceptrevive.concepts.presets import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.calling import noise, quiet
from conceptrevive.models.generation import fastest, generate, precision
from conceptrevive.models.layers import denoiser
from conceptrevive.models.pipeline import load_pipeline, parse_device
from conceptrevive.models.weights import read_weights
from conceptrevive.revival.attack import revive
from conceptrevive.unlearning.conceptprune import locate
from conceptrevive.unlearning.masks import prune

#: The folder-editing limit: memory added, as a share of the model's file.
MEMORY_LIMIT = 0.5


@torch.no_grad()
def sample_plainly(pipe, concept, *, batch_size: int, seed: int = 0) -> None:
    """The denoising that `locate` does in the model's own precision, without looking."""
    s = concept.settings
    weight = next(denoiser(pipe).parameters())

    def stop(pipe, step: int, timestep, kwargs: dict) -> dict:
        if step + 1 >= s.tau:
            pipe._interrupt = True
        return {}

    half = max(1, batch_size // 2)
    with quiet(pipe), precision(pipe, autocast=False):
        for first in range(0, len(concept.target_prompts), half):
            part = [
                *concept.target_prompts[first : first + half],
                *concept.base_prompts[first : first + half],
            ]
            latents = noise(pipe, [seed]).repeat(len(part), 1, 1, 1).to(weight.device, weight.dtype)
            pipe(
                part,
                num_inference_steps=s.steps,
                guidance_scale=s.guidance,
                latents=latents,
                output_type="latent",
                callback_on_step_end=stop,
            )


def locating(pipe, concept, args, device: torch.device) -> list[dict]:
    """`locate` against plain sampling."""
    runs = alternate(
        {
            "plain sampling": lambda: sample_plainly(pipe, concept, batch_size=args.batch),
            "locate": lambda: locate(pipe, concept, batch_size=args.batch),
        },
        args.repeats,
        device,
    )
    middle, low, high = ratio(runs["locate"], runs["plain sampling"])
    rows = [_row("locate", name, run, args) for name, run in runs.items()]
    rows[1] |= {"ratio": middle, "ratio_low": low, "ratio_high": high}
    return rows


def attacking(pipe, concept, args, device: torch.device) -> list[dict]:
    """From pruned to revived weights on the masks of `locate`: the loop to its stop, and ours."""
    weights = read_weights(pipe)
    masks = locate(pipe, concept, batch_size=args.batch)
    pruned = prune(weights, masks)
    solvers = ("paper", "conditional", "prior")
    runs = alternate(
        {s: lambda s=s: revive(pruned, solver=s) for s in solvers}, args.repeats, device
    )
    rows = [_row("attack", name, run, args) for name, run in runs.items()]
    for row, run in zip(rows[1:], list(runs.values())[1:], strict=True):
        middle, low, high = ratio(runs["paper"], run)
        row |= {"ratio": middle, "ratio_low": low, "ratio_high": high}
    return rows


def editing(args) -> list[dict]:
    """Memory that pruning a model's folder adds, as a share of its file."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model"
        source.mkdir()
        (source / "config.json").write_text("{}")
        # As in SD-1.5, six hundredths of the parameters are candidates.
        count = max(1, round(args.megabytes * 0.06 * 2**20 / (4 * 320 * 1280)))
        tensors = {f"block.{i}.ff.net.2.weight": torch.randn(320, 1280) for i in range(count)}
        rest = args.megabytes * 2**20 // 4 - count * 320 * 1280
        tensors |= {f"conv.{i}.weight": torch.zeros(rest // 16) for i in range(16)}
        save_file(
            tensors, source / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"}
        )
        size = (source / "diffusion_pytorch_model.safetensors").stat().st_size / 2**20
        del tensors

        def edit() -> None:
            masks = {f"block.{i}.ff.net.2": torch.rand(320, 1280) < 0.02 for i in range(count)}
            edit_checkpoint(source, Path(folder) / "pruned", lambda w: prune(w, masks), note={})

        run = alternate({"prune a folder": edit}, 1, torch.device("cpu"), warm=False)[
            "prune a folder"
        ]
    row = _row("edit", "prune a folder", run, args) | {"file_mb": size}
    return [row | ({} if run.peak_mb is None else {"ratio": run.peak_mb / size})]


def drawing(pipe, concept, args, device: torch.device) -> list[dict]:
    """Seconds a picture under each choice, and how far the pictures are from float32's."""
    prompts = [
        concept.target_prompts[i % len(concept.target_prompts)] for i in range(args.pictures)
    ]
    s = concept.settings
    unet = denoiser(pipe)

    def draw(bfloat16: bool, channels_last: bool, batch: int):
        # The sampler's own choice of precision is set aside; this one holds.
        context = (
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=True)
            if bfloat16
            else nullcontext()
        )
        unet.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        with context:
            return generate(
                pipe,
                prompts,
                seed=1,
                steps=s.steps,
                guidance=s.guidance,
                batch_size=batch,
                autocast=False,
            )

    own = str(next(unet.parameters()).dtype).removeprefix("torch.")
    choices = {
        f"{'bfloat16' if b else own}, {'channels last' if c else 'contiguous'}, batch {n}": (
            b,
            c,
            n,
        )
        for b in (False, True)
        for c in (False, True)
        for n in args.batches
    }
    runs = alternate(
        {k: lambda v=v: draw(*v) for k, v in choices.items()}, args.repeats, device, warm=False
    )
    unet.to(memory_format=torch.contiguous_format)
    pictures = {
        k: np.stack([np.asarray(i, dtype=float) for i in r.result]) for k, r in runs.items()
    }
    reference = pictures[next(iter(choices))]
    rows = []
    for k, run in runs.items():
        away = np.abs(pictures[k] - reference)
        rows.append(
            _row("draw", k, run, args)
            | {
                "seconds_a_picture": run.median / len(prompts),
                "grey_mean": away.mean(),
                "grey_max": away.max(),
            }
        )
    return rows


def _row(part: str, name: str, run: Run, args) -> dict:
    return {
        "part": part,
        "name": name,
        "model": args.model,
        "device": args.device,
        "threads": torch.get_num_threads(),
        "repeats": len(run.seconds),
        "seconds": run.median,
        "seconds_low": min(run.seconds),
        "seconds_high": max(run.seconds),
        "peak_mb": run.peak_mb,
    }


def main(argv=None) -> int:
    """Command line."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--model", default="pocket", help="pocket, sd15-random, a folder or a hub id")
    ap.add_argument(
        "--concept",
        default=None,
        help="default: gas pump, or golf ball where the model is not pocket",
    )
    ap.add_argument("--parts", nargs="*", default=["locate", "attack", "edit", "draw"])
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--threads", type=int, default=None)
    ap.add_argument("--repeats", type=int, default=5)
    ap.add_argument("--batch", type=int, default=16, help="pictures at a time while locating")
    ap.add_argument(
        "--batches",
        type=int,
        nargs="*",
        default=[8, 16, 32],
        help="pictures at a time while drawing",
    )
    ap.add_argument("--pictures", type=int, default=32)
    ap.add_argument(
        "--megabytes", type=int, default=1024, help="size of the model whose folder is edited"
    )
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--out", type=Path, default=RESULTS)
    args = ap.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        device = parse_device(args.device)
        rows, how = editing(args) if "edit" in args.parts else [], None
        if set(args.parts) - {"edit"}:
            pipe, concept = _load(args, device)
            how = str(fastest(pipe))
            for part, measure in (("locate", locating), ("attack", attacking), ("draw", drawing)):
                if part in args.parts:
                    rows += measure(pipe, concept, args, device)
    except ConceptReviveError as e:
        print(f"pipeline: {e}", file=sys.stderr)
        return 2
    suffix = (
        ""
        if (args.model, device.type) == ("pocket", "cpu")
        else f"-{Path(args.model).name}-{device.type}"
    )
    write_table(
        f"pipeline{suffix}",
        rows,
        args.out,
        args.seed,
        device,
        memory_limit=MEMORY_LIMIT,
        sampling=how,
    )
    for r in rows:
        share = f"  ratio {r['ratio']:.3f}" if "ratio" in r else ""
        print(
            f"{r['part']:7} {r['name']:38} {r['seconds']:9.3f} s "
            f"[{r['seconds_low']:.3f}, {r['seconds_high']:.3f}]{share}"
        )
    return 0


def _load(args, device: torch.device):
    pocket = args.model == "pocket"
    concept = get_concept(
        args.concept or ("gas pump" if pocket else "golf ball"), "pocket" if pocket else "paper"
    )
    if args.model != "sd15-random":
        return load_pipeline(args.model, device=device), concept
    from conceptrevive.models.random_model import random_sd15

    return random_sd15(
        device, torch.float16 if device.type == "cuda" else torch.float32, args.seed
    ), concept


if __name__ == "__main__":
    sys.exit(main())
