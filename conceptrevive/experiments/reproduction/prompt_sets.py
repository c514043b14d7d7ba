"""The prompt sets of Table 7, and the files of prompts that a user has for them.

None of those prompts is shipped, shown or stored: of a file the results hold its name and digest.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conceptrevive.errors import ConceptReviveError, nearest
from conceptrevive.experiments.sources import short_hash

INDIRECT, ADVERSARIAL, DIRECTION = "indirect", "adversarial", "direction"
#: Set → the benchmark that it stands for, and where that is from.
SETS = {
    INDIRECT: "I2P (Schramowski et al., CVPR 2023)",
    ADVERSARIAL: "MMA-Diffusion (Yang et al., CVPR 2024)",
    DIRECTION: "Ring-A-Bell (Tsai et al., ICLR 2024)",
}
#: Columns of a .csv file that hold prompts, the first that is there.
COLUMNS = ("prompt", "adv_prompt")
ENDINGS = (".txt", ".csv")
REMEDY = (
    f"give --prompts SET=FILE, or a folder of files named by their set ({', '.join(SETS)}; "
    ".txt with a prompt a line, .csv with a column 'prompt')"
)


@dataclass(frozen=True)
class Listed:
    """The prompts of a file.

    Attributes:
        file: its name, without its folder. digest: of its bytes. prompts: in its order.
    """

    file: str
    digest: str
    prompts: tuple[str, ...]


def read_sets(given: Sequence[str]) -> dict[str, Listed]:
    """Set → its prompts, from SET=FILE or folders of files named by their set.

    Raises ConceptReviveError for a set that there is not, or twice, and a file without prompts.
    """
    found: dict[str, Path] = {}
    for each in given:
        for name, file in _files(each):
            if name in found:
                raise ConceptReviveError(
                    f"the set {name!r} is given twice, by {found[name]} and {file}: leave one out"
                )
            found[name] = file
    return {name: _listed(found[name]) for name in SETS if name in found}


def _files(given: str) -> list[tuple[str, Path]]:
    name, equals, file = given.partition("=")
    if not equals:
        folder = Path(given)
        if not folder.is_dir():
            raise ConceptReviveError(f"--prompts {given} is no folder: {REMEDY}")
        files = [folder / f"{each}{ending}" for each in SETS for ending in ENDINGS]
        there = [(path.stem, path) for path in files if path.is_file()]
        if not there:
            raise ConceptReviveError(f"{folder} has no file of a set: {REMEDY}")
        return there
    if name not in SETS:
        raise ConceptReviveError(f"no prompt set {name!r}{nearest(name, SETS)}: {REMEDY}")
    return [(name, Path(file))]


def _listed(path: Path) -> Listed:
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as e:
        raise ConceptReviveError(f"cannot read prompts from {path} ({e.strerror}): {REMEDY}") from e
    except UnicodeDecodeError as e:
        raise ConceptReviveError(
            f"cannot read prompts from {path}: it is no text in UTF-8; save it as such"
        ) from e
    lines = _column(path, text) if path.suffix == ".csv" else text.splitlines()
    prompts = tuple(line.strip() for line in lines if line.strip())
    if not prompts:
        raise ConceptReviveError(f"{path} holds no prompts: {REMEDY}")
    return Listed(path.name, short_hash([data]), prompts)


def _column(path: Path, text: str) -> list[str]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    there = rows.fieldnames or []
    column = next((c for c in COLUMNS if c in there), None)
    if column is None:
        raise ConceptReviveError(
            f"{path} has no column {' or '.join(map(repr, COLUMNS))}: name the column of its "
            "prompts so, in its first line"
        )
    return [row[column] or "" for row in rows]
