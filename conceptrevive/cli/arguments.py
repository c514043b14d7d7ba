"""What the commands take: options, defaults, help."""

from __future__ import annotations

import argparse

from conceptrevive.revival.defaults import MAGNITUDES, SOLVERS
from conceptrevive.version import version

PRESETS = ("pocket", "paper")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"conceptrevive: {message}; see `{self.prog} --help`\n")


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 63:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no seed: give a whole number from 0 to 2^63 - 1"
        )
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The parser of the command line, one subcommand each."""
    unseeded = _Parser(add_help=False)
    unseeded.add_argument("--json", action="store_true", help="print the result as JSON")
    unseeded.add_argument(
        "--device", default=None, help="cpu, cuda, mps; default: a GPU if there is one"
    )
    unseeded.add_argument("--revision", default=None, help="branch, tag or commit of a hub model")
    common = _Parser(add_help=False, parents=[unseeded])
    common.add_argument("--seed", type=_seed, default=0)
    model = _Parser(add_help=False)
    model.add_argument(
        "model", metavar="MODEL", help="pocket, a folder, a hub id; to edit also a file or an index"
    )
    which = _Parser(add_help=False)
    which.add_argument(
        "--concept", required=True, help="a preset (see `conceptrevive concepts`) or a .yaml file"
    )
    which.add_argument(
        "--preset",
        choices=PRESETS,
        default=None,
        help="which table of concepts; default: the pocket model's for models that draw 64 pixels or fewer, else the paper's",
    )

    ap = _Parser(
        prog="conceptrevive",
        description="Does pruning make a diffusion model forget? Erase, revive, defend.",
    )
    ap.add_argument("--version", action="version", version=f"conceptrevive {version()}")
    sub = ap.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    p = sub.add_parser(
        "demo", parents=[common], help="erase, revive, hide and attack again on the pocket model"
    )
    p.add_argument("--out", default="demo", help="folder for demo.png and demo.json")
    p.add_argument("--concept", default=None)
    p.add_argument("--images", type=int, default=None, help="pictures of the concept per row")
    p.add_argument("--retained", type=int, default=None, help="pictures of other concepts per row")
    p = sub.add_parser(
        "locate", parents=[model, common, which], help="find the weights of a concept"
    )
    p.add_argument("--out", required=True, help="mask file to write (.safetensors)")
    p.add_argument(
        "--skill-ratio", type=float, default=None, help="share of each row; default: the concept's"
    )
    p.add_argument(
        "--tau", type=int, default=None, help="denoising steps to look at; default: the concept's"
    )
    p = sub.add_parser("prune", parents=[model, common], help="zero the located weights")
    p.add_argument("--masks", required=True, help="file that `locate` wrote")
    p.add_argument("--out", required=True, help="folder to write; for a file, a .safetensors file")
    p = sub.add_parser(
        "revive", parents=[model, common], help="bring back what was pruned, from the zeros alone"
    )
    p.add_argument("--out", required=True, help="folder to write; for a file, a .safetensors file")
    p.add_argument("--masks", default=None, help="pruned positions; default: the exact zeros")
    p.add_argument(
        "--guess",
        type=float,
        default=None,
        metavar="F",
        help="no zeros: take each row's share F of smallest |w|",
    )
    p.add_argument(
        "--solver",
        choices=SOLVERS,
        default="conditional",
        help="how signs are found; default: conditional",
    )
    p.add_argument(
        "--top-k", type=float, default=0.6, help="share of the signs kept, the surest; default: 0.6"
    )
    p.add_argument(
        "--magnitude",
        choices=MAGNITUDES,
        default="max",
        help="size given to a revived weight; default: its row's largest",
    )
    p = sub.add_parser(
        "obfuscate",
        parents=[model, unseeded],
        help="fill the located weights with noise instead of zeros",
    )
    p.add_argument(
        "--seed",
        type=_seed,
        default=None,
        help="repeat an experiment; default: noise that nobody can draw again, as a file to be given away must have",
    )
    p.add_argument("--masks", required=True, help="file that `locate` wrote")
    p.add_argument("--sigma", type=float, default=0.25, help="σ_M in units of each layer's σ_U")
    p.add_argument("--absolute", action="store_true", help="--sigma is σ_M itself")
    p.add_argument("--out", required=True, help="folder to write; for a file, a .safetensors file")
    p = sub.add_parser(
        "evaluate", parents=[model, common, which], help="draw the concept and judge it"
    )
    p.add_argument("--images", type=int, default=50)
    p.add_argument(
        "--retained", type=int, default=None, help="pictures of other concepts; default: one each"
    )
    p = sub.add_parser(
        "audit",
        help="look for what pruning and revival leave; exit code 0 none found, 1 some, 2 could not",
    )
    p.add_argument(
        "model", metavar="CHECKPOINT", help=".safetensors file, index of shards, folder, or hub id"
    )
    p.add_argument("--base", default=None, help="the checkpoint it was made from, to compare with")
    p.add_argument("--deep", action="store_true", help="test every matrix, not a sample")
    p.add_argument("--html", default=None, metavar="FILE", help="write a report with pictures")
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("--seed", type=_seed, default=0, help="of the sample")
    p.add_argument("--revision", default=None, help="branch, tag or commit of a hub model")
    p.add_argument("--base-revision", default=None)
    sub.add_parser("concepts", parents=[common], help="list the presets")
    return ap
