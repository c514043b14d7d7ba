"""Every dtype of the format, and those it may gain: what can be read is, the rest is named."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

import conceptrevive as cr
from conceptrevive.checkpoints.dtypes import BITS, FLOATS, TORCH
from conceptrevive.checkpoints.headers import read_header
from conceptrevive.checkpoints.tensors import read_rows, read_tensor, rewrite
from conceptrevive.cli import main
from tests.checkpoints.broken import KEY, entry, raw, weights

#: dtype → why tensors of it are not looked at.
UNREAD = {
    "I8": "whole numbers",
    "U32": "whole numbers",
    "BOOL": "truth values",
    "C64": "complex numbers",
    "F8_E8M0": "scales of quantised weights",
    "F4": "packed floats of 4 bits",
    "F6_E2M3": "packed floats of 6 bits",
    "F6_E3M2": "packed floats of 6 bits",
    "F99": "a dtype that this version does not know",
    "NVFP4_BLOCK16": "a dtype that this version does not know",
}


def odd_file(path, dtype: str, size: int | None = None):
    """A sound file: two prunable layers, and a tensor of 8 × 8 entries of `dtype`."""
    save_file(weights(), path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    table, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    size = BITS.get(dtype, 4) * 8 if size is None else size
    table["odd"] = entry(dtype, (8, 8), (len(data), len(data) + size))
    path.write_bytes(
        raw(table, data + bytes(range(1, 1 + size % 250)) + b"\1" * (size - size % 250))
    )
    return path


@pytest.mark.parametrize("dtype", UNREAD)
def test_dtypes_that_hold_no_weights_do_not_stop_the_rest(dtype, tmp_path, capsys):
    path, out = odd_file(tmp_path / "m.safetensors", dtype), tmp_path / "out.safetensors"
    header = read_header(path)
    assert header.entries["odd"].unread == UNREAD[dtype]
    assert not header.entries["odd"].is_float and header.entries[KEY].unread == ""
    assert main(["audit", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["unread"] == {"odd": dtype}
    assert main(["revive", str(path), "--out", str(out)]) == 0
    before, after = header.entries["odd"], read_header(out).entries["odd"]
    assert after.dtype == dtype
    assert out.read_bytes()[after.start : after.end] == path.read_bytes()[before.start : before.end]


@pytest.mark.parametrize("dtype", ["F4", "F6_E3M2", "F99"])
def test_a_tensor_that_torch_cannot_hold_is_a_named_error(dtype, tmp_path):
    path = odd_file(tmp_path / "m.safetensors", dtype)
    header = read_header(path)
    for read in (lambda: read_tensor(header, "odd"), lambda: read_rows(header, "odd", 16)):
        with pytest.raises(
            cr.ConceptReviveError,
            match=f"{path}: tensor 'odd' is {dtype} .*before it was quantised",
        ):
            read()
    with pytest.raises(cr.ConceptReviveError, match=f"tensor 'odd' is {dtype}"):
        rewrite(header, tmp_path / "o", {"odd": torch.zeros(8, 8)}, {})


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "F8_E8M0", "F8_E4M3FNUZ", "C64"])
def test_sizes_of_rare_dtypes_are_checked(dtype, tmp_path):
    path = odd_file(tmp_path / "m.safetensors", dtype, BITS[dtype] * 8 - 1)
    with pytest.raises(cr.ConceptReviveError, match=rf"'odd': {dtype} \[8, 8\] does not fit its"):
        read_header(path)


def test_floats_are_what_weights_may_be():
    assert FLOATS == {
        "F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
    }  # fmt: skip
    assert all(TORCH[name].itemsize * 8 == BITS[name] for name in TORCH)
