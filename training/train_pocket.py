"""Train the pocket UNet and its text encoder, one stage of `stages.toml`. Run again to go on.

    python -m training.train_pocket --stage v7

`--out` (runs/STAGE) collects `checkpoint.safetensors` (to go on), `log.csv`, `samples-*.png` and
`pipeline/` (float16, exponential moving average: what is shipped). A stage begins from
`runs/START/pipeline`, or from the pipeline folder named by `--start`.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from training.checkpoints import Past, load_checkpoint, save_checkpoint
from training.common import autocast, device_of
from training.export import export
from training.latents import prepare
from training.optimisation import Averages, build_optimiser, named_parameters, rescale
from training.pocket import ALL, build_pipeline, build_tokenizer
from training.stages import Stage, read_stage
from training.worlds import World

CAPTION_DROPOUT = 0.1
MIN_SNR = 5.0
LOG_EVERY = 50  # steps
RUNS = Path("runs")


@dataclass
class Run:
    """What changes while a stage is trained, and where it is written."""

    stage: Stage
    pipe: StableDiffusionPipeline
    folder: Path
    device: torch.device
    past: Past

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pipe.set_progress_bar_config(disable=True)
        self.pipe.to(self.device)
        self.pipe.vae.eval().requires_grad_(False)
        self.pipe.text_encoder.requires_grad_(True).train()
        self.pipe.unet.requires_grad_(True).to(memory_format=torch.channels_last).train()
        # On the CPU its backward pass is much cheaper than the fused one's.
        self.pipe.unet.set_attn_processor(AttnProcessor())
        rescale(self.pipe.unet, self.stage.rescale)
        self.parameters = named_parameters(self.pipe)
        self.optimiser = build_optimiser(self.parameters, self.stage)
        self.averages = Averages(self.parameters)
        self.alphas = self.pipe.scheduler.alphas_cumprod.to(self.device)
        ids = self.pipe.tokenizer("", padding="max_length").input_ids
        self.empty = torch.tensor(ids, device=self.device)
        if self.checkpoint.exists():
            self.past = load_checkpoint(
                self.checkpoint, self.parameters, self.optimiser, self.averages
            )
        else:
            self.past = self.past.begin(self.stage.name)

    @property
    def checkpoint(self) -> Path:
        """What the run goes on from."""
        return self.folder / "checkpoint.safetensors"

    @property
    def done(self) -> float:
        """Share of the stage that lies behind."""
        return self.stage.share_done(self.past.current["steps"], self.past.current["minutes"])

    def save(self) -> None:
        """The checkpoint, then the pipeline and its samples."""
        save_checkpoint(self.checkpoint, self.parameters, self.optimiser, self.averages, self.past)
        with self.averages.in_place():
            export(self.pipe, self.past, self.stage.world, self.folder)


def loss_of(run: Run, latents: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Min-SNR-weighted loss of the next batch, and the plain error (a scalar each).

    What is drawn depends on the seed and the number of the step alone, so that a run that was
    stopped goes on as if it had not been.
    """
    stage, device = run.stage, run.device
    draw = torch.Generator().manual_seed(1_000_003 * stage.seed + run.past.step)
    n = stage.batch
    index = torch.randint(0, len(latents), (n,), generator=draw)
    z, ids = latents[index].to(device).float(), tokens[index].to(device)
    ids[torch.rand(n, generator=draw) < CAPTION_DROPOUT] = run.empty
    noise = torch.randn(z.shape, generator=draw).to(device)
    # One time step from each of `batch` equal ranges: the loss varies less from batch to batch.
    t = (torch.arange(n) + torch.rand(n, generator=draw)) * (len(run.alphas) / n)
    t = t.long().to(device)
    a = run.alphas[t].view(-1, 1, 1, 1)
    noisy = (a.sqrt() * z + (1 - a).sqrt() * noise).contiguous(memory_format=torch.channels_last)
    with autocast(device):
        predicted = run.pipe.unet(noisy, t, run.pipe.text_encoder(ids)[0]).sample
    each = ((predicted.float() - noise) ** 2).mean((1, 2, 3))
    snr = (a / (1 - a)).flatten()
    return (snr.clamp_max(MIN_SNR) / snr * each).mean(), each.mean()


