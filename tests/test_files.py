"""What is copied is copied whole; of a bad source and a full target the right one is named."""

from __future__ import annotations

import errno
import os

import pytest

from conceptrevive import files
from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import copy_file, replacing


def test_bytes_are_copied_and_links_as_what_they_point_to(tmp_path):
    source, link = tmp_path / "source", tmp_path / "link"
    source.write_bytes(os.urandom(files.BUFFER + 17))
    link.symlink_to(source)
    copy_file(link, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert not (tmp_path / "copy").is_symlink()


class Full:
    """A file on a disk without room, or one that cannot be read."""

    def __init__(self, file, code):
        self.file, self.code = file, code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def fail(self, *_):
        raise OSError(self.code, os.strerror(self.code))

    read = write = fail


def test_a_full_disk_is_not_the_sources_fault(tmp_path, monkeypatch):
    """shutil.copyfile names the source first, whichever of the two it was."""
    source = tmp_path / "source"
    source.write_bytes(b"x" * 9)

    def opened(path, mode, *args, **kwargs):
        file = open(path, mode, *args, **kwargs)
        return Full(file, errno.ENOSPC) if mode == "wb" else file

    monkeypatch.setattr(files, "open", opened, raising=False)
    with (
        pytest.raises(
            ConceptReviveError,
            match=f"^cannot write {tmp_path / 'out'} .No space left on device.: choose a writable "
            "place with enough room$",
        ),
        replacing(tmp_path / "out") as temporary,
    ):
        copy_file(source, temporary)
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("when", ["opened", "read"])
def test_a_source_that_cannot_be_read(when, tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_bytes(b"x")

    def opened(path, mode, *args, **kwargs):
        if mode == "rb" and when == "opened":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        file = open(path, mode, *args, **kwargs)
        return Full(file, errno.EIO) if mode == "rb" else file

    monkeypatch.setattr(files, "open", opened, raising=False)
    with pytest.raises(
        ConceptReviveError,
        match=f"^cannot read {source} .*: the file is damaged or may not be read, put a whole one",
    ):
        copy_file(source, tmp_path / "copy")
