"""What a checkpoint consists of: the weight files of its denoiser and of its other components."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from conceptrevive.checkpoints.folders import (
    choose_variant,
    component_folder,
    component_folders,
    find_checkpoint,
    is_pipeline,
    weight_files,
)
from conceptrevive.checkpoints.formats import PICKLES
from conceptrevive.checkpoints.headers import Header
from conceptrevive.checkpoints.published import has_no_variants
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.variants import weight_copies


@dataclass(frozen=True)
class Checkpoint:
    """The weight files of a checkpoint.

    Attributes:
        source: the file, index or folder.
        parts: {"": files of the denoiser, or of what is no pipeline; "text_encoder/": files of this
            component; …}.
        variant: the copy of the weights that was taken; empty for the default.
        closed: components that hold no safetensors weights, only pickles.
    """

    source: Path
    parts: dict[str, list[Header]]
    variant: str = ""
    closed: tuple[str, ...] = ()

    @property
    def is_pipeline(self) -> bool:
        """Whether it has components, whose names stand before those of their layers."""
        return is_pipeline(self.source)

    @property
    def denoiser(self) -> str:
        """The component that denoises, as "unet"; empty in what is no pipeline."""
        return component_folder(self.source).name if self.is_pipeline else ""


def open_checkpoint(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    variant: str | None = None,
    components: Iterable[str] | None = (),
) -> Checkpoint:
    """Find a checkpoint's weight files and check their headers.

    Args:
        variant: which copy of a folder's weights; None takes the default, or the only one, with a
            warning. Components that have no such variant give their default, as in diffusers, the
            denoiser too.
        components: folders of a pipeline to open beside the denoiser's; None opens all.

    Raises:
        ConceptReviveError: no such checkpoint, component or variant, or damaged files.
    """
    source = find_checkpoint(model, revision)
    if not source.is_dir() and variant is not None:
        raise ConceptReviveError(has_no_variants(source))
    main = component_folder(source) if source.is_dir() else source
    others = [f for f in component_folders(source) if f != main] if is_pipeline(source) else []
    own = None if variant is None else _denoisers(main, others, variant)
    chosen = choose_variant(main, own) if source.is_dir() else ""
    if chosen and variant is None:
        warnings.warn(
            f"{main} holds the variant {chosen} only, so it is taken: what is written is to be "
            f"loaded with variant={chosen!r} too",
            stacklevel=2,
        )
    parts, closed = {"": weight_files(main, own)}, []
    wanted = None if components is None else set(components)
    asked = chosen if variant is None else variant
    for folder in others:
        if wanted is not None and folder.name not in wanted:
            continue
        if there := weight_copies(folder):
            parts[f"{folder.name}/"] = weight_files(folder, asked if asked in there else None)
        elif any(p.suffix in PICKLES for p in folder.iterdir()):
            closed.append(folder.name)
    return Checkpoint(source, parts, chosen, tuple(closed))


def _denoisers(main: Path, others: Iterable[Path], variant: str) -> str | None:
    """`variant`; None, for the denoiser's default, where it lacks what another component has."""
    copies = weight_copies(main)
    if "" in copies and variant not in copies and any(variant in weight_copies(f) for f in others):
        return None
    return variant
