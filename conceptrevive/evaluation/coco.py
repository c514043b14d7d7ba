"""The user's folder of COCO: real pictures with their captions, for FID at paper scale."""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conceptrevive.errors import ConceptReviveError, one_line

PICTURES = (".jpg", ".jpeg", ".png")
WHERE = "COCO's 2014 validation pictures and annotations are at https://cocodataset.org/#download"


@dataclass(frozen=True)
class Coco:
    """Pictures with one caption each.

    Attributes:
        files, captions: in the same order.
    """

    files: tuple[Path, ...]
    captions: tuple[str, ...]

    @classmethod
    def read(cls, folder: str | os.PathLike[str], n: int, seed: int = 0) -> Coco:
        """`n` pictures drawn by `seed`, or all where there are fewer, each with its first caption.

        Args:
            folder: holds pictures and COCO's `captions_….json`, at any depth.

        Raises:
            ConceptReviveError: no folder, pictures or captions, or none that belong together.
        """
        root = Path(folder)
        if not root.is_dir():
            raise ConceptReviveError(f"{root} is no folder: name that of COCO's pictures; {WHERE}")
        found = sorted(p for p in root.rglob("*") if p.suffix.lower() in PICTURES)
        if not found:
            raise ConceptReviveError(
                f"{root} holds no pictures ({', '.join(PICTURES)}): name COCO's folder; {WHERE}"
            )
        sources = sorted(root.rglob("captions*.json"))
        if not sources:
            raise ConceptReviveError(
                f"{root} holds no captions: put COCO's captions_val2014.json beside the pictures; "
                f"{WHERE}"
            )
        said: dict[str, str] = {}
        for source in sources:
            said = _captions(source) | said
        pairs = [(p, said[p.name]) for p in found if p.name in said]
        if len(pairs) < 2:
            raise ConceptReviveError(
                f"{len(pairs)} of the {len(found)} pictures in {root} have a caption in "
                f"{', '.join(s.name for s in sources)}: FID needs two or more; {WHERE}"
            )
        chosen = random.Random(seed).sample(pairs, min(n, len(pairs)))
        return cls(*(tuple(column) for column in zip(*chosen, strict=True)))


def _captions(path: Path) -> dict[str, str]:
    """File name → first caption."""
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        names = {image["id"]: str(image["file_name"]) for image in data["images"]}
        out: dict[str, str] = {}
        for note in sorted(data["annotations"], key=lambda note: int(note["id"])):
            out.setdefault(names[note["image_id"]], " ".join(str(note["caption"]).split()))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ConceptReviveError(
            f"{path} holds no captions as COCO writes them ({type(e).__name__}: {one_line(e)}): "
            f"take captions_val2014.json as it comes; {WHERE}"
        ) from e
    return out
