"""What a pipeline hands over is pictures only if they are finite and nothing blackened them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.adapters.choosing import adapter_of
from conceptrevive.models.protocol import TextToImage


@contextmanager
def watched(model: TextToImage) -> Iterator[list[bool]]:
    """Yield a list that receives, for each picture drawn within the block, whether it is finite.

    A safety checker looks at the pictures first: of a pipeline that has one they are seen twice.

    The pixels are seen where the pipeline hands them to its image processor, before they are
    clamped (which hides infinities) and rounded (which turns NaN into black); nothing is changed.
    NumPy's own warning of NaN is silenced: what is not finite is told by `checked`. Of a pipeline
    without an image processor nothing is seen here.
    """
    finite: list[bool] = []
    processor: Any = getattr(model, "image_processor", None)
    if processor is None:
        yield finite
        return
    postprocess, own = processor.postprocess, vars(processor).get("postprocess")

    def watch(image: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(image, Tensor):
            finite.extend(torch.isfinite(image).flatten(1).all(1).tolist())
        with np.errstate(invalid="ignore"):
            return postprocess(image, *args, **kwargs)

    processor.postprocess = watch
    try:
        yield finite
    finally:
        if own is None:
            del processor.postprocess
        else:
            processor.postprocess = own


def checked(
    model: TextToImage,
    result: Any,
    finite: list[bool],
    prompts: Sequence[str],
    seeds: Sequence[int],
    first: int,
) -> list[Image.Image]:
    """The pictures of a pipeline's `result`, one per prompt.

    Args:
        finite: what `watched` saw of them, once or several times.
        first: the index of the first among all that are drawn.

    Raises:
        ConceptReviveError: there are not as many as prompts; or one is not finite, or was blackened
            by the safety checker: it says nothing of what the model draws.
    """
    adapter, count = adapter_of(model), len(prompts)
    with np.errstate(invalid="ignore"):
        images = adapter.pictures(model, result, finite)
    if len(images) != count or not finite or len(finite) % count:
        raise ConceptReviveError(
            f"{type(model).__name__} returned {len(images)} pictures for {count} prompts, "
            f"of which {len(finite)} passed its image_processor: give a text-to-image pipeline "
            "that draws one picture per prompt, or an Adapter whose `pictures` sees them"
        )
    flagged = getattr(result, "nsfw_content_detected", None) or [False] * len(images)
    blackens = getattr(model, "safety_checker", None) is not None
    for i, image in enumerate(images):
        where = f"picture {first + i} ({prompts[i]!r}, seed {seeds[i]})"
        if not all(finite[i::count]):
            raise ConceptReviveError(
                f"{where} is not finite (NaN or Inf), so it cannot be judged: load the model in "
                "float32 or bfloat16; if that does not help, its weights are damaged"
            )
        if flagged[i] or (blackens and not np.asarray(image).any()):
            raise ConceptReviveError(
                f"{where} was replaced by the safety checker, so it cannot be judged: "
                "set pipe.safety_checker = None"
            )
    return images


@torch.no_grad()
def decoded(
    model: TextToImage, latents: Float[Tensor, "pictures channels *latent"]
) -> list[Image.Image]:
    """Pictures of the latents at some denoising step, as the pipeline decodes those of the last."""
    adapter = adapter_of(model)
    pixels = adapter.decode(model, latents)
    with np.errstate(invalid="ignore"):
        return adapter.drawn(model, pixels)
