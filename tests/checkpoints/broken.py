"""Checkpoint files with one thing wrong each: {name: (write(folder) → path, message)}."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import torch
from safetensors.torch import save, save_file

KEY = "a.ff.net.2.weight"


def weights(seed: int = 0, dtype=torch.float32, pruned: bool = True) -> dict[str, torch.Tensor]:
    """Two candidate layers, pruned by default, and a bias."""
    g = torch.Generator().manual_seed(seed)
    out = {f"{n}.ff.net.2.weight": torch.randn(16, 64, generator=g).to(dtype) for n in "ab"}
    if pruned:
        for w in out.values():
            w[torch.rand(w.shape, generator=g) < 0.1] = 0
    return out | {"a.ff.net.2.bias": torch.randn(16, generator=g).to(dtype)}


def raw(header, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file by hand; `header` is JSON text or what becomes it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(4, 4), offsets=(0, 64)) -> dict:
    """One tensor's line in a header."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def _file(content) -> callable:
    def write(folder: Path) -> Path:
        path = folder / "model.safetensors"
        path.write_bytes(content() if callable(content) else content)
        return path

    return write


def _tensors(**changed) -> callable:
    def write(folder: Path) -> Path:
        path = folder / "model.safetensors"
        save_file({**weights(), **{k.replace("_", "."): v for k, v in changed.items()}}, path)
        return path

    return write


def _index(table, *shards: str) -> callable:
    def write(folder: Path) -> Path:
        for name, key in zip(shards, ("a", "b"), strict=False):
            save_file(
                {f"{key}.ff.net.2.weight": weights()[f"{key}.ff.net.2.weight"]}, folder / name
            )
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors.index.json").write_bytes(
            table if isinstance(table, bytes) else json.dumps({"weight_map": table}).encode()
        )
        return folder

    return write


def _sparse_header(length: int) -> callable:
    def write(folder: Path) -> Path:
        path = folder / "model.safetensors"
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", length))
            f.truncate(8 + length)  # a hole: takes no room on disk
        return path

    return write


def _loop(folder: Path) -> Path:
    (folder / "model.safetensors").symlink_to(folder / "other.safetensors")
    (folder / "other.safetensors").symlink_to(folder / "model.safetensors")
    return folder / "model.safetensors"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "model.safetensors")  # opening it would wait for ever
    return folder / "model.safetensors"


def _shard_loop(folder: Path) -> Path:
    _index({KEY: "s1.safetensors"})(folder)
    (folder / "s1.safetensors").symlink_to(folder / "s2.safetensors")
    (folder / "s2.safetensors").symlink_to(folder / "s1.safetensors")
    return folder


def _folder_as_file(folder: Path) -> Path:
    (folder / "model.safetensors").mkdir()
    return folder / "model.safetensors"


def _folder_as_shard(folder: Path) -> Path:
    _index({KEY: "s1.safetensors"})(folder)
    (folder / "s1.safetensors").mkdir()
    return folder


def _pickle(folder: Path) -> Path:
    path = folder / "pytorch_model.bin"
    torch.save(weights(), path)
    return path


def _renamed_pickle(folder: Path) -> Path:
    _pickle(folder).rename(folder / "model.safetensors")
    return folder / "model.safetensors"


def _old_pickle(folder: Path) -> Path:
    path = folder / "model.safetensors"
    torch.save(weights(), path, _use_new_zipfile_serialization=False)
    return path


def _pickle_folder(folder: Path) -> Path:
    _pickle(folder)
    (folder / "config.json").write_text("{}")
    return folder


def _cut(share: float) -> bytes:
    whole = save(weights())
    return whole[: int(len(whole) * share)]


def _absent(folder: Path) -> Path:
    return folder / "model.safetensors"


BAD = torch.randn(16, 64)
INTEGERS = torch.ones(16, 64, dtype=torch.int8)
NAN, INF = BAD.clone(), BAD.clone()
NAN[3, 5], INF[3, 5] = torch.nan, torch.inf

