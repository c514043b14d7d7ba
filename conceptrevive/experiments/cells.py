"""What is measured and what was found: typed, frozen, and the same after a way through JSON."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from conceptrevive.errors import ConceptReviveError
from conceptrevive.intervals import Rate

T = TypeVar("T")
STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Cell:
    """One thing to be measured: a cell of a table, a point of a figure.

    Attributes:
        experiment: the table or figure it belongs to, a short name.
        concept: the concept, or whatever stands in the table's first column.
        recipe: what is done to the weights, such as "revived".
        n: how many pictures (or matrices) are looked at. seed: what they are drawn from.
        settings: everything else it depends on, JSON-ready.
    """

    __pydantic_config__ = STRICT

    experiment: str
    concept: str
    recipe: str = ""
    n: int = 0
    seed: int = 0
    settings: Mapping[str, JsonValue] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.concept, self.recipe)))


@dataclass(frozen=True)
class Found:
    """What measuring a cell returns.

    Attributes:
        outcomes: by what was looked at ("erased", "retained"): one outcome per picture.
        numbers: everything else, JSON-ready.
    """

    outcomes: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    numbers: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A cell with what was found, and how that came about.

    Attributes:
        key: digest of all that it depends on. seconds: how long it took.
        made: seed, command, versions, device and date, see `provenance`.
    """

    __pydantic_config__ = STRICT

    cell: Cell
    key: str
    outcomes: Mapping[str, tuple[bool, ...]]
    numbers: Mapping[str, JsonValue]
    seconds: float
    made: Mapping[str, JsonValue]

    def rate(self, name: str) -> Rate:
        """The share of right outcomes among `outcomes[name]`, with its 95 % Wilson interval."""
        return Rate.of(self.outcomes[name])

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)


def read_json(path: str | os.PathLike[str], kind: type[T]) -> T:
    """What `path` holds as a `kind`, a dataclass, with every key there and none besides.

    Raises ConceptReviveError naming the file and the key where it cannot be read or is something
    else.
    """
    try:
        return TypeAdapter(kind).validate_json(Path(path).read_bytes())
    except OSError as e:
        raise ConceptReviveError(f"cannot read {path} ({e.strerror}): measure it first") from e
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise ConceptReviveError(
            f"{path} is no {kind.__name__.lower()} that this version wrote "
            f"({place}: {first['msg']}): it is left as it is; move it away and run again"
        ) from e


def canonical(cell: Cell) -> bytes:
    """A cell as bytes that depend on nothing but its values."""
    return json.dumps(dataclasses.asdict(cell), sort_keys=True).encode()
