"""Checkpoints on disk: find their weight files, read layers, and write them again with a few tensors changed.

A checkpoint is a .safetensors file, a sharded index (*.safetensors.index.json), a diffusers component or pipeline folder,
"pocket", or a hub id. What is written is of the same kind.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import replacing
from conceptrevive.models import CANDIDATES, POCKET, Weights, resolve
from conceptrevive.provenance import version
from conceptrevive.tensorfiles import AGAIN, PICKLES, Header, opened, read_header, read_tensor, refuse_pickle, rewrite

COMPONENTS = ("unet", "transformer")
INDEX = ".safetensors.index.json"


def find_checkpoint(model: str | os.PathLike, revision: str | None = None) -> Path:
    """The file or folder of `pocket`, a local path, or a hub model (downloaded, safetensors only)."""
    path = Path(model)
    if model != POCKET and os.path.lexists(path):
        try:
            if path.stat() and path.is_file() and not path.name.endswith(INDEX):
                refuse_pickle(path)
        except OSError as e:
            raise ConceptReviveError(
                f"cannot read {path} ({e.strerror or e}): give a .safetensors file or a folder"
            ) from e
        return path
    if path.suffix in (".safetensors", ".json", *PICKLES):
        raise ConceptReviveError(f"there is no file {str(model)!r}: give an existing .safetensors file or a folder")
    source = resolve(model)
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        patterns = ["*.json", "*.txt", "*.model", "*.safetensors"]
        return Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except (OSError, HfHubHTTPError, ValueError) as e:
        reason = " ".join(str(e).split())[:200]
        raise ConceptReviveError(f"cannot download {source!r}: {reason}") from e


def component_folder(folder: Path) -> Path:
    """The denoiser's folder within a pipeline folder, or `folder` itself if it is a component."""
    if not (folder / "model_index.json").exists():
        return folder
    for name in COMPONENTS:
        if (folder / name).is_dir():
            return folder / name
    raise ConceptReviveError(
        f"{folder} has neither a unet nor a transformer folder: give a diffusers text-to-image pipeline"
    )


def _shards(index: Path) -> dict[str, set[str]]:
    """{shard's file name: names of its tensors}, as the index has them."""
    try:
        table = json.loads(index.read_bytes())["weight_map"]
        if not table or not all(isinstance(v, str) for v in table.values()):
            raise TypeError("weight_map")
    except OSError as e:
        raise ConceptReviveError(f"cannot read {index} ({e.strerror or e}): {AGAIN}") from e
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise ConceptReviveError(f"{index} is no index of shards (weight_map missing or broken): {AGAIN}") from e
    shards: dict[str, set[str]] = {}
    for key, name in table.items():
        if Path(name).name != name or "\\" in name or "\0" in name or not name.endswith(".safetensors"):
            raise ConceptReviveError(
                f"{index}: tensor {key!r} points outside its folder ({name!r}): do not use this checkpoint"
            )
        shards.setdefault(name, set()).add(key)
    return shards


def weight_files(source: Path) -> list[Header]:
    """Checked headers of a file's, an index's or a component folder's weights.

    Raises:
        ConceptReviveError: no safetensors there, a damaged file, or an index that does not say what its shards hold.
    """
    if source.name.endswith(INDEX):
        indices, folder = [source], source.parent
    elif source.is_dir():
        indices, folder = sorted(source.glob(f"*{INDEX}"), key=lambda p: len(p.name)), source
    else:
        return [read_header(source)]
    plain = folder / "diffusion_pytorch_model.safetensors"
    if not indices or (plain.exists() and not source.name.endswith(INDEX)):
        files = [plain] if plain.exists() else sorted(folder.glob("*.safetensors"))
        if not files:
            raise ConceptReviveError(
                f"{folder} holds no .safetensors weights: pickle files (.bin, .ckpt) are not read; "
                "save the model again with save_pretrained(…, safe_serialization=True)"
            )
        return [read_header(f) for f in files]
    out = []
    for name, keys in sorted(_shards(indices[0]).items()):
        if not os.path.lexists(folder / name):
            raise ConceptReviveError(
                f"{folder / name} is missing, though {indices[0].name} names it: download the model again"
            )
        header = read_header(folder / name)
        if differing := sorted(keys ^ header.entries.keys()):
            what = "lacks" if differing[0] in keys else "holds, unknown to the index,"
            raise ConceptReviveError(f"{header.path} {what} tensor {differing[0]!r}: {AGAIN}")
        out.append(header)
    return out


def _denoiser(source: Path) -> Path:
    return component_folder(source) if source.is_dir() else source


def all_weight_files(source: Path) -> dict[str, list[Header]]:
    """{component: its weight files}, every component of a pipeline; one unnamed component for anything else."""
    if not (source / "model_index.json").exists():
        return {"": weight_files(source)}
    parts = sorted(p for p in source.iterdir() if p.is_dir() and not p.is_symlink())
    pickled = [p for p in parts if any(f.suffix in PICKLES for f in p.iterdir()) and not any(p.glob("*.safetensors"))]
    if pickled:
        weight_files(pickled[0])  # raises: the publisher would ship what the audit has not seen
    return {p.name: weight_files(p) for p in parts if any(p.glob("*.safetensors")) or any(p.glob(f"*{INDEX}"))}


