"""Checkpoint to checkpoint of the same kind: rewrite the few tensors an operation changes.

Everything else is copied as it is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from conceptrevive.checkpoints.contents import Checkpoint, open_checkpoint
from conceptrevive.checkpoints.folders import shards_of
from conceptrevive.checkpoints.formats import PICKLES
from conceptrevive.checkpoints.headers import Header
from conceptrevive.checkpoints.layers import Place, find_layers, read_layers
from conceptrevive.checkpoints.naming import components_of
from conceptrevive.checkpoints.selection import choose_layers, expect_whole
from conceptrevive.checkpoints.tensors import read_tensor, rewrite
from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import copy_file, replacing
from conceptrevive.models.variants import is_index
from conceptrevive.models.weights import Weights
from conceptrevive.version import version

#: Where a changed file's metadata says what was done.
KEY = "conceptrevive"

#: Files of weights: beside those that are changed, they hold the weights from before.
OTHER_WEIGHTS = (".safetensors", ".msgpack", ".onnx", ".onnx_data", ".gguf", ".h5", ".pb")

#: What lists the shards of a pickle.
PICKLED_INDEX = re.compile(r".*\.bin\.index(\.[\w-]+)?\.json")


@dataclass(frozen=True)
class Edited:
    """What `edit_checkpoint` did.

    Attributes:
        weights: those written, {name: matrix}.
        left_out: files of the source that were not copied, relative to it: pickles, other copies of
            weights.
    """

    weights: Weights
    left_out: tuple[str, ...] = ()


def edit_checkpoint(
    model: str | os.PathLike[str] | Checkpoint,
    out: str | os.PathLike[str],
    edit: Callable[[Weights], Weights],
    *,
    note: dict[str, object] | None,
    names: Iterable[str] | None = None,
    partial: bool = False,
    located_in: str | None = None,
    located_without: str | None = None,
    revision: str | None = None,
    variant: str | None = None,
) -> Edited:
    """Write a checkpoint to `out` with the weights that `edit` returns; on failure nothing is left.

    A file becomes a file, a folder a folder, an index a folder with the index and its shards.
    dtypes, order, metadata and sharding are kept. Other copies of the weights of a component that
    is changed (variants, pickles, a single file beside a pipeline) are left out: they would still
    hold what `edit` changed.

    Args:
        model: a file, folder, index or hub id, or what `open_checkpoint` returned.
        edit: gets {name: matrix} and returns those to write, of the same shapes.
        note: what was done, for the changed files' metadata; None leaves no word of it, nor of what
            was done before.
        names: layers to hand to `edit`, see `find_layers`; None takes every feed-forward output.
        partial: whether `names` may leave out layers of the same kinds, see `expect_whole`.
        located_in: the selection that `names` are all of, if it is known, see `MaskSet.layers`.
        located_without: but these, see `MaskSet.left_out`.
        revision, variant: see `open_checkpoint`.

    Raises:
        ConceptReviveError: what cannot be read or written, or layers that are not there.
    """
    chosen = None if names is None else list(names)
    if not isinstance(model, Checkpoint):
        components = components_of(chosen or ())
        model = open_checkpoint(model, revision=revision, variant=variant, components=components)
    expect_place(model.source, out)
    places = find_layers(model, choose_layers(model).layers if chosen is None else chosen)
    if not partial:
        expect_whole(model, places, located_in, located_without)
    try:
        changed = edit(read_layers(places))
    except ConceptReviveError as e:
        raise (
            e if str(model.source) in str(e) else ConceptReviveError(f"{model.source}: {e}")
        ) from e
    edition = _Edition(model, _by_file(places, changed), note)
    with replacing(out) as temporary:
        edition.write(temporary)
    return Edited(changed, tuple(edition.left_out))


def expect_place(source: Path, out: str | os.PathLike[str]) -> None:
    """Raise ConceptReviveError unless an edited `source` may be written to `out`."""
    target = Path(out)
    if os.path.lexists(target) and not (
        source.is_dir() and target.is_dir() and not any(target.iterdir())
    ):
        raise ConceptReviveError(f"{out} exists already: choose another --out or remove it")
    if source.is_dir() and source.resolve() in target.resolve().parents:
        raise ConceptReviveError(f"{out} lies within {source}: choose an --out beside it")
    if not source.is_dir() and not is_index(source) and target.suffix != ".safetensors":
        raise ConceptReviveError(
            f"{out} is to be a file like {source}: let its name end with .safetensors"
        )


def _by_file(places: Mapping[str, Place], changed: Weights) -> dict[Path, dict[str, Tensor]]:
    """{file: {tensor: new value, of its own shape}}."""
    out: dict[Path, dict[str, Tensor]] = {}
    for name, weight in changed.items():
        place = places[name]
        of_file, shape = out.setdefault(place.header.path, {}), place.entry.shape
        if place.columns is None:
            of_file[place.entry.name] = weight.reshape(shape)
            continue
        whole = of_file.get(place.entry.name)
        if whole is None:
            whole = read_tensor(place.header, place.entry.name).reshape(shape)
        matrix = whole.reshape(shape[0], -1).clone()
        matrix[:, place.columns.slice] = weight.to(matrix)
        of_file[place.entry.name] = matrix.reshape(shape)
    return out


@dataclass
class _Edition:
    """A checkpoint being written.

    Attributes:
        changed: {file: {tensor: new value}}. left_out: what was not copied, relative to the source.
    """

    checkpoint: Checkpoint
    changed: dict[Path, dict[str, Tensor]]
    note: dict[str, object] | None
    left_out: list[str] = field(default_factory=list)

    def write(self, target: Path) -> None:
        source = self.checkpoint.source
        headers = {h.path: h for part in self.checkpoint.parts.values() for h in part}
        if source.is_dir():
            self._copy_folder(source, target, headers)
        elif is_index(source):
            target.mkdir()
            copy_file(source, target / source.name)
            for path, header in headers.items():
                self._write_file(header, target / path.name)
        else:
            self._write_file(headers[source], target)

    def _copy_folder(self, folder: Path, target: Path, headers: dict[Path, Header]) -> None:
        """Copy a folder; links to folders are refused, they may be loops."""
        target.mkdir()
        for item in sorted(folder.iterdir()):
            if item.name.startswith((".git", ".cache")):
                continue
            if item.is_dir() and item.is_symlink():
                raise ConceptReviveError(
                    f"{item} is a link to a folder: put the folder itself there, or remove the link"
                )
            if item.is_dir():
                self._copy_folder(item, target / item.name, headers)
            elif item in headers:
                self._write_file(headers[item], target / item.name)
            elif self._is_other_copy(item, headers):
                self.left_out.append(str(item.relative_to(self.checkpoint.source)))
            else:
                copy_file(item, target / item.name)

    def _is_other_copy(self, path: Path, headers: Collection[Path]) -> bool:
        """Whether a file holds or lists weights that are not edited, where others are."""
        if path.suffix in PICKLES or PICKLED_INDEX.fullmatch(path.name):
            return True
        if path.parent not in {self.checkpoint.source, *(p.parent for p in self.changed)}:
            return False
        if is_index(path):
            return not all(path.parent / shard in headers for shard in shards_of(path))
        return path.suffix in OTHER_WEIGHTS

    def _write_file(self, header: Header, target: Path) -> None:
        new = self.changed.get(header.path, {})
        before = header.metadata or {}
        if not new and (self.note is not None or KEY not in before):
            copy_file(header.path, target)
            return
        metadata = {k: v for k, v in (before or {"format": "pt"}).items() if k != KEY}
        if self.note is not None:
            metadata[KEY] = json.dumps(self.note | {"version": version()})
        rewrite(header, target, new, metadata)
