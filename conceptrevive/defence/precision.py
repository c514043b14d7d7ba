"""In how many digits weights are written: noise with more of them would give its places away.

Weights are often held in a finer dtype than the one in which they were trained or stored. Of a
float16 checkpoint in float32, the last 13 binary digits are 0; a bfloat16 one in float16 has its
last 3 so.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: From the fewest binary digits: 3, 4, 8, 11 and 24.
_FORMATS = (
    torch.float8_e5m2,
    torch.float8_e4m3fn,
    torch.bfloat16,
    torch.float16,
    torch.float32,
)


def precision(values: Tensor) -> torch.dtype:
    """The float format of the fewest digits that holds every value exactly, else their own dtype.

    Args:
        values: any shape, a float dtype. Of none at all, it is their own dtype.
    """
    for coarse in _FORMATS if values.numel() else ():
        if torch.equal(values.to(coarse).to(values.dtype), values):
            return coarse
    return values.dtype
