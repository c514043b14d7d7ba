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


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it when the block succeeds, else remove it.

    What an earlier, killed process of this machine left beside `path` is removed too.

    Raises ConceptReviveError where the place cannot be written.
    """
    path = Path(path)
    host = "".join(c if c.isalnum() else "-" for c in platform.node())[:40]
    temporary = path.with_name(f".{path.name}.{host}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.iterdir():
            head, _, process = left.name.removesuffix(".tmp").rpartition(".")
            if left.name.endswith(".tmp") and head == f".{path.name}.{host}" and _is_gone(process):
                _remove(left)
        yield temporary
        os.replace(temporary, path)
    except (OSError, SafetensorError) as e:
        reason = getattr(e, "strerror", None) or e
        raise ConceptReviveError(
            f"cannot write {path} ({reason}): choose a writable place with enough room"
        ) from e
    finally:
        _remove(temporary)


ASSETS = Path(__file__).parent / "assets"
