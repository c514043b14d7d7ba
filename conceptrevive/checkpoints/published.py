"""Every weight that a checkpoint's folder would give away, or one copy of them: what is audited."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from conceptrevive.checkpoints.folders import component_folders, is_pipeline, weight_files
from conceptrevive.checkpoints.formats import CONVERT, PICKLES
from conceptrevive.checkpoints.headers import Header, read_header
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.variants import is_index, pipeline_variant, weight_copies


@dataclass(frozen=True)
class Published:
    """The weight files of a checkpoint.

    Attributes:
        parts: {where: files} of each component; of copies beside those in use, of each file.
        pickles: files that are not opened.
        others: copies of weights that were not asked for; none where no variant was.
    """

    parts: dict[str, list[Header]] = field(default_factory=dict)
    pickles: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def published_files(source: Path, variant: str | None = None) -> Published:
    """Every weight that would be published, or those that are loaded as `variant`.

    Without a variant all copies are taken: variants beside a default, and single files beside a
    pipeline, stand by themselves. With one, components that lack it give their default, as in
    diffusers.

    Raises:
        ConceptReviveError: as `weight_files`, also for a component of pickles only, a link, or a
            variant that is nowhere.
    """
    if not source.is_dir():
        if variant is not None:
            raise ConceptReviveError(has_no_variants(source))
        return Published({"": weight_files(source)})
    beside = [source] if is_pipeline(source) else []
    if beside and variant is not None:
        pipeline_variant(source, variant)
    out = Published()
    for part in [*beside, *component_folders(source)] if beside else [source]:
        here = sorted(f for f in part.iterdir() if f.suffix in PICKLES)
        out.pickles.extend(here)
        copies = weight_copies(part)
        used: list[Header] = []
        one = variant is not None or "" in copies or len(copies) < 2
        if part not in beside and one and (copies or here or not beside):
            own = variant if variant in copies or not beside else None
            used = out.parts[f"{part.name}/" if beside else ""] = weight_files(part, own)
        seen = {h.path for h in used}
        more = [f for files in copies.values() for f in files if f not in seen and not is_index(f)]
        if variant is None:
            out.parts.update({f"{f.relative_to(source)}/": [read_header(f)] for f in more})
        else:
            out.others.extend(more)
    if not out.parts:
        raise ConceptReviveError(
            f"{source} holds no .safetensors weights in any component: {CONVERT}"
        )
    return out


def base_files(source: Path, variant: str | None = None) -> Published:
    """As `published_files`, of what another checkpoint is compared with: its `variant` if it has
    that, else all.
    """
    folders = component_folders(source) if source.is_dir() and is_pipeline(source) else [source]
    has = source.is_dir() and any(variant in weight_copies(f) for f in folders)
    return published_files(source, variant if has else None)


def has_no_variants(source: Path) -> str:
    """That a file has no variants, and what to do."""
    return f"{source} is a file, which has no variants: leave --variant out"
