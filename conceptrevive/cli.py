"""The command line: `conceptrevive demo | locate | prune | revive | obfuscate | evaluate | concepts`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence

from conceptrevive.completion import SOLVERS
from conceptrevive.errors import ConceptReviveError
from conceptrevive.provenance import version
from conceptrevive.revival import MAGNITUDES


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"conceptrevive: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print the result as JSON")
    common.add_argument("--seed", type=int, default=0)
    common.add_argument("--device", default=None, help="cpu, cuda, mps; default: a GPU if there is one")
    common.add_argument("--revision", default=None, help="branch, tag or commit of a hub model")
    model = _Parser(add_help=False)
    model.add_argument("model", metavar="MODEL", help="pocket, a diffusers folder, or a hub id")
    which = _Parser(add_help=False)
    which.add_argument("--concept", required=True, help="a preset (see `conceptrevive concepts`) or a .yaml file")
    which.add_argument("--preset", choices=("pocket", "paper"), default="pocket", help="which table of concepts")

    ap = _Parser(prog="conceptrevive", description="Does pruning make a diffusion model forget? Erase, revive, defend.")
    ap.add_argument("--version", action="version", version=f"conceptrevive {version()}")
    sub = ap.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    p = sub.add_parser("demo", parents=[common], help="erase, revive, hide and attack again on the pocket model")
    p.add_argument("--out", default="demo", help="folder for demo.png and demo.json")
    p.add_argument("--concept", default=None)
    p.add_argument("--images", type=int, default=None, help="pictures of the concept per row")
    p.add_argument("--retained", type=int, default=None, help="pictures of other concepts per row")
    p = sub.add_parser("locate", parents=[model, common, which], help="find the weights of a concept")
    p.add_argument("--out", required=True, help="mask file to write (.safetensors)")
    p.add_argument("--skill-ratio", type=float, default=None, help="share of each row; default: the concept's")
    p.add_argument("--tau", type=int, default=None, help="denoising steps to look at; default: the concept's")
    p = sub.add_parser("prune", parents=[model, common], help="zero the located weights")
    p.add_argument("--masks", required=True)
    p.add_argument("--out", required=True, help="folder to write")
    p = sub.add_parser("revive", parents=[model, common], help="bring back what was pruned, from the zeros alone")
    p.add_argument("--out", required=True, help="folder to write")
    p.add_argument("--masks", default=None, help="pruned positions; default: the exact zeros")
    p.add_argument(
        "--guess", type=float, default=None, metavar="F", help="no zeros: take each row's share F of smallest |w|"
    )
    p.add_argument("--solver", choices=SOLVERS, default="conditional")
    p.add_argument("--top-k", type=float, default=0.6)
    p.add_argument("--magnitude", choices=MAGNITUDES, default="max")
    p = sub.add_parser(
        "obfuscate", parents=[model, common], help="fill the located weights with noise instead of zeros"
    )
    p.add_argument("--masks", required=True)
    p.add_argument("--sigma", type=float, default=0.25, help="σ_M in units of each layer's σ_U")
    p.add_argument("--absolute", action="store_true", help="--sigma is σ_M itself")
    p.add_argument("--out", required=True, help="folder to write")
    p = sub.add_parser("evaluate", parents=[model, common, which], help="draw the concept and judge it")
    p.add_argument("--images", type=int, default=50)
    p.add_argument("--retained", type=int, default=None, help="pictures of other concepts; default: one each")
    sub.add_parser("concepts", parents=[common], help="list the presets")
    return ap


def _bar(total: int, label: str):
    from tqdm import tqdm

    return tqdm(total=total, desc=label, unit="picture", disable=not sys.stderr.isatty(), leave=False)


def _demo(a) -> dict:
    from conceptrevive import demo as d

    settings = {"concept": a.concept, "images": a.images, "retained": a.retained}
    with _bar(0, "demo") as bar:

        def tick(row: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_description(row.replace("_", " "))

        chosen = {k: v for k, v in settings.items() if v is not None}
        return d.demo(a.out, seed=a.seed, device=a.device, progress=tick, **chosen) | {"out": a.out}


def _locate(a) -> dict:
    from conceptrevive.concepts import get_concept
    from conceptrevive.locate import locate
    from conceptrevive.models import load_pipeline

    concept = get_concept(a.concept, a.preset)
    pipe = load_pipeline(a.model, device=a.device, revision=a.revision)
    with _bar(2 * len(concept.target_prompts), f"locate {concept.name}") as bar:
        masks = locate(pipe, concept, skill_ratio=a.skill_ratio, tau=a.tau, seed=a.seed, progress=bar.update)
    masks.save(a.out)
    return {
        "concept": concept.name, "out": a.out, "skill_ratio": masks.skill_ratio, "tau": masks.tau, "seed": a.seed,
        "layers": len(masks), "pruned": masks.count, "pruned_fraction": masks.fraction,
    }  # fmt: skip


def _edit(a, edit, note: dict, names=None) -> dict:
    from conceptrevive.checkpoints import edit_folder

    changed = edit_folder(a.model, a.out, edit, note=note, names=names, revision=a.revision)
    zeros = sum(int((w == 0).sum()) for w in changed.values())
    return note | {"out": a.out, "layers": len(changed), "zeros": zeros}


def _prune(a) -> dict:
    from conceptrevive.masks import MaskSet, prune

    masks = MaskSet.load(a.masks)
    note = {"operation": "prune", "concept": masks.concept, "pruned": masks.count, "pruned_fraction": masks.fraction}
    return _edit(a, lambda w: prune(w, masks), note, set(masks))


def _revive(a) -> dict:
    from conceptrevive.masks import MaskSet, zero_masks
    from conceptrevive.revival import guess_masks, revive

    if a.masks and a.guess is not None:
        raise ConceptReviveError("--masks and --guess exclude each other: give one")
    given = MaskSet.load(a.masks) if a.masks else None
    note = {"operation": "revive", "solver": a.solver, "top_k": a.top_k, "magnitude": a.magnitude, "seed": a.seed}

    def edit(weights):
        masks = given or (guess_masks(weights, a.guess) if a.guess is not None else zero_masks(weights))
        if masks.count == 0:
            raise ConceptReviveError(
                f"{a.model} has no exact zeros to revive from: give --masks, or --guess a pruning rate"
            )
        note["revived"] = masks.count
        return revive(weights, masks, solver=a.solver, top_k=a.top_k, magnitude=a.magnitude, seed=a.seed)

    return _edit(a, edit, note, None if given is None else set(given))


def _obfuscate(a) -> dict:
    from conceptrevive.defence import obfuscate
    from conceptrevive.masks import MaskSet

    masks = MaskSet.load(a.masks)
    note = {
        "operation": "obfuscate", "concept": masks.concept, "sigma": a.sigma, "relative": not a.absolute, "seed": a.seed,
    }  # fmt: skip
    return _edit(
        a, lambda w: obfuscate(w, masks, sigma=a.sigma, relative=not a.absolute, seed=a.seed), note, set(masks)
    )


def _evaluate(a) -> dict:
    from conceptrevive.concepts import get_concept
    from conceptrevive.evaluation import evaluate
    from conceptrevive.models import denoiser, load_pipeline
    from conceptrevive.provenance import provenance

    concept = get_concept(a.concept, a.preset)
    pipe = load_pipeline(a.model, device=a.device, revision=a.revision)
    with _bar(a.images, f"evaluate {concept.name}") as bar:
        outcomes = evaluate(pipe, concept, n=a.images, retained=a.retained, seed=a.seed, progress=bar.update)
    top1, kept = outcomes.erased, outcomes.retained
    return {
        "concept": concept.name, "model": a.model, "top1": top1.value, "interval": top1.interval, "n": top1.n,
        "retained_top1": kept.value if kept.n else None, "retained_interval": kept.interval, "retained_n": kept.n,
        **provenance(a.seed, str(next(denoiser(pipe).parameters()).device)),
    }  # fmt: skip


def _concepts(a) -> dict:
    from conceptrevive.concepts import paper_concepts, pocket_concepts

    return {"pocket": list(pocket_concepts()), "paper": list(paper_concepts())}


COMMANDS = {
    "demo": _demo, "locate": _locate, "prune": _prune, "revive": _revive, "obfuscate": _obfuscate,
    "evaluate": _evaluate, "concepts": _concepts,
}  # fmt: skip


def _text(value) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return "  ".join(f"{k} {_text(v)}" for k, v in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, (list, tuple)) else str(value)


def _print(result: dict) -> None:
    width = max(map(len, result))
    for key, value in result.items():
        print(f"{key.replace('_', ' '):{width}}  {_text(value)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 with one line on standard error for input that cannot be used."""
    args = _parser().parse_args(argv)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            result = COMMANDS[args.command](args)
    except ConceptReviveError as e:
        print(f"conceptrevive {args.command}: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"conceptrevive {args.command}: interrupted, nothing was left half-written", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps(result))
    else:
        _print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
