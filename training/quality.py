"""Measure what is shipped, the pocket model's drawing and the judges, each rate with its interval.

    python -m training.quality --images 50 --out results/pocket/quality.json

Drawing needs no artwork; the judges' own accuracy does (`make artwork`), as do the autoencoder's
reconstructions.
"""

from __future__ import annotations

import argparse
import hashlib
import time

import numpy as np
import torch
from PIL import Image

from conceptrevive.concepts import world as W
from conceptrevive.concepts.pocket import POCKET_SETTINGS, object_prompt
from conceptrevive.evaluation.judges import Classifier, classifier, clip, judge_files
from conceptrevive.experiments.provenance import provenance, write_json
from conceptrevive.files import ASSETS
from conceptrevive.intervals import Rate
from conceptrevive.models.generation import fastest, generate
from conceptrevive.models.pipeline import load_pipeline
from conceptrevive.models.seeds import EVALUATION_SEED
from conceptrevive.models.weights import read_weights, swapped

SEED = 7 * EVALUATION_SEED
SETTINGS = {"steps": POCKET_SETTINGS.steps, "guidance": POCKET_SETTINGS.guidance}


def judged(pipe, jobs: list[tuple[str, str]], seed: int) -> list[bool]:
    """Draw each (prompt, label) and say whether the classifier sees the label."""
    images = generate(pipe, [p for p, _ in jobs], seed=seed, **SETTINGS)
    return classifier().correct(images, [(label,) for _, label in jobs])


def clip_objects(images: list[Image.Image]) -> list[str]:
    """CLIP's own answer: the object whose captions are nearest, of all the classifier knows."""
    names = [
        label.removeprefix("object:")
        for label in classifier().labels
        if label.startswith("object:")
    ]
    names.remove("none")
    captions = [object_prompt(o, s) for o in names for s in W.SCENES]
    similarity = (
        clip().similarity(images, captions).view(len(images), len(names), len(W.SCENES)).mean(-1)
    )
    return [f"object:{names[int(i)]}" for i in similarity.argmax(-1)]


