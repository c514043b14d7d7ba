"""Checkpoints on disk: find their weight files and read layers.

A checkpoint is a .safetensors file, a sharded index (*.safetensors.index.json), a diffusers component or pipeline folder,
"pocket", or a hub id.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import torch

from conceptrevive.checkpoints.formats import AGAIN, CONVERT, PICKLES, refuse_pickle
from conceptrevive.checkpoints.headers import Header, quoted, read_header
from conceptrevive.checkpoints.tensors import opened, read_tensor
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.layers import CANDIDATES
from conceptrevive.models.pipeline import POCKET, resolve
from conceptrevive.models.weights import Weights

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
        raise ConceptReviveError(
            f"there is no file {str(model)!r}: give an existing .safetensors file or a folder"
        )
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
        raise ConceptReviveError(
            f"{index} is no index of shards (weight_map missing or broken): {AGAIN}"
        ) from e
    shards: dict[str, set[str]] = {}
    for key, name in table.items():
        if (
            Path(name).name != name
            or "\\" in name
            or "\0" in name
            or not name.endswith(".safetensors")
        ):
            raise ConceptReviveError(
                f"{index}: tensor {quoted(key)} points outside its folder ({quoted(name)}): do not use this checkpoint"
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
            raise ConceptReviveError(f"{header.path} {what} tensor {quoted(differing[0])}: {AGAIN}")
        out.append(header)
    return out


def denoiser_part(source: Path) -> Path:
    """What holds the denoiser's weights: a pipeline's component, or a file or component itself."""
    return component_folder(source) if source.is_dir() else source


def all_weight_files(source: Path) -> tuple[dict[str, list[Header]], list[Path]]:
    """Every weight that would be published: {where: files} of each component, variants by themselves, and the pickles.

    Raises:
        ConceptReviveError: as `weight_files`, also for a component that has pickles only, or is a link.
    """
    if not source.is_dir():
        return {"": weight_files(source)}, []
    parts = [source]
    if (source / "model_index.json").exists():
        parts += sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith("."))
    out: dict[str, list[Header]] = {}
    pickles: list[Path] = []
    for part in parts:
        if part is not source and part.is_symlink():
            raise ConceptReviveError(
                f"{part} is a link to a folder: put the folder itself there, or remove the link"
            )
        here = sorted(f for f in part.iterdir() if f.suffix in PICKLES)
        there = sorted(part.glob("*.safetensors"))
        pickles += here
        if here or there or any(part.glob(f"*{INDEX}")) or len(parts) == 1:
            if part is source and len(parts) > 1:
                used: list[Header] = []  # single files beside a pipeline
            else:
                used = out["" if part is source else f"{part.name}/"] = weight_files(part)
            seen = {h.path for h in used}
            out |= {f"{f.relative_to(source)}/": [read_header(f)] for f in there if f not in seen}
    if not out:
        raise ConceptReviveError(
            f"{source} holds no .safetensors weights in any component: {CONVERT}"
        )
    return out, pickles


def read_candidates(source: Path, names: Iterable[str] | None = None) -> Weights:
    """{module name: weight} of the feed-forward layers (or of `names`) of a checkpoint's denoiser.

    Raises:
        ConceptReviveError: damaged files, no such layer, or one that is no finite float matrix.
    """
    out: Weights = {}
    wanted = None if names is None else set(names)
    for header in weight_files(denoiser_part(source)):
        with opened(header) as f:
            for key in header.entries:
                module = key.removesuffix(".weight")
                if key == module or not (
                    module.endswith(CANDIDATES) if wanted is None else module in wanted
                ):
                    continue
                if module in out:
                    raise ConceptReviveError(
                        f"{header.path}: tensor {quoted(key)} stands in another file of {source} too: give the file you mean"
                    )
                weight = out[module] = read_tensor(header, key, f)
                narrow = not weight.is_floating_point() or weight.element_size() == 1
                if narrow or weight.ndim != 2 or not weight.numel():
                    raise ConceptReviveError(
                        f"{header.path}: tensor {quoted(key)} is {weight.dtype} {list(weight.shape)}, not a float matrix: "
                        "give the model as it was before it was quantised"
                    )
                if not torch.isfinite(weight.float()).all():
                    raise ConceptReviveError(
                        f"{header.path}: tensor {quoted(key)} holds NaN or Inf: {AGAIN}"
                    )
    if absent := sorted((wanted or set()) - set(out)):
        raise ConceptReviveError(
            f"{absent[0]}: {source} has no such layer: locate on this model first"
        )
    if not out:
        raise ConceptReviveError(
            f"{source} has no feed-forward layer {' or '.join(CANDIDATES)}: is it a diffusion transformer or UNet?"
        )
    return out
