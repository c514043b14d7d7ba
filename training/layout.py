"""Names and files as hub folders have them, which every supported transformers reads.

    python -m training.layout    # of what is shipped

From version 5 on transformers writes CLIP's text encoder without the prefix `text_model.` and
tokenizers as `tokenizer.json` alone. Earlier ones do not read the latter, and take the former for
another model's: they go on with random weights. All read both of what is written here.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from conceptrevive.files import ASSETS, replacing

PREFIX = "text_model."


def name_text_encoder(path: Path) -> None:
    """Give the tensors of a text encoder's file the hub's names; the tensors stay as they are."""
    with safe_open(path, "pt") as f:
        tensors = {name: f.get_tensor(name) for name in f.keys()}
        metadata = f.metadata()
    named = {PREFIX + name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    if named.keys() != tensors.keys():
        with replacing(path) as temporary:
            save_file(named, temporary, metadata=metadata)


def write_vocabulary(folder: Path) -> None:
    """Write `vocab.json` and `merges.txt` from the `tokenizer.json` beside them."""
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    files = {
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False) + "\n",
        "merges.txt": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]),
    }
    for name, text in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    name_text_encoder(ASSETS / "pocket/text_encoder/model.safetensors")
    write_vocabulary(ASSETS / "pocket/tokenizer")
    write_vocabulary(ASSETS / "clip")
