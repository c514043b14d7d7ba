"""What a file is that is no safetensors file, by its first bytes, and what to do about it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from conceptrevive.errors import ConceptReviveError

AGAIN = "the file is damaged, download it again"

CONVERT = "load it where you trust it and save it with save_pretrained(…, safe_serialization=True)"

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")

_UNPACK = "unpack it, and give the .safetensors file within"

_FETCH = "the download failed, or needs a login: fetch the file itself, with `hf download`"

_EXPORT = "give the .safetensors file it was made from"

#: First bytes → (what such a file is, what to do).
_MAGIC = (
    (rb"GGUF|ggml|lmgg|tjgg|fmgg", "a GGUF file (quantised for llama.cpp or ComfyUI)", _EXPORT),
    (rb"\x93NUMPY", "a NumPy array", "save its weights with safetensors.numpy.save_file"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the weights", "run `git lfs pull`"),
    (rb"/annex/objects/", "a git-annex pointer, not the weights", "run `git annex get`"),
    (rb"(\xef\xbb\xbf)?\s*<", "a web page", _FETCH),
    (rb"\x1f\x8b", "a gzip archive", _UNPACK),
    (rb"BZh[1-9]", "a bzip2 archive", _UNPACK),
    (rb"\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!", "a compressed archive", _UNPACK),
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"\x89HDF", "an HDF5 file (Keras)", _EXPORT),
    (rb"....TFL3", "a TFLite file", _EXPORT),
    # Protobuf: ir_version, then the producer's name, the graph or another of ONNX's fields.
    (rb"\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]", "an ONNX file", _EXPORT),
    (rb"\x89PNG|\xff\xd8\xff|RIFF|GIF8|%PDF", "a picture or a document", "give the weights"),
    (rb"\s*[{\[]\s*[\"{\[\]}]", "JSON text", "give the weights beside it, or fetch them again"),
    (rb"[\x20-\x7e\r\n\t]{8,}\Z", "plain text", _FETCH),
)

START = 512  # bytes that tell a format


def refuse_pickle(path: Path, start: bytes = b"") -> None:
    """Raise ConceptReviveError for pickle checkpoints, which run code when they are loaded.

    They are told by their suffix or their first bytes.
    """
    if path.suffix in PICKLES or re.match(rb"\x80[\x02-\x05]", start):
        raise ConceptReviveError(
            f"{path} is a pickle checkpoint, which runs code when it is loaded: {CONVERT}"
        )


def refuse_foreign(path: Path, start: bytes) -> None:
    """Raise ConceptReviveError if the first bytes are those of another format than safetensors.

    A safetensors header is JSON of less than 4 GB, so zeros and "{" are the fifth to ninth byte;
    what has them is left to the reader of headers, for the length before them may look like any
    format's first bytes.

    Args:
        start: the file's first 512 bytes, fewer if it has not as many.
    """
    if start[4:9] == b"\0\0\0\0{":
        return
    if start.startswith(b"PK\x03\x04"):
        _refuse_zip(path, start)
    refuse_pickle(path, start)
    for magic, what, remedy in _MAGIC:
        if re.match(magic, start, re.DOTALL | re.IGNORECASE):
            raise ConceptReviveError(f"{path} is {what}, no safetensors file: {remedy}")


def _refuse_zip(path: Path, start: bytes) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            suffixes = {Path(name).suffix for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, ValueError):  # cut off: its table of contents stands last
        suffixes = {m.decode() for m in re.findall(rb"\.pkl|\.npy", start)}
    if ".pkl" in suffixes:
        refuse_pickle(path, b"\x80\x02")
    if ".npy" in suffixes:
        raise ConceptReviveError(
            f"{path} is a NumPy archive (.npz), no safetensors file: "
            "save its arrays with safetensors.numpy.save_file"
        )
    raise ConceptReviveError(f"{path} is a zip archive, no safetensors file: {_UNPACK}")
