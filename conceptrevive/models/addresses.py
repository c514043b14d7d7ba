"""What layers are called: by module, component and columns, whatever is wrapped around them.

`unet/down_blocks.0.….ff.net.2` is a layer of a pipeline. The denoiser's component may be left out,
and is in all names that this package writes. `….proj_out[:,3072:]` is some of a layer's columns.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

#: The components that denoise; of a pipeline the first that is there.
DENOISERS = ("unet", "transformer")

#: How the name of a module's weight ends.
WEIGHT = ".weight"

_COLUMNS = re.compile(r"\[:,\s*(\d*):(\d*)\]$")

#: What wrappers put into names: torch.compile, data parallelism, PEFT.
_WRAPPERS = re.compile(
    r"^(_orig_mod\.|module\.|base_model\.model\.)+|(?<=\.)_orig_mod\.|\.base_layer(?=\.|$)"
)


class Columns(NamedTuple):
    """Columns `first` up to but not including `end` of a layer's matrix; None is its edge."""

    first: int | None
    end: int | None

    def __str__(self) -> str:
        return (
            f"[:,{'' if self.first is None else self.first}:{'' if self.end is None else self.end}]"
        )

    @property
    def slice(self) -> slice:
        """To index a matrix's columns with."""
        return slice(self.first, self.end)


def split_columns(name: str) -> tuple[str, Columns | None]:
    """`a.proj_out[:,3072:]` → `a.proj_out` and the columns from 3072."""
    found = _COLUMNS.search(name)
    if not found:
        return name, None
    first, end = (int(n) if n else None for n in found.groups())
    return name[: found.start()], Columns(first, end)


def split_component(name: str) -> tuple[str, str]:
    """`text_encoder/a.b` → `text_encoder` and `a.b`; the component of `a.b` is empty."""
    component, slash, layer = name.partition("/")
    return (component, layer) if slash else ("", name)


def bare(name: str) -> str:
    """`name` without the denoiser's component and `.weight`: the key of its layer."""
    component, layer = split_component(name)
    return (layer if component in DENOISERS else name).removesuffix(WEIGHT)


def unwrapped_name(name: str) -> str:
    """`name` without what wrappers put into it: `_orig_mod`, `module`, `base_layer`."""
    component, layer = split_component(name)
    return (f"{component}/" if component else "") + _WRAPPERS.sub("", layer)


def match_names(names: Iterable[str], there: Collection[str]) -> dict[str, str]:
    """{name: which of `there` it means}: itself, without wrappers, or with or without a prefix.

    The prefix is one that all have: transformers 5 calls `encoder.layers.0` what hub files call
    `text_model.encoder.layers.0`.
    """
    wanted = {n: n if n in there else unwrapped_name(n) for n in names}
    same = {n: m for n, m in wanted.items() if m in there}
    if len(same) == len(wanted):
        return same
    first = next(m for m in wanted.values() if m not in there)
    more = dict.fromkeys(t.removesuffix(first) for t in there if t.endswith(f".{first}"))
    less = dict.fromkeys(first.removesuffix(t) for t in there if first.endswith(f".{t}"))
    found = [{n: f"{p}{m}" for n, m in wanted.items()} for p in more]
    found += [{n: m.removeprefix(p) for n, m in wanted.items() if m.startswith(p)} for p in less]
    fits = [m for m in found if len(m) == len(wanted) and all(t in there for t in m.values())]
    return fits[0] if len(fits) == 1 else same


def kind_pattern(name: str) -> str:
    """`name` with the numbers of blocks as `*`: what the layers of all blocks have in common."""
    return re.sub(r"(?<!\.net)(^|[./])\d+(?=\.)", r"\1*", name)
