"""The command line: `conceptrevive demo | locate | prune | revive | obfuscate | evaluate | audit | concepts`."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence

from conceptrevive.cli.arguments import PRESETS, parser
from conceptrevive.errors import ConceptReviveError


def _bar(total: int, label: str):
    from tqdm import tqdm

    return tqdm(
        total=total, desc=label, unit="picture", disable=not sys.stderr.isatty(), leave=False
    )


def _demo(a) -> dict:
    from conceptrevive.experiments import demo as d

    if os.path.lexists(a.out) and not os.path.isdir(a.out):
        raise ConceptReviveError(
            f"--out {a.out} is a file: name the folder for demo.png and demo.json"
        )
    settings = {"concept": a.concept, "images": a.images, "retained": a.retained}
    with _bar(0, "demo") as bar:

        def tick(row: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_description(row.replace("_", " "))

        chosen = {k: v for k, v in settings.items() if v is not None}
        return d.demo(a.out, seed=a.seed, device=a.device, progress=tick, **chosen) | {"out": a.out}


def _load(a) -> tuple:
    """The concept and the pipeline; without --preset the concept of the table that is meant for such a model."""
    from conceptrevive.concepts.presets import get_concept
    from conceptrevive.models.generation import picture_size
    from conceptrevive.models.pipeline import load_pipeline

    found, errors = {}, []
    for table in [a.preset] if a.preset else PRESETS:
        try:
            found[table] = get_concept(a.concept, table)
        except ConceptReviveError as e:
            errors.append(e)
    if not found:
        raise errors[0]
    pipe = load_pipeline(a.model, device=a.device, revision=a.revision)
    size = picture_size(pipe)
    table = a.preset or ("pocket" if size <= 64 else "paper")
    if table not in found:
        raise ConceptReviveError(
            f"{a.concept!r} is in the table {next(iter(found))!r}, and {a.model}, which draws {size} pixels, takes concepts of "
            f"{table!r}: see `conceptrevive concepts`, or insist with --preset {next(iter(found))}"
        )
    return found[table], pipe


def _locate(a) -> dict:
    from conceptrevive.unlearning.conceptprune import locate

    if os.path.isdir(a.out):
        raise ConceptReviveError(f"--out {a.out} is a folder: name the mask file to write")
    concept, pipe = _load(a)
    with _bar(2 * len(concept.target_prompts), f"locate {concept.name}") as bar:
        masks = locate(
            pipe, concept, skill_ratio=a.skill_ratio, tau=a.tau, seed=a.seed, progress=bar.update
        )
    masks.save(a.out)
    return {
        "concept": concept.name,
        "out": a.out,
        "skill_ratio": masks.skill_ratio,
        "tau": masks.tau,
        "seed": a.seed,
        "layers": len(masks),
        "pruned": masks.count,
        "pruned_fraction": masks.fraction,
    }


def _edit(a, edit, note: dict, names=None, silent: bool = False) -> dict:
    from conceptrevive.checkpoints.editing import edit_checkpoint

    changed = edit_checkpoint(
        a.model, a.out, edit, note=None if silent else note, names=names, revision=a.revision
    )
    zeros = sum(int((w == 0).sum()) for w in changed.values())
    return note | {"out": a.out, "layers": len(changed), "zeros": zeros}


def _prune(a) -> dict:
    from conceptrevive.unlearning.masks import MaskSet, prune

    masks = MaskSet.load(a.masks)
    note = {
        "operation": "prune",
        "concept": masks.concept,
        "pruned": masks.count,
        "pruned_fraction": masks.fraction,
    }
    return _edit(a, lambda w: prune(w, masks), note, set(masks))


def _revive(a) -> dict:
    from conceptrevive.revival.attack import revive
    from conceptrevive.revival.positions import guess_masks, zero_masks
    from conceptrevive.unlearning.masks import MaskSet

    if a.masks and a.guess is not None:
        raise ConceptReviveError("--masks and --guess exclude each other: give one")
    given = MaskSet.load(a.masks) if a.masks else None
    note = {
        "operation": "revive",
        "solver": a.solver,
        "top_k": a.top_k,
        "magnitude": a.magnitude,
        "seed": a.seed,
    }

    def edit(weights):
        masks = given or (
            guess_masks(weights, a.guess) if a.guess is not None else zero_masks(weights)
        )
        if masks.count == 0:
            raise ConceptReviveError(
                f"{a.model} has no exact zeros to revive from: give --masks, or --guess a pruning rate"
            )
        if full := next((n for n, m in masks.items() if m.all()), None):
            raise ConceptReviveError(
                f"{full}: every weight is 0 or masked, nothing is left to go by: leave it out with --masks"
            )
        note["revived"] = masks.count
        return revive(
            weights, masks, solver=a.solver, top_k=a.top_k, magnitude=a.magnitude, seed=a.seed
        )

    return _edit(a, edit, note, None if given is None else set(given))


def _obfuscate(a) -> dict:
    from conceptrevive.defence.obfuscation import obfuscate
    from conceptrevive.unlearning.masks import MaskSet

    masks = MaskSet.load(a.masks)
    note = {
        "operation": "obfuscate",
        "concept": masks.concept,
        "sigma": a.sigma,
        "relative": not a.absolute,
    }
    if a.seed is not None:
        note["seed"] = a.seed
        print(
            "conceptrevive: who tries this seed finds the noise: leave --seed out for what is given away",
            file=sys.stderr,
        )
    # A file whose header says what was hidden hides nothing.
    return _edit(
        a,
        lambda w: obfuscate(w, masks, sigma=a.sigma, relative=not a.absolute, seed=a.seed),
        note,
        set(masks),
        True,
    )


def _evaluate(a) -> dict:
    from conceptrevive.evaluation.outcomes import evaluate
    from conceptrevive.experiments.provenance import provenance
    from conceptrevive.models.generation import fastest
    from conceptrevive.models.layers import denoiser

    concept, pipe = _load(a)
    with _bar(a.images, f"evaluate {concept.name}") as bar:
        outcomes = evaluate(
            pipe, concept, n=a.images, retained=a.retained, seed=a.seed, progress=bar.update
        )
    top1, kept = outcomes.erased, outcomes.retained
    return {
        "concept": concept.name,
        "model": a.model,
        "top1": top1.value,
        "interval": top1.interval,
        "n": top1.n,
        "retained_top1": kept.value if kept.n else None,
        "retained_interval": kept.interval,
        "retained_n": kept.n,
        "sampling": str(fastest(pipe)),
        **provenance(a.seed, str(next(denoiser(pipe).parameters()).device)),
    }


def _audit(a) -> dict:
    from conceptrevive.auditing.report import audit_text, write_html
    from conceptrevive.auditing.verdict import audit

    report = audit(
        a.model,
        base=a.base,
        deep=a.deep,
        seed=a.seed,
        revision=a.revision,
        base_revision=a.base_revision,
    )
    if a.html:
        write_html(report, a.html)
    return {"exit_code": report.exit_code} | (
        report.as_dict() if a.json else {"text": audit_text(report)}
    )


def _concepts(a) -> dict:
    from conceptrevive.concepts.paper import paper_concepts
    from conceptrevive.concepts.pocket import pocket_concepts

    return {"pocket": list(pocket_concepts()), "paper": list(paper_concepts())}


COMMANDS = {
    "demo": _demo,
    "locate": _locate,
    "prune": _prune,
    "revive": _revive,
    "obfuscate": _obfuscate,
    "evaluate": _evaluate,
    "audit": _audit,
    "concepts": _concepts,
}


def _text(value) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return "  ".join(f"{k} {_text(v)}" for k, v in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, (list, tuple)) else str(value)


def _one_line(error: Exception | Warning | str) -> str:
    return "".join(
        c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(str(error).split())
    )


def _print(result: dict) -> None:
    width = max(map(len, result))
    for key, value in result.items():
        print(f"{key.replace('_', ' '):{width}}  {_text(value)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 with one line on standard error for input that cannot be used."""
    args = parser().parse_args(argv)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if argv is None:  # as a program: what is half-written is removed before it ends
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.showwarning = lambda m, *_: print(
                f"conceptrevive {args.command}: {_one_line(m)}", file=sys.stderr
            )
            result = COMMANDS[args.command](args)
    except ConceptReviveError as e:
        print(f"conceptrevive {args.command}: {_one_line(e)}", file=sys.stderr)
        return 2
    except (OSError, MemoryError) as e:
        what = (
            f"{e.strerror} ({e.filename}): check the path, its permissions and the room"
            if isinstance(e, OSError)
            else "out of memory"
        )
        print(f"conceptrevive {args.command}: {_one_line(what)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"conceptrevive {args.command}: interrupted, nothing was left half-written",
            file=sys.stderr,
        )
        return 130
    if args.json or "text" in result:
        print(json.dumps(result) if args.json else result["text"])
    else:
        _print(result)
    return result.get("exit_code", 0)


if __name__ == "__main__":
    sys.exit(main())
