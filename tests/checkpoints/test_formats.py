"""Files of other formats are named, with what to do; nothing sound is taken for one of them."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from conceptrevive.checkpoints.headers import read_header
from conceptrevive.errors import ConceptReviveError


def _npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, w=np.zeros(3))
    return out.getvalue()


def _npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros(300))
    return out.getvalue()


def _zip(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"x" * 100)
    return out.getvalue()


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("model.safetensors")
        info.size = 600
        archive.addfile(info, io.BytesIO(b"x" * 600))
    return out.getvalue()


def _torch() -> bytes:
    out = io.BytesIO()
    torch.save({"w": torch.zeros(300)}, out)
    return out.getvalue()


ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xa4\x01" + b"x" * 600

FOREIGN = {
    "GGUF": (b"GGUF\3\0\0\0" + b"\1" * 600, "is a GGUF file", "give the .safetensors file it was"),
    "ONNX": (ONNX, "is an ONNX file", "give the .safetensors file it was made from"),
    "page": (b"<!DOCTYPE html>\n<html>", "is a web page", "needs a login"),
    "page with a mark": (b"\xef\xbb\xbf\n<HTML><body>" * 90, "is a web page", "needs a login"),
    "xml": (b'<?xml version="1.0"?><Error>AccessDenied', "is a web page", "hf download"),
    "refusal": (b"Invalid username or password.", "is plain text", "needs a login"),
    "answer": (b'{"error":"Repository not found"}', "is JSON text", "fetch them again"),
    "npz": (_npz(), "is a NumPy archive (.npz)", "safetensors.numpy.save_file"),
    "npy": (_npy(), "is a NumPy array", "safetensors.numpy.save_file"),
    "zip": (_zip("model.safetensors"), "is a zip archive", "unpack it"),
    "zip cut off": (_npz()[:-30], "is a NumPy archive (.npz)", "safetensors.numpy.save_file"),
    "gzip": (gzip.compress(b"x" * 99), "is a gzip archive", "unpack it"),
    "tar": (_tar(), "is a tar archive", "unpack it"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "is an HDF5 file", "give the .safetensors file"),
    "picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "is a picture or a document", "the weights"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS", "`git lfs pull`"),
    "git-annex": (b"/annex/objects/SHA256E-s9--00", "git-annex pointer", "`git annex get`"),
    "torch": (_torch(), "is a pickle checkpoint", "save_pretrained"),
    "torch cut off": (_torch()[:700], "is a pickle checkpoint", "save_pretrained"),
    "pickle": (b"\x80\x04\x95" + b"\0" * 99, "is a pickle checkpoint", "save_pretrained"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_other_formats_are_named_with_the_remedy(case, tmp_path):
    content, what, remedy = FOREIGN[case]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConceptReviveError) as e:
        read_header(path)
    message = str(e.value)
    assert message.startswith(f"{path} ") and what in message and remedy in message
    assert "damaged" not in message


@pytest.mark.parametrize(
    "length",
    [
        0x280,  # as a pickle begins: \x80\x02
        0x0580,
        0x08 + (0x02 << 8) + (0x12 << 16),  # as ONNX
        0x8B1F,  # gzip
        ord("<") + 256,
        ord("{") + 256 * ord('"'),
        0x04034B50 & 0xFFFF,  # "PK"
        300,
    ],
)
def test_a_header_of_any_length_is_no_other_format(length, tmp_path):
    """A sound file whose first bytes, the header's length, are those of another format."""
    content = save({"w": torch.zeros(2)}, metadata={"pad": ""})
    header = content[8 : 8 + int.from_bytes(content[:8], "little")].rstrip()
    header = header.replace(b'"pad":""', b'"pad":"' + b"x" * (length - len(header)) + b'"')
    path = tmp_path / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header + b"\0" * 8)
    assert read_header(path).entries.keys() == {"w"}
