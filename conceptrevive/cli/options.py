"""What the commands take: one alias for each option that several of them share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from conceptrevive.concepts.defaults import Preset
from conceptrevive.models.seeds import EVALUATION_SEED, LARGEST_SEED


def _seed(text: str, largest: int) -> int:
    text = str(text)
    if not (text.isascii() and text.isdecimal() and int(text) <= largest):
        raise typer.BadParameter(f"{text!r} is no seed: give a whole number from 0 to {largest}")
    return int(text)


def any_seed(text: str) -> int:
    """A seed whose evaluations still fit into 63 bits."""
    return _seed(text, LARGEST_SEED)


def located_seed(text: str) -> int:
    """A seed of `locate`, which keeps below those of evaluations."""
    return _seed(text, EVALUATION_SEED - 1)


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="pocket, a folder, a hub id, a file; to edit also an index"
    ),
]

Checkpoint = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT", help=".safetensors file, index of shards, folder, or hub id"
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]

Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps; default: a GPU if there is one")]

Revision = Annotated[str | None, typer.Option(help="branch, tag or commit of a hub model")]

Variant = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="copy of the weights, as fp16; default: the default one, or the only one",
    ),
]

Precision = Annotated[
    Literal["float32", "bfloat16", "float16"] | None,
    typer.Option(
        "--dtype",
        help="number format; default: float32 on the CPU, on a GPU the checkpoint's own half "
        "precision or float16",
    ),
]

Denoiser = Annotated[
    str | None,
    typer.Option(
        "--unet",
        "--transformer",
        metavar="PATH",
        help="denoiser to put in the model's: a folder, or a .safetensors file of its weights",
    ),
]

Lora = Annotated[
    str | None,
    typer.Option(
        metavar="PATH[@SCALE]", help="LoRA to fuse into the model: a file, folder or hub id"
    ),
]

Config = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="for MODEL in one .safetensors file: folder or hub id of a pipeline like it; default: "
        "as diffusers tells from the weights, from the hub",
    ),
]

HowToDraw = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        metavar="NAME",
        help="how the pipeline is called: module:Class, or a pipeline's class; default: its own",
    ),
]

Size = Annotated[
    str | None,
    typer.Option(metavar="N|HxW", help="pixels of a picture; default: the model's own"),
]

Steps = Annotated[int | None, typer.Option(min=1, help="denoising steps; default: the concept's")]

Guidance = Annotated[float | None, typer.Option(help="guidance scale; default: the concept's")]

BatchSize = Annotated[int | None, typer.Option(min=1, metavar="N", help="pictures drawn at a time")]

Partial = Annotated[
    bool, typer.Option("--partial", help="the masks may leave out layers of their kind")
]

LayersOption = Annotated[
    str | None,
    typer.Option(
        "--layers",
        metavar="WHICH",
        help="a preset (see `conceptrevive list layers`), the end of layers' names, or a pattern "
        "with * and ?; several with commas between",
    ),
]

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="only say which layers: shapes, counts, what is left out and why"
    ),
]

Seed = Annotated[int, typer.Option(parser=any_seed, metavar="N", help="of the random draws")]

LocateSeed = Annotated[
    int, typer.Option(parser=located_seed, metavar="N", help="of the noise that is denoised")
]

SecretSeed = Annotated[
    int | None,
    typer.Option(
        parser=any_seed,
        metavar="N",
        help="repeat an experiment; default: noise that nobody can draw again, "
        "as a file to be given away must have",
    ),
]

ConceptName = Annotated[
    str, typer.Option(help="a preset (see `conceptrevive list concepts`) or a .yaml file")
]

Table = Annotated[
    Preset | None,
    typer.Option(
        help="which table of concepts; default: the pocket model's for models that draw "
        "64 pixels or fewer, else the paper's"
    ),
]

Masks = Annotated[str, typer.Option(metavar="FILE", help="file that `locate` wrote")]

OutCheckpoint = Annotated[
    str, typer.Option(metavar="PATH", help="folder to write; for a file, a .safetensors file")
]
