"""The whole journey at Stable Diffusion 1.5's size, once: what each step takes (`make full-size`).

    python -m benchmarks.full_size [--device cuda] [--share 0.1]

A pipeline of exactly SD-1.5's shapes with random weights is built and saved on this machine, then
located, pruned, revived, obfuscated, audited, loaded by diffusers alone, drawn and evaluated, by
the commands that a user types. What is found means nothing, the weights are random; time and memory
are those of the real model. Locating and drawing are of so many prompts, steps and pictures as the
table says: whoever takes more multiplies. Needs about 18 GB of disk in the folder for temporary
files (`TMPDIR`), half of that on a GPU, whose weights are float16. The table goes to
`results/benchmarks/full-size-DEVICE.csv`. What can be told without running it, from shapes, is in
`conceptrevive.experiments.operations` and in chapter 16 of the book.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import torch

from benchmarks.common import RESULTS, synchronize, write_table
from conceptrevive.cli import main as conceptrevive
from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.memory import peak_since, reset_peak
from conceptrevive.models.pipeline import hushed, parse_device
from conceptrevive.models.random_model import random_sd15

CPU = torch.device("cpu")

CONCEPT = """\
name: golf ball
target_prompts: {targets}
base_prompts: {bases}
labels: ["object:golf"]
settings: {{skill_ratio: 0.02, tau: {tau}, steps: {steps}, guidance: 7.5}}
"""

SCENES = ("room", "garden", "park", "street", "road", "beach", "forest", "table")


def concept_text(pairs: int, tau: int, steps: int) -> str:
    """A concept file: so many pairs of prompts, of the denoising steps so many looked at."""
    scenes = [SCENES[i % len(SCENES)] for i in range(pairs)]
    targets, bases = [f"a golf in a {s}" for s in scenes], [f"a {s}" for s in scenes]
    return CONCEPT.format(targets=targets, bases=bases, tau=tau, steps=steps)


class Journey:
    """The steps, each timed once, its memory above what was there before."""

    def __init__(self, folder: Path, device: torch.device, args: argparse.Namespace) -> None:
        self.folder, self.device, self.args = folder, device, args
        self.rows: list[dict] = []

    def step(self, name: str, what: str, work: Callable[[], object]) -> None:
        """Time `work`; a command's exit code but 0 and, for an audit, 1 ends the journey."""
        before = {d: reset_peak(d) for d in dict.fromkeys([CPU, self.device])}
        synchronize(self.device)
        start = time.perf_counter()
        with redirect_stdout(StringIO()):  # what the commands print is no row of the table
            code = work()
        synchronize(self.device)
        seconds = time.perf_counter() - start
        if code not in (None, 0, *([1] if name == "audit" else [])):
            raise ConceptReviveError(f"step {name!r} ended with {code}: see the line above")
        on_gpu = peak_since(self.device, before[self.device]) if self.device != CPU else None
        row = {
            "step": name,
            "what": what,
            "seconds": seconds,
            "memory_mb": peak_since(CPU, before[CPU]),
            "gpu_mb": on_gpu,
        }
        self.rows.append(row)
        print(line(row), flush=True)

    def command(self, name: str, what: str, *argv: object, draws: bool = False) -> None:
        """Time a command of the program."""
        more = ["--device", str(self.device)] if draws else []
        self.step(name, what, lambda: conceptrevive([name, *map(str, argv), *more]))

    def build(self) -> None:
        """Build the pipeline and save it."""
        dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        pipe = random_sd15(CPU, dtype, self.args.seed, self.args.size, self.args.share)
        pipe.save_pretrained(self.folder / "model", safe_serialization=True)

    def reload_and_draw(self) -> None:
        """Load with diffusers alone, then draw one picture."""
        import diffusers

        loaded = []

        def load() -> None:
            loader = diffusers.DiffusionPipeline
            with hushed():
                pipe = loader.from_pretrained(self.folder / "hidden", use_safetensors=True)
            pipe.set_progress_bar_config(disable=True)
            loaded.append(pipe.to(self.device, torch.float16 if self.on_gpu else torch.float32))

        steps = self.args.steps
        self.step("load", "by diffusers alone", load)
        self.step(
            "draw",
            f"1 picture, {steps} steps",
            lambda: loaded[0]("a golf in a room", num_inference_steps=steps) and None,
        )

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def run(self) -> None:
        """All steps, in order."""
        a, f = self.args, self.folder
        (f / "concept.yaml").write_text(concept_text(a.pairs, a.tau, a.steps))
        concept = ["--concept", f / "concept.yaml"]
        self.step("build", "random weights, saved", self.build)
        what = f"{a.pairs} pairs of prompts, {a.tau} of {a.steps} steps"
        masks = f / "masks.safetensors"
        self.command("locate", what, f / "model", *concept, "--out", masks, draws=True)
        masks_of = ["--masks", masks]
        self.command(
            "prune", "the pipeline's folder", f / "model", *masks_of, "--out", f / "pruned"
        )
        self.command("revive", "from its zeros", f / "pruned", "--out", f / "revived")
        self.command("obfuscate", "the same folder", f / "model", *masks_of, "--out", f / "hidden")
        self.command("audit", "the pruned folder", f / "pruned")
        self.reload_and_draw()
        drawn = ["--images", a.pictures, "--retained", 0]
        what = f"{a.pictures} pictures, {a.steps} steps"
        self.command("evaluate", what, f / "revived", *concept, *drawn, draws=True)


def line(row: dict) -> str:
    """A row of the table, for the terminal."""
    memory = [
        f"{row[k]:8.0f}" if row[k] is not None else "       –" for k in ("memory_mb", "gpu_mb")
    ]
    return (
        f"{row['step']:10} {row['what']:38} {row['seconds']:9.1f} s {memory[0]} MiB"
        f"{memory[1]} MiB on the GPU"
    )


def main(argv=None) -> int:
    """Command line."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--device", default=None, help="default: a GPU if there is one")
    ap.add_argument("--share", type=float, default=1.0, help="of every width; less rehearses")
    ap.add_argument("--size", type=int, default=64, help="side of the latents")
    ap.add_argument("--pairs", type=int, default=1, help="pairs of prompts to locate with")
    ap.add_argument("--tau", type=int, default=1, help="denoising steps to look at")
    ap.add_argument("--steps", type=int, default=2, help="denoising steps of a picture")
    ap.add_argument("--pictures", type=int, default=1, help="to evaluate")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--out", type=Path, default=None, help="default: results/benchmarks")
    args = ap.parse_args(argv)
    try:
        device = parse_device(args.device)
        if args.out is None and (args.share, args.size) != (1.0, 64):
            raise ConceptReviveError("a rehearsal is no result: give --out another folder")
        with tempfile.TemporaryDirectory() as folder:
            journey = Journey(Path(folder), device, args)
            journey.run()
    except ConceptReviveError as e:
        print(f"full-size: {e}", file=sys.stderr)
        return 2
    options = {k: v for k, v in vars(args).items() if k not in ("out", "device", "seed")}
    write_table(
        f"full-size-{device.type}",
        journey.rows,
        args.out or RESULTS,
        args.seed,
        device,
        threads=torch.get_num_threads(),
        **options,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
