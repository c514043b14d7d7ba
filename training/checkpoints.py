"""What a run needs to go on, and what it hands over: written aside, then renamed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import replacing
from training.optimisation import Averages

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Past:
    """How far training has come, over all stages; what `training.json` says.

    Attributes:
        step, pictures, minutes: in all. total_decay: Σ learning rate × `decay`.
        stages: name, steps, pictures and minutes of each stage that is known, the last one running.
    """

    step: int = 0
    pictures: int = 0
    minutes: float = 0.0
    total_decay: float = 0.0
    stages: tuple[dict[str, Any], ...] = field(default=())

    @classmethod
    def read(cls, path: Path) -> Past:
        """From `training.json`. Raises ConceptReviveError where it is not one."""
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            return cls(**note | {"stages": tuple(note.get("stages", ()))})
        except (OSError, ValueError, TypeError, AttributeError) as e:
            raise ConceptReviveError(
                f"{path} does not say how far training has come ({e}): "
                "give a pipeline folder that training wrote"
            ) from e

    def begin(self, stage: str) -> Past:
        """With a new stage at the end of the list."""
        new = {"name": stage, "steps": 0, "pictures": 0, "minutes": 0.0}
        return replace(self, stages=(*self.stages, new))

    @property
    def current(self) -> dict[str, Any]:
        """The running stage."""
        return self.stages[-1]

    def add(self, pictures: int, minutes: float, decay: float) -> Past:
        """After one more step."""
        now = self.current
        now = now | {
            "steps": now["steps"] + 1,
            "pictures": now["pictures"] + pictures,
            "minutes": now["minutes"] + minutes,
        }
        return Past(
            self.step + 1,
            self.pictures + pictures,
            self.minutes + minutes,
            self.total_decay + decay,
            (*self.stages[:-1], now),
        )

    def write(self, path: Path) -> None:
        """As JSON."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


def save_checkpoint(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    averages: Averages,
    past: Past,
) -> None:
    """Parameters, averages and moments by name, and the past in the file's header."""
    tensors = {}
    for name, p in parameters.items():
        tensors[f"param.{name}"] = p.detach()
        tensors[f"ema.{name}"] = averages.values[name]
        for key in MOMENTS:
            if p in optimiser.state:
                tensors[f"{key}.{name}"] = optimiser.state[p][key]
    tensors = {name: t.contiguous() for name, t in tensors.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"past": json.dumps(asdict(past))})


@torch.no_grad()
def load_checkpoint(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    averages: Averages,
) -> Past:
    """Restore what `save_checkpoint` wrote."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        note = json.loads(file.metadata()["past"])
    past = Past(**note | {"stages": tuple(note["stages"])})
    tensors = load_file(path)
    for name, p in parameters.items():
        p.copy_(tensors[f"param.{name}"])
        averages.values[name].copy_(tensors[f"ema.{name}"])
        if f"exp_avg.{name}" in tensors:
            moments = {key: torch.empty_like(p).copy_(tensors[f"{key}.{name}"]) for key in MOMENTS}
            steps = torch.tensor(float(past.current["steps"]))
            optimiser.state[p] = {"step": steps, **moments}
    return past
