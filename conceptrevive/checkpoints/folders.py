"""Checkpoints on disk: where they are, and which files hold their weights.

A checkpoint is a .safetensors file, a sharded index (*.safetensors.index.json), a diffusers
component or pipeline folder, "pocket", or a hub id.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from conceptrevive.checkpoints.formats import AGAIN, PICKLES, refuse_pickle
from conceptrevive.checkpoints.headers import Header, quoted, read_header
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.addresses import DENOISERS
from conceptrevive.models.pipeline import POCKET, resolve
from conceptrevive.models.variants import is_index, is_whole, listed, weight_copies


def find_checkpoint(model: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The file or folder of `pocket`, a path, or a hub model (downloaded, safetensors only)."""
    path = Path(model)
    if model != POCKET and os.path.lexists(path):
        try:
            if path.stat() and path.is_file() and not is_index(path):
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
    return Path(source) if Path(source).is_dir() else _download(source, revision)


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        patterns = ["*.json", "*.txt", "*.model", "*.safetensors"]
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (OSError, HfHubHTTPError, ValueError) as e:
        reason = " ".join(str(e).split())[:200]
        raise ConceptReviveError(
            f"cannot download {name!r}: check the name and the connection, or give a folder "
            f"that is here already ({reason})"
        ) from e


def is_pipeline(source: Path) -> bool:
    """Whether this is a folder of components."""
    return (source / "model_index.json").exists()


def component_folder(folder: Path) -> Path:
    """The denoiser's folder within a pipeline folder, or `folder` itself if it is a component.

    Raises ConceptReviveError for a pipeline without a denoiser.
    """
    if not is_pipeline(folder):
        return folder
    for name in DENOISERS:
        if (folder / name).is_dir():
            return folder / name
    raise ConceptReviveError(
        f"{folder} has neither a unet nor a transformer folder: "
        "give a diffusers text-to-image pipeline"
    )


def component_folders(source: Path) -> list[Path]:
    """The folders of a pipeline that may hold weights, in the order of their names.

    Raises ConceptReviveError for one that is a link.
    """
    folders = sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith("."))
    for folder in folders:
        if folder.is_symlink():
            raise ConceptReviveError(
                f"{folder} is a link to a folder: put the folder itself there, or remove the link"
            )
    return folders


def choose_variant(folder: Path, variant: str | None = None) -> str:
    """Which copy of a component's weights to take: `variant`, or the default, or the only one.

    Raises ConceptReviveError where there is no such variant, or several and none is the default.
    """
    there = weight_copies(folder)
    if variant is not None:
        if variant not in there:
            raise ConceptReviveError(
                f"{folder} holds no variant {variant!r}: it holds {listed(there)}"
            )
        return variant
    if "" in there or not there:
        return ""
    if len(there) > 1:
        raise ConceptReviveError(
            f"{folder} holds weights only as the variants {listed(there)}: "
            "choose one with --variant"
        )
    return next(iter(there))


def weight_files(source: Path, variant: str | None = None) -> list[Header]:
    """Checked headers of a file's, an index's or a component folder's weights.

    Args:
        variant: which copy of a folder's weights, see `choose_variant`.

    Raises:
        ConceptReviveError: no safetensors there, a damaged file, or an index that does not say what
            its shards hold.
    """
    if not source.is_dir():
        return _read_shards(source) if is_index(source) else [read_header(source)]
    files = weight_copies(source).get(choose_variant(source, variant), [])
    indices = sorted(filter(is_index, files), key=lambda p: len(p.name))
    whole = [p for p in files if is_whole(p)]
    if indices and not any(p.name.startswith("diffusion_pytorch_model.") for p in whole):
        return _read_shards(indices[0])
    if not files:
        raise ConceptReviveError(
            f"{source} holds no .safetensors weights: pickle files (.bin, .ckpt) are not read; "
            "save the model again with save_pretrained(…, safe_serialization=True)"
        )
    return [read_header(f) for f in whole[:1] or [p for p in files if p not in indices]]


def _read_shards(index: Path) -> list[Header]:
    out = []
    for name, keys in sorted(shards_of(index).items()):
        path = index.parent / name
        if not os.path.lexists(path):
            raise ConceptReviveError(
                f"{path} is missing, though {index.name} names it: download the model again"
            )
        header = read_header(path)
        if differing := sorted(keys ^ header.entries.keys()):
            what = "lacks" if differing[0] in keys else "holds, unknown to the index,"
            raise ConceptReviveError(f"{path} {what} tensor {quoted(differing[0])}: {AGAIN}")
        out.append(header)
    return out


def shards_of(index: Path) -> dict[str, set[str]]:
    """{shard's file name: names of its tensors}, as the index has them.

    Raises ConceptReviveError for what is no index, or points outside its folder.
    """
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
        is_plain = Path(name).name == name and not {"\\", "\0"} & set(name)
        if not is_plain or not name.endswith(".safetensors"):
            raise ConceptReviveError(
                f"{index}: tensor {quoted(key)} points outside its folder ({quoted(name)}): "
                "do not use this checkpoint"
            )
        shards.setdefault(name, set()).add(key)
    return shards