def read_candidates(source: Path, names: Iterable[str] | None = None) -> Weights:
    """{module name: weight} of the feed-forward layers (or of `names`) of a checkpoint's denoiser.

    Raises:
        ConceptReviveError: damaged files, no such layer, or one that is no finite float matrix.
    """
    out: Weights = {}
    wanted = None if names is None else set(names)
    for header in weight_files(_denoiser(source)):
        with opened(header) as f:
            for key in header.entries:
                module = key.removesuffix(".weight")
                if key == module or not (module.endswith(CANDIDATES) if wanted is None else module in wanted):
                    continue
                weight = out[module] = read_tensor(header, key, f)
                if not weight.is_floating_point() or weight.ndim != 2 or not weight.numel():
                    raise ConceptReviveError(
                        f"{header.path}: tensor {key!r} is {weight.dtype} {list(weight.shape)}, not a float matrix: "
                        "give the model as it was before it was quantised"
                    )
                if not torch.isfinite(weight.float()).all():
                    raise ConceptReviveError(f"{header.path}: tensor {key!r} holds NaN or Inf: {AGAIN}")
    if absent := sorted((wanted or set()) - set(out)):
        raise ConceptReviveError(f"{absent[0]}: {source} has no such layer: locate on this model first")
    if not out:
        raise ConceptReviveError(
            f"{source} has no feed-forward layer {CANDIDATES!r}: is it a diffusion transformer or UNet?"
        )
    return out


def _copy(source: Path, target: Path, skip: Callable[[Path], bool]) -> None:
    """Copy a folder's files, links as what they point to; folders that are links are refused, they may be loops."""
    target.mkdir()
    for item in sorted(p for p in source.iterdir() if not p.name.startswith((".git", ".cache"))):
        if item.is_dir() and item.is_symlink():
            raise ConceptReviveError(f"{item} is a link to a folder: put the folder itself there, or remove the link")
        if item.is_dir():
            _copy(item, target / item.name, skip)
        elif not skip(item):
            try:
                shutil.copyfile(item, target / item.name)
            except OSError as e:
                if e.filename == str(item):
                    raise ConceptReviveError(f"cannot read {item} ({e.strerror}): {AGAIN}") from e
                raise


def edit_checkpoint(
    model: str | os.PathLike, out: str | os.PathLike, edit: Callable[[Weights], Weights], *, note: dict,
    names: Iterable[str] | None = None, revision: str | None = None,
) -> Weights:  # fmt: skip
    """Write a checkpoint to `out` with the weights that `edit` returns; nothing is left behind on failure.

    A file becomes a file, a folder a folder, an index a folder with the index and its shards. dtypes, order, metadata and
    sharding are kept. Other copies of the weights (variants, pickles, a single file beside a pipeline) are left out:
    they would still hold what `edit` changed.

    Args:
        edit: gets {module name: weight} and returns those to write, same shapes.
        note: what was done, for the changed files' metadata.
        names: modules to hand to `edit`; None takes every feed-forward candidate.

    Returns: the weights written.
    """
    source, out = find_checkpoint(model, revision), Path(out)
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir()) or not source.is_dir()):
        raise ConceptReviveError(f"{out} exists already: choose another --out or remove it")
    if source.is_dir() and source.resolve() in out.resolve().parents:
        raise ConceptReviveError(f"{out} lies within {source}: choose an --out beside it")
    is_file = not source.is_dir() and not source.name.endswith(INDEX)
    if is_file and out.suffix != ".safetensors":
        raise ConceptReviveError(f"{out} is to be a file like {source}: let its name end with .safetensors")
    weights = read_candidates(source, names)
    try:
        changed = edit(weights)
    except ConceptReviveError as e:
        raise e if str(source) in str(e) else ConceptReviveError(f"{source}: {e}") from e
    headers = weight_files(_denoiser(source))
    with replacing(out) as temporary:
        if is_file:
            _write(headers[0], temporary, changed, note)
            return changed
        if source.is_dir():
            used = {h.path for h in headers}
            places = {source, _denoiser(source)}

            def skip(p: Path) -> bool:
                return p in used or p.suffix in (*PICKLES, ".msgpack") or (
                    p.parent in places and p.suffix == ".safetensors"
                )  # fmt: skip

            _copy(source, temporary, skip)
        else:
            temporary.mkdir()
            shutil.copyfile(source, temporary / source.name)
        root = source if source.is_dir() else source.parent
        for header in headers:
            _write(header, temporary / header.path.relative_to(root), changed, note)
    return changed


def _write(header: Header, target: Path, changed: Weights, note: dict) -> None:
    new = {f"{n}.weight": w for n, w in changed.items() if f"{n}.weight" in header.entries}
    if not new:
        shutil.copyfile(header.path, target)
        return
    note = {"conceptrevive": json.dumps(note | {"version": version()})}
    rewrite(header, target, new, (header.metadata or {"format": "pt"}) | note)