def take_step(run: Run, latents: Tensor, tokens: Tensor) -> float:
    """One step of the optimiser; returns the plain error.

    Raises ConceptReviveError where the loss is not finite.
    """
    began = time.time()
    rate = run.stage.learning_rate(run.past.current["steps"], run.done)
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    loss, error = loss_of(run, latents, tokens)
    if not math.isfinite(loss.item()):
        raise ConceptReviveError(
            f"loss is {loss.item()} at step {run.past.step}: lower the stage's lr"
        )
    run.optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.parameters.values(), 1.0)
    run.optimiser.step()
    minutes = (time.time() - began) / 60
    run.past = run.past.add(run.stage.batch, minutes, rate * run.stage.decay)
    run.averages.update(run.past.step)
    return error.item()


def train(run: Run, latents: Tensor, tokens: Tensor, save_every: float = math.inf) -> None:
    """Go on to the end of the stage, saving every `save_every` minutes and at the end.

    Args:
        latents: (n, channels, height, width) scaled. tokens: (n, positions) of their captions.
    """
    errors: list[float] = []
    saved = time.time()
    while run.done < 1:
        errors.append(take_step(run, latents, tokens))
        if run.past.step % LOG_EVERY == 0:
            _log(run, sum(errors) / len(errors))
            errors.clear()
        if time.time() - saved > save_every * 60:
            run.save()
            saved = time.time()
    run.save()


def _log(run: Run, error: float) -> None:
    past, rate = run.past, run.optimiser.param_groups[0]["lr"]
    line = f"{past.step},{error:.5f},{rate:.2e},{past.total_decay:.3f},{past.minutes:.2f}"
    print(line, f"{run.done:.0%} of {run.stage.name}", flush=True)
    with (run.folder / "log.csv").open("a") as log:
        log.write(line + "\n")


def begin(
    stage: Stage, start: Path | None, vae: Path, folder: Path
) -> tuple[StableDiffusionPipeline, Past]:
    """The pipeline a stage begins from, float32, and its past.

    Raises ConceptReviveError where the stage before has not been run, or the autoencoder not
    trained.
    """
    if start is None and stage.start is not None:
        start = RUNS / stage.start / "pipeline"
        if not (start / "training.json").exists():
            raise ConceptReviveError(
                f"{start} is not there: run --stage {stage.start} first, or name the folder of "
                "its pipeline with --start"
            )
    if start is not None:
        past = Past.read(start / "training.json")
        return StableDiffusionPipeline.from_pretrained(start, torch_dtype=torch.float32), past
    if not (vae / "config.json").exists():
        raise ConceptReviveError(
            f"{vae} has no autoencoder: run `python -m training.train_autoencoder --out {vae}`"
        )
    # Its words are those of every object, so that later stages may draw more of them.
    world = World(ALL.objects, stage.world.phrases)
    tokenizer = build_tokenizer(folder / "tokenizer", world)
    return build_pipeline(AutoencoderKL.from_pretrained(vae), tokenizer), Past()


def main(argv: list[str] | None = None) -> None:
    """Run one stage."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--stage", required=True, help="its name in training/stages.toml")
    ap.add_argument("--start", type=Path, help="a pipeline folder to begin from instead")
    ap.add_argument("--vae", type=Path, default=RUNS / "vae", help="for a stage from nothing")
    ap.add_argument("--out", type=Path, help="runs/STAGE by default")
    ap.add_argument("--cache", type=Path, default=RUNS / "latents", help="for painted pictures")
    ap.add_argument("--save-every", type=float, default=6.0, help="minutes between checkpoints")
    ap.add_argument("--threads", type=int, default=0)
    ap.add_argument("--device")
    args = ap.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        stage = read_stage(args.stage)
        folder = args.out or RUNS / stage.name
        torch.manual_seed(stage.seed)
        pipe, past = begin(stage, args.start, args.vae, folder)
        run = Run(stage, pipe, folder, device_of(args.device), past)
        latents, tokens = prepare(stage, pipe, run.device, args.cache)
        print(f"{len(latents)} pictures, {run.past}", flush=True)
        train(run, latents, tokens, args.save_every)
    except ConceptReviveError as e:
        raise SystemExit(str(e)) from e


if __name__ == "__main__":
    main()
