"""Files and folders appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from conceptrevive.errors import ConceptReviveError

ASSETS = Path(__file__).parent / "assets"

BUFFER = 1 << 20  # bytes


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to `path` when the block succeeds.

    It is removed when the block fails; so is what an earlier, killed process of this machine left.

    Raises ConceptReviveError where the place cannot be written.
    """
    path = Path(path)
    host = "".join(c if c.isalnum() else "-" for c in platform.node())[:40]
    temporary = path.with_name(f".{path.name}.{host}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path, host)
        yield temporary
        os.replace(temporary, path)
    except (OSError, SafetensorError) as e:
        reason = getattr(e, "strerror", None) or e
        raise ConceptReviveError(
            f"cannot write {path} ({reason}): choose a writable place with enough room"
        ) from e
    finally:
        _remove(temporary)


def copy_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a file's bytes, links as what they point to.

    Raises:
        ConceptReviveError: `source` cannot be read.
        OSError: `target` cannot be written; `replacing` names the place. shutil.copyfile puts the
            source's name first into both errors, so that a full disk would look like a bad source.
    """
    remedy = "the file is damaged or may not be read, put a whole one there"
    try:
        f = open(source, "rb", buffering=0)
    except OSError as e:
        raise ConceptReviveError(f"cannot read {source} ({e.strerror or e}): {remedy}") from e
    with f, open(target, "wb") as out:
        while True:
            try:
                part = f.read(BUFFER)
            except OSError as e:
                raise ConceptReviveError(
                    f"cannot read {source} ({e.strerror or e}): {remedy}"
                ) from e
            if not part:
                return
            out.write(part)


def _remove_left(path: Path, host: str) -> None:
    """Remove the temporary files for `path` whose process is gone."""
    for left in sorted(path.parent.iterdir()):
        head, _, process = left.name.removesuffix(".tmp").rpartition(".")
        if left.name.endswith(".tmp") and head == f".{path.name}.{host}" and _is_gone(process):
            _remove(left)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _is_gone(process: str) -> bool:
    """Whether a process of this machine, by its number, no longer runs."""
    if os.name != "posix" or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
