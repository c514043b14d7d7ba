"""−K_mo x_o: what the surviving entries of a column say of its missing ones.

Few rows of a column are missing, so most of K times the column is not needed. A processor takes the
entries one by one, a GPU or a fuller mask all of them at once.
"""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor

from conceptrevive.revival.completion.columns import Missing

#: The most of the entries of a processor's product of K with the columns that are taken one by one.
SAMPLED_SHARE = 0.1


def right_sides(
    k: Float[Tensor, "layers rows rows"],
    z: Float[Tensor, "layers rows columns"],
    gaps: Missing,
    offset: Float[Tensor, "layers rows columns"] | None,
) -> Float[Tensor, " entries"]:
    """−K_mo x_o of every missing entry, in the order of `gaps`; see `systems`."""
    right = torch.empty(gaps.row.shape, dtype=z.dtype, device=z.device)
    columns = torch.bincount(gaps.layer, minlength=len(z)).tolist()
    used = entries = 0
    for layer, n in enumerate(columns):
        mine = slice(used, used + n)
        owner = torch.arange(n, device=z.device).repeat_interleave(gaps.count[mine])
        these = slice(entries, entries + len(owner))
        used, entries = mine.stop, these.stop
        row = gaps.row[these]
        known = z[layer].index_select(1, gaps.column[mine])
        if offset is not None:
            known = known - offset[layer].index_select(1, gaps.column[mine])
            known.view(-1)[row * n + owner] = 0
        if z.device.type == "cpu" and len(row) < SAMPLED_SHARE * known.numel():
            first = torch.cat([gaps.first[mine] - these.start, owner.new_tensor([len(row)])])
            right[these] = sampled_product(known.mT, k[layer], first, row).neg_()
        else:
            right[these] = (k[layer] @ known).view(-1)[row * n + owner].neg_()
    return right


def sampled_product(
    a: Float[Tensor, "n rows"],
    k: Float[Tensor, "rows rows"],
    first: Int[Tensor, " n_and_one"],
    row: Int[Tensor, " entries"],
) -> Float[Tensor, " entries"]:
    """Some entries of A K, K symmetric, on a processor.

    Args:
        first: where the entries of each row of A begin, and their number. row: of K, for each.
    """
    pattern = torch.sparse_csr_tensor(
        first, row, a.new_zeros(len(row)), size=(len(a), len(k)), check_invariants=False
    )
    # The second factor's transpose is what is read: it need not be copied.
    product = torch.sparse.sampled_addmm(pattern, a.contiguous(), k.contiguous().mT, beta=0.0)
    values: Tensor = product.values()
    return values


def _hear_it_once() -> None:
    """Torch says once in a process that its CSR tensors are in beta state: here, and unheard.

    Filters of warnings belong to all threads, so that they are left alone while layers are solved.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        none = torch.zeros(1, dtype=torch.int64)
        torch.sparse_csr_tensor(none, none[:0], torch.zeros(0), size=(0, 1), check_invariants=False)


_hear_it_once()
