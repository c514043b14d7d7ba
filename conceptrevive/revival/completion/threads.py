"""Layers side by side, instead of all threads on one.

A completion is many short steps, and what threads save in each they lose by waiting for one
another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

#: Layers solved side by side take the memory of so many.
MOST = 8

Item = TypeVar("Item")
Found = TypeVar("Found")


def side_by_side(run: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[Found]:
    """`map(run, items)` on a processor: several at once, which share the threads that torch has."""
    own = torch.get_num_threads()
    workers = min(own, len(items), MOST)
    if workers <= 1:
        yield from map(run, items)
        return
    inference = torch.is_inference_mode_enabled()  # of a thread, as is whether gradients are kept
    keeps = torch.is_grad_enabled()

    def there(item: Item) -> Found:
        with torch.inference_mode(inference), torch.set_grad_enabled(keeps):
            return run(item)

    try:
        with ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(own // workers,)
        ) as pool:
            yield from pool.map(there, items)
    finally:
        torch.set_num_threads(own)  # for threads begun later
