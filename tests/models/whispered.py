"""An adapter of one's own, as another package would have it."""

from conceptrevive import Adapter


class Whispered(Adapter):
    """Says something else than it was told."""

    def prompts(self, model, prompts):
        return {"prompt": [f"{prompt}, whispered" for prompt in prompts]}
