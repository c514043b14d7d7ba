"""Where a command is to write: tried before the work begins, and nothing foreign is replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import replacing

Test = Callable[[Path], bool]


def check_file(option: str, name: str, *, is_ours: Test, what: str) -> None:
    """Raise ConceptReviveError unless a file of this name can be written, or written again.

    Args:
        option: the option's name. is_ours: whether an existing file is of the kind that the command
            writes; an empty one may be replaced whatever it is. what: that kind.
    """
    check_kept(option, name, is_ours=is_ours, what=what)
    _try(option, Path(name))


def check_kept(option: str, name: str, *, is_ours: Test, what: str) -> None:
    """As `check_file`, where the place itself is not to be tried."""
    path = _named(option, name)
    if path.is_dir():
        raise ConceptReviveError(f"{option} {name} is a folder: name the {what} to write")
    if not os.path.lexists(path):
        return
    if path.exists() and not path.is_file():
        raise ConceptReviveError(f"{option} {name} is no plain file: name the {what} to write")
    if path.exists() and path.stat().st_size and not is_ours(path):
        raise ConceptReviveError(
            f"{option} {name} exists and is no {what}: choose another name, or remove it"
        )


def check_folder(option: str, name: str, *, files: dict[str, Test], what: str) -> None:
    """Raise ConceptReviveError unless `files` can be written into a folder of this name.

    Args:
        files: names within the folder, each as `is_ours` of `check_file`. what: they are, together.
    """
    path = _named(option, name)
    if os.path.lexists(path) and not path.is_dir():
        raise ConceptReviveError(f"{option} {name} is a file: name the folder for {what}")
    for file, is_ours in files.items():
        check_file(option, str(path / file), is_ours=is_ours, what=f"file of {what}")


def check_new(option: str, name: str) -> None:
    """Raise ConceptReviveError unless a file or folder of this name, not there yet, can be made."""
    path = _named(option, name)
    if not os.path.lexists(path):
        _try(option, path)


def holds(start: bytes) -> Test:
    """Whether `start` stands in the first 64 KiB of a file."""

    def test(path: Path) -> bool:
        with open(path, "rb") as file:
            return start in file.read(1 << 16)

    return test


def holds_keys(*keys: str) -> Test:
    """Whether a file is a JSON object with these keys."""

    def test(path: Path) -> bool:
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(data, dict) and set(keys) <= set(data)

    return test


def _named(option: str, name: str) -> Path:
    if not name.strip() or "\0" in name:
        raise ConceptReviveError(f"{option} is {name!r}: give the name of what is to be written")
    return Path(name)


def _try(option: str, path: Path) -> None:
    """Write an empty temporary file where `replacing` will; nothing is left, no folder either."""
    try:
        with _parents(path):
            try:
                with replacing(path) as temporary:
                    temporary.touch()
                    raise _Tried
            except _Tried:
                pass
    except OSError as e:
        raise ConceptReviveError(
            f"{option} {path} cannot be written ({e.strerror or e}): choose a writable place"
        ) from e


class _Tried(Exception):
    """It can be written; undo."""


@contextmanager
def _parents(path: Path) -> Iterator[None]:
    """The folders that `path` needs, those that were not there removed again."""
    made = [p for p in path.parents if not os.path.lexists(p)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
