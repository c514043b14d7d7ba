"""Checkpoint to checkpoint of the same kind: rewrite the few tensors an operation changes, copy everything else as it is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from conceptrevive.checkpoints.folders import (
    INDEX,
    denoiser_part,
    find_checkpoint,
    read_candidates,
    weight_files,
)
from conceptrevive.checkpoints.formats import AGAIN, PICKLES
from conceptrevive.checkpoints.headers import Header
from conceptrevive.checkpoints.tensors import rewrite
from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import replacing
from conceptrevive.models.weights import Weights
from conceptrevive.version import version

#: Where a changed file's metadata says what was done.
KEY = "conceptrevive"


def _copy(source: Path, target: Path, skip: Callable[[Path], bool]) -> None:
    """Copy a folder's files, links as what they point to; folders that are links are refused, they may be loops."""
    target.mkdir()
    for item in sorted(p for p in source.iterdir() if not p.name.startswith((".git", ".cache"))):
        if item.is_dir() and item.is_symlink():
            raise ConceptReviveError(
                f"{item} is a link to a folder: put the folder itself there, or remove the link"
            )
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
    model: str | os.PathLike,
    out: str | os.PathLike,
    edit: Callable[[Weights], Weights],
    *,
    note: dict | None,
    names: Iterable[str] | None = None,
    revision: str | None = None,
) -> Weights:
    """Write a checkpoint to `out` with the weights that `edit` returns; nothing is left behind on failure.

    A file becomes a file, a folder a folder, an index a folder with the index and its shards. dtypes, order, metadata and
    sharding are kept. Other copies of the weights (variants, pickles, a single file beside a pipeline) are left out:
    they would still hold what `edit` changed.

    Args:
        edit: gets {module name: weight} and returns those to write, same shapes.
        note: what was done, for the changed files' metadata; None leaves no word of it, nor of what was done before.
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
        raise ConceptReviveError(
            f"{out} is to be a file like {source}: let its name end with .safetensors"
        )
    weights = read_candidates(source, names)
    try:
        changed = edit(weights)
    except ConceptReviveError as e:
        raise e if str(source) in str(e) else ConceptReviveError(f"{source}: {e}") from e
    headers = weight_files(denoiser_part(source))
    with replacing(out) as temporary:
        if is_file:
            _write(headers[0], temporary, changed, note)
            return changed
        if source.is_dir():
            used = {h.path for h in headers}
            places = {source, denoiser_part(source)}

            def skip(p: Path) -> bool:
                return (
                    p in used
                    or p.suffix in (*PICKLES, ".msgpack")
                    or (p.parent in places and p.suffix == ".safetensors")
                )

            _copy(source, temporary, skip)
        else:
            temporary.mkdir()
            shutil.copyfile(source, temporary / source.name)
        root = source if source.is_dir() else source.parent
        for header in headers:
            _write(header, temporary / header.path.relative_to(root), changed, note)
    return changed


def _write(header: Header, target: Path, changed: Weights, note: dict | None) -> None:
    new = {f"{n}.weight": w for n, w in changed.items() if f"{n}.weight" in header.entries}
    before = header.metadata or {}
    if not new and (note is not None or KEY not in before):
        shutil.copyfile(header.path, target)
        return
    metadata = {k: v for k, v in (before or {"format": "pt"}).items() if k != KEY}
    if note is not None:
        metadata[KEY] = json.dumps(note | {"version": version()})
    rewrite(header, target, new, metadata)