#: Every one fails when it is read, whatever is to be done with it.
UNREADABLE = {
    "no such file": (_absent, "there is no file"),
    "empty file": (_file(b""), "no safetensors file (0 bytes"),
    "three bytes": (_file(b"abc"), "no safetensors file (3 bytes"),
    "cut in the header": (_file(lambda: _cut(0.01)), "header claims"),
    "cut in the tensors": (_file(lambda: _cut(0.7)), "was it cut off?"),
    "header longer than the file": (
        _file(raw({}, length=10**6)),
        "header claims 1000000 of the file's 10 bytes",
    ),
    "header of 2**63 bytes": (_file(raw({}, length=2**63)), "header claims 9223372036854775808"),
    "header of 100 MB and a byte": (_sparse_header(100_000_001), "header claims 100000001"),
    "header of 100 MB of nothing": (_sparse_header(99_999_999), "the header is no JSON"),
    "header not JSON": (_file(raw(b"{nonsense")), "the header is no JSON"),
    "header not UTF-8": (_file(raw(b'{"\xff\xfe": 1}')), "the header is no JSON"),
    "header nested too deep": (_file(raw(b"[" * 100_000)), "the header is no JSON"),
    "header a list": (_file(raw([])), "not a JSON object"),
    "metadata not text": (
        _file(raw({"__metadata__": {"a": 1}})),
        "__metadata__ is not a table of texts",
    ),
    "duplicate keys": (
        _file(raw(b'{"a":%s,"a":%s}' % ((json.dumps(entry()).encode(),) * 2), b"\0" * 64)),
        "'a' stands twice",
    ),
    "a name of a megabyte": (
        _file(lambda: raw({"n" * 10**6: entry(dtype="f99")}, b"\0" * 64)),
        "unknown dtype 'f99'",
    ),
    "overlapping offsets": (
        _file(raw({"a": entry(), "b": entry(offsets=(32, 96))}, b"\0" * 96)),
        "'b' overlaps",
    ),
    "a gap": (
        _file(raw({"a": entry(), "b": entry(offsets=(72, 136))}, b"\0" * 136)),
        "'b' leaves a gap",
    ),
    "offsets beyond the end": (
        _file(raw({"a": entry(offsets=(0, 64))}, b"\0" * 60)),
        "'a' ends at byte",
    ),
    "negative offsets": (_file(raw({"a": entry(offsets=(-64, 0))})), "'a' has the data_offsets"),
    "offsets the wrong way": (
        _file(raw({"a": entry(offsets=(64, 0))}, b"\0" * 64)),
        "'a' has the data_offsets",
    ),
    "offsets not numbers": (
        _file(raw({"a": entry(offsets=(0, 64.0))}, b"\0" * 64)),
        "'a' has the data_offsets",
    ),
    "bytes of no tensor": (_file(raw({"a": entry()}, b"\0" * 80)), "16 bytes at its end"),
    "shape against bytes": (
        _file(raw({"a": entry(shape=(4, 5))}, b"\0" * 64)),
        "'a': F32 [4, 5] does not fit",
    ),
    "negative shape": (_file(raw({"a": entry(shape=(-4, -4))}, b"\0" * 64)), "'a' has the shape"),
    "huge shape": (
        _file(raw({"a": entry(shape=(2**62, 2**62))}, b"\0" * 64)),
        "does not fit its 64 bytes",
    ),
    "no dtype": (_file(raw({"a": entry(dtype="f99")}, b"\0" * 64)), "unknown dtype 'f99'"),
    "dtype not text": (
        _file(raw({"a": entry() | {"dtype": [1]}}, b"\0" * 64)),
        "unknown dtype [1]",
    ),
    "entry without offsets": (
        _file(raw({"a": {"dtype": "F32"}})),
        "'a' lacks dtype, shape or data_offsets",
    ),
    "name no Unicode": (
        _file(raw(b'{"\\ud800":%s}' % json.dumps(entry()).encode(), b"\0" * 64)),
        "not Unicode text",
    ),
    "symlink loop": (_loop, "cannot read"),
    "symlink loop of shards": (_shard_loop, "cannot read"),
    "folder instead of shard": (_folder_as_shard, "cannot read"),
    "a pipe": (_pipe, "not a regular file"),
    "empty folder": (lambda folder: folder, "no .safetensors weights"),
    "folder instead of file": (_folder_as_file, "no .safetensors weights"),
    "pickle": (_pickle, "is a pickle checkpoint"),
    "pickle under another name": (_renamed_pickle, "is a pickle checkpoint"),
    "old pickle under another name": (_old_pickle, "is a pickle checkpoint"),
    "folder of pickles": (_pickle_folder, "pickle files"),
    "Git LFS pointer": (
        _file(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "git lfs pull",
    ),
    "missing shard": (
        _index({KEY: "s1.safetensors", "b.w": "s2.safetensors"}, "s1.safetensors"),
        "is missing, though",
    ),
    "missing key": (
        _index({KEY: "s1.safetensors", "z": "s1.safetensors"}, "s1.safetensors"),
        "lacks tensor 'z'",
    ),
    "unexpected key": (
        _index({"a.ff.net.2.bias": "s1.safetensors"}, "s1.safetensors"),
        "tensor 'a.ff.net.2.",
    ),
    "shard above the folder": (_index({KEY: "../s1.safetensors"}), "points outside its folder"),
    "shard at the root": (_index({KEY: "/etc/s1.safetensors"}), "points outside its folder"),
    "shard with a backslash": (_index({KEY: "..\\s1.safetensors"}), "points outside its folder"),
    "index not JSON": (_index(b"{"), "is no index of shards"),
    "index without a map": (_index(b'{"a": 1}'), "is no index of shards"),
    "index with numbers": (_index({KEY: 1}), "is no index of shards"),
    "empty index": (_index({}), "is no index of shards"),
}

#: These can be read, but not pruned or obfuscated.
UNUSABLE = {
    "NaN": (_tensors(a_ff_net_2_weight=NAN), f"tensor '{KEY}' holds NaN or Inf"),
    "Inf": (_tensors(a_ff_net_2_weight=INF), f"tensor '{KEY}' holds NaN or Inf"),
    "integers": (_tensors(a_ff_net_2_weight=INTEGERS), f"tensor '{KEY}' is I8 [16, 64]"),
    "eight bits": (
        _tensors(a_ff_net_2_weight=torch.randn(16, 64).to(torch.float8_e4m3fn)),
        f"tensor '{KEY}' is F8_E4M3 [16, 64], not a float matrix",
    ),
    "no entries": (
        _tensors(a_ff_net_2_weight=torch.empty(0, 64)),
        f"tensor '{KEY}' is F32 [0, 64]",
    ),
    "one axis": (_tensors(a_ff_net_2_weight=torch.randn(64)), f"tensor '{KEY}' is F32 [64]"),
    "three axes": (
        _tensors(a_ff_net_2_weight=torch.randn(2, 8, 64)),
        "a.ff.net.2: mask (16, 64) does not fit weight (2, 512)",
    ),
    "no candidates": (_file(lambda: save({"w": BAD})), "has no such layer"),
}

#: Of these, `revive` looks at the other layers, and says why not at this one.
PASSED_OVER = {
    "integers": (_tensors(a_ff_net_2_weight=INTEGERS), "not looked at: a.ff.net.2 (I8)"),
    "eight bits": (
        _tensors(a_ff_net_2_weight=torch.randn(16, 64).to(torch.float8_e4m3fn)),
        "not looked at: a.ff.net.2 (F8_E4M3)",
    ),
    "all zero": (
        _tensors(a_ff_net_2_weight=torch.zeros(16, 64)),
        "natural zeros in 1 layer: those of a.ff.net.2: all its entries are 0",
    ),
    "dead rows": (
        _tensors(a_ff_net_2_weight=torch.randn(16, 64) * (torch.arange(16) > 3)[:, None]),
        "those of a.ff.net.2: its zeros fill whole rows or columns",
    ),
}


def unreadable_permissions(folder: Path) -> Path:
    """A file that its mode forbids to read (root reads it all the same)."""
    path = _tensors()(folder)
    os.chmod(path, 0)
    return path
