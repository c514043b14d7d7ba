"""The dtypes of the safetensors format: their width, their name in torch, and which hold weights.

Source: https://github.com/huggingface/safetensors, `Dtype` in safetensors/src/tensor.rs.
"""

from __future__ import annotations

import re

import torch

#: Format's name → (torch's name or "", bits per entry).
_TABLE = {
    "F64": ("float64", 64), "F32": ("float32", 32), "F16": ("float16", 16),
    "BF16": ("bfloat16", 16), "F8_E4M3": ("float8_e4m3fn", 8), "F8_E5M2": ("float8_e5m2", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F6_E2M3": ("", 6), "F6_E3M2": ("", 6), "F4": ("", 4), "C64": ("complex64", 64),
    "BOOL": ("bool", 8), "U8": ("uint8", 8), "I8": ("int8", 8),
    "U16": ("uint16", 16), "I16": ("int16", 16),
    "U32": ("uint32", 32), "I32": ("int32", 32), "U64": ("uint64", 64), "I64": ("int64", 64),
}  # fmt: skip

#: Bits per entry, of every dtype that the format knows.
BITS = {name: bits for name, (_, bits) in _TABLE.items()}

#: Those of them that this torch can hold: older ones lack float8_e8m0fnu.
TORCH: dict[str, torch.dtype] = {
    name: getattr(torch, called)
    for name, (called, _) in _TABLE.items()
    if called and hasattr(torch, called)
}

#: Signed floating-point numbers: what weights are.
FLOATS = frozenset(
    name
    for name, dtype in TORCH.items()
    if dtype.is_floating_point and name != "F8_E8M0"  # powers of two, no sign: scales of others
)

_WELL_FORMED = re.compile(r"[A-Z][A-Z0-9_]{0,31}")


def is_dtype_name(name: object) -> bool:
    """Whether `name` is a dtype of the format, or may be one of a later version of it."""
    return isinstance(name, str) and _WELL_FORMED.fullmatch(name) is not None


def why_unread(name: str) -> str:
    """Why a tensor of this dtype holds no weights that can be looked at; empty if it does."""
    if name in FLOATS:
        return ""
    if name not in BITS:
        return "a dtype that this version does not know"
    if BITS[name] % 8:
        return f"packed floats of {BITS[name]} bits"
    if name == "F8_E8M0":
        return "scales of quantised weights"
    if name == "C64":
        return "complex numbers"
    if name == "BOOL":
        return "truth values"
    return "whole numbers"