def drawing(pipe, images: int) -> dict:
    """Top-1 per object, scene and style; held-out pairs and phrasings; every `ff.net.2` zeroed.

    `judges_agree`: on how many pictures of the objects the classifier and CLIP name the same one
    of all they know.
    """
    objects, agree = {}, []
    for o in W.OBJECTS:
        scenes = [s for s in W.SCENES if not W.held_out(o, s)]
        prompts = [object_prompt(o, scenes[i % len(scenes)]) for i in range(images)]
        drawn = generate(pipe, prompts, seed=SEED, **SETTINGS)
        seen = classifier().top1(drawn)
        objects[o] = Rate.of([label == f"object:{o}" for label in seen])
        agree += [a == b for a, b in zip(seen, clip_objects(drawn), strict=True)]
        print(o, objects[o].value, flush=True)
    out = {"objects": {o: r.as_dict() for o, r in objects.items()}}
    out["judges_agree"] = Rate.of(agree).as_dict()
    out["objects_mean"] = sum(r.value for r in objects.values()) / len(objects)
    out["objects_lowest"] = min(objects, key=lambda o: objects[o].value)
    scenes = [
        (W.with_article(s), f"scene:{s}") for s in W.SCENES for _ in range(max(1, images // 2))
    ]
    out["scenes"] = Rate.of(judged(pipe, scenes, SEED + 10_000)).as_dict()
    names = list(W.OBJECTS)
    styles = [
        (W.with_article(o) + W.STYLE_SUFFIX.format(style=s), s, o)
        for s in W.STYLES
        for o in names[: max(1, images)]
        if not W.held_out(o, s)
    ]
    drawn = generate(pipe, [p for p, _, _ in styles], seed=SEED + 20_000, **SETTINGS)
    out["styles"] = Rate.of(
        classifier().correct(drawn, [(f"style:{s}",) for _, s, _ in styles])
    ).as_dict()
    out["styled_objects"] = Rate.of(
        classifier().correct(drawn, [(f"object:{o}",) for _, _, o in styles])
    ).as_dict()
    pairs = W.held_out_pairs(W.SCENES)
    turns = max(1, images * 2 // len(pairs))
    jobs = [(object_prompt(o, s), f"object:{o}") for o, s in pairs for _ in range(turns)]
    out["held_out_pairs"] = Rate.of(judged(pipe, jobs, SEED + 30_000)).as_dict()
    jobs = [
        (phrase.format(o=W.with_article(o), s=W.with_article(W.SCENES[i % 8])), f"object:{o}")
        for phrase in W.HELD_OUT_PHRASES
        for i, o in enumerate(names)
    ]
    out["held_out_phrasings"] = Rate.of(judged(pipe, jobs, SEED + 40_000)).as_dict()
    zeroed = {n: torch.zeros_like(w) for n, w in read_weights(pipe).items()}
    with swapped(pipe, zeroed):
        jobs = [(object_prompt(o, s), f"object:{o}") for o in names for s in W.SCENES]
        outcomes = judged(pipe, jobs, SEED + 50_000)
        out["every_ff_zeroed"] = Rate.of(outcomes).as_dict()
        each = len(W.SCENES)
        out["every_ff_zeroed_each"] = {
            o: Rate.of(outcomes[i * each : (i + 1) * each]).as_dict() for i, o in enumerate(names)
        }
    start = time.time()
    generate(pipe, ["a cat in a room"] * 32, seed=SEED, **SETTINGS)
    out["seconds_per_picture"] = (time.time() - start) / 32
    return out


def right(judge: Classifier, pictures: np.ndarray, items: list, group: str) -> Rate:
    """Accuracy of the judge on painted pictures."""
    images = [Image.fromarray(p) for p in pictures]
    return Rate.of(
        judge.correct(images, [(f"{group}:{getattr(i, group) or 'none'}",) for i in items])
    )


def judging(pipe, control: str | None) -> dict:
    """The judges on held-out painted pictures, on reconstructions and on scenes alone.

    The control judge is tried on artwork it has not seen.
    """
    from training.artwork import MODEL_SETS
    from training.data import render
    from training.judges import through_autoencoder
    from training.train_judges import CONTROL_HELD_OUT, known_world

    judge = classifier()
    pictures, items = render(2000, seed=9001, sets=MODEL_SETS, allow_held_out=True)
    out = {
        f"painted_{g}": right(judge, pictures, items, g).as_dict()
        for g in ("object", "scene", "style")
    }
    plain = [i for i, item in enumerate(items) if item.style is None]
    unstyled = [items[i] for i in plain]
    out["painted_object_unstyled"] = right(judge, pictures[plain], unstyled, "object").as_dict()
    vae = pipe.vae.float()
    again = through_autoencoder(
        vae, torch.from_numpy(pictures[plain]), torch.device("cpu"), seed=0, noise=0.0
    ).numpy()
    out["reconstructed_object_unstyled"] = right(judge, again, unstyled, "object").as_dict()
    seen = clip_objects([Image.fromarray(pictures[i]) for i in plain if items[i].object])
    wanted = [f"object:{items[i].object}" for i in plain if items[i].object]
    out["clip_object_unstyled"] = Rate.of(
        [a == b for a, b in zip(seen, wanted, strict=True)]
    ).as_dict()
    every, every_items = render(2000, seed=9002, world=known_world(), allow_held_out=True)
    out["painted_object_all_classes"] = right(judge, every, every_items, "object").as_dict()
    empty = [i for i, item in enumerate(items) if item.object is None]
    seen = judge.top1([Image.fromarray(pictures[i]) for i in empty])
    out["scene_only_called_object"] = Rate.of([label != "object:none" for label in seen]).as_dict()
    if control:
        pictures, items = render(1000, seed=9003, sets=(CONTROL_HELD_OUT,), allow_held_out=True)
        plain = [i for i, item in enumerate(items) if item.style is None]
        unstyled = [items[i] for i in plain]
        out["control_on_unseen_artwork"] = right(
            Classifier.load(control), pictures[plain], unstyled, "object"
        ).as_dict()
    return out


def main() -> None:
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--model", default="pocket")
    ap.add_argument("--images", type=int, default=50, help="pictures per object")
    ap.add_argument("--no-judges", action="store_true", help="leave out what needs the artwork")
    ap.add_argument("--control", default=None, help="folder of the control judge")
    ap.add_argument("--out", default="results/pocket/quality.json")
    args = ap.parse_args()
    if not args.no_judges:
        from training.artwork import ALL_SETS, load_icon_sets

        load_icon_sets(ALL_SETS)  # before an hour of drawing
    pipe = load_pipeline(args.model, device="cpu")
    files = judge_files() + sorted((ASSETS / "pocket").rglob("*.safetensors"))
    result = {
        "images": args.images,
        **SETTINGS,
        "sampling": str(fastest(pipe)),
        **provenance(SEED),
        "sha256": {
            str(f.relative_to(ASSETS)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files
        },
        "drawing": drawing(pipe, args.images),
    }
    if not args.no_judges:
        result["judging"] = judging(pipe, args.control)
    write_json(args.out, result)
    print({k: v for k, v in result["drawing"].items() if k != "objects"}, result.get("judging"))


if __name__ == "__main__":
    main()
