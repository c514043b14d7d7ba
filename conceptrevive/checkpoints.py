"""Folder to folder: rewrite the few tensors an operation changes, copy everything else as it is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from conceptrevive.errors import ConceptReviveError
from conceptrevive.files import replacing
from conceptrevive.models import CANDIDATES, Weights, resolve
from conceptrevive.provenance import version

COMPONENTS = ("unet", "transformer")
#: Of safetensors headers.
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def component_folder(folder: Path) -> Path:
    """The denoiser's folder within a pipeline folder, or `folder` itself if it is a component."""
    if not (folder / "model_index.json").exists():
        return folder
    for name in COMPONENTS:
        if (folder / name).is_dir():
            return folder / name
    raise ConceptReviveError(
        f"{folder} has neither a unet nor a transformer folder: give a diffusers text-to-image pipeline"
    )


def weight_files(component: Path) -> list[Path]:
    """The component's safetensors files, shards by their index. Raises ConceptReviveError if there are none."""
    indices = sorted(component.glob("*.safetensors.index.json"))
    if indices:
        names = sorted(set(json.loads(indices[0].read_text())["weight_map"].values()))
        files = [component / n for n in names]
        for f in files:
            if f.resolve().parent != component.resolve():
                raise ConceptReviveError(
                    f"{indices[0]} points outside its folder ({f.name}): do not use this checkpoint"
                )
            if not f.exists():
                raise ConceptReviveError(f"{f} is missing, though {indices[0].name} names it: download the model again")
        return files
    plain = component / "diffusion_pytorch_model.safetensors"
    files = [plain] if plain.exists() else sorted(component.glob("*.safetensors"))
    if not files:
        raise ConceptReviveError(
            f"{component} holds no .safetensors weights: pickle files (.bin, .ckpt) are not read; "
            "save the model again with save_pretrained(…, safe_serialization=True)"
        )
    return files


def local_folder(model: str | os.PathLike, revision: str | None = None) -> Path:
    """The folder of `pocket`, a local folder, or a hub model (downloaded, safetensors only)."""
    source = resolve(model)
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        patterns = ["*.json", "*.txt", "*.model", "*.safetensors"]
        return Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except (OSError, HfHubHTTPError, ValueError) as e:
        reason = " ".join(str(e).split())[:200]
        raise ConceptReviveError(f"cannot download {source!r}: {reason}") from e


def read_candidates(folder: Path, names=None) -> Weights:
    """{module name: weight} of the feed-forward layers (or of `names`) in a pipeline or component folder."""
    out: Weights = {}
    for file in weight_files(component_folder(folder)):
        try:
            with safe_open(file, "pt") as f:
                for key in f.keys():
                    module = key.removesuffix(".weight")
                    wanted = module.endswith(CANDIDATES) if names is None else module in names
                    if key != module and wanted:
                        out[module] = f.get_tensor(key)
        except (SafetensorError, OSError) as e:
            raise ConceptReviveError(f"cannot read {file} ({e}): the file is damaged, download it again") from e
    absent = sorted(set(names or ()) - set(out))
    if absent:
        raise ConceptReviveError(f"{absent[0]}: {folder} has no such layer: locate on this model first")
    if not out:
        raise ConceptReviveError(
            f"{folder} has no feed-forward layer {CANDIDATES!r}: is it a diffusion transformer or UNet?"
        )
    return out


def edit_folder(
    model: str | os.PathLike, out: str | os.PathLike, edit: Callable[[Weights], Weights], *, note: dict,
    names=None, revision: str | None = None,
) -> Weights:  # fmt: skip
    """Copy a model's folder to `out` with the weights that `edit` returns; nothing is left behind on failure.

    Args:
        edit: gets {module name: weight} and returns those to write, same shapes and dtypes.
        note: what was done, for the changed files' metadata.
        names: modules to hand to `edit`; None takes every feed-forward candidate.

    Returns: the weights written.
    """
    source, out = local_folder(model, revision), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConceptReviveError(f"{out} exists already: choose another --out or remove it")
    changed = edit(read_candidates(source, names))
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(
            source, temporary, ignore=shutil.ignore_patterns("*.bin", "*.ckpt", "*.pt", "*.msgpack", ".git*")
        )
        for file in weight_files(component_folder(temporary)):
            _rewrite(file, changed, note)
        if out.exists():
            out.rmdir()
        os.replace(temporary, out)
    except OSError as e:
        raise ConceptReviveError(
            f"cannot write {out} ({e.strerror or e}): choose a writable place with enough room"
        ) from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return changed


def _rewrite(file: Path, changed: Weights, note: dict) -> None:
    """Write `changed` into one safetensors file; everything else is copied byte by byte and never in memory."""
    with safe_open(file, "pt") as f:  # checks the header
        keys = {k for k in f.keys() if k.removesuffix(".weight") in changed and k.endswith(".weight")}
    if not keys:
        return
    with replacing(file) as temporary, open(file, "rb") as old, open(temporary, "wb") as new:
        header = json.loads(old.read(int.from_bytes(old.read(8), "little")))
        metadata = header.setdefault("__metadata__", {"format": "pt"})
        metadata["conceptrevive"] = json.dumps(note | {"version": version()})
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        new.write(len(text).to_bytes(8, "little") + text)
        start = new.tell()
        shutil.copyfileobj(old, new, 1 << 20)
        for key in keys:
            new.seek(start + header[key]["data_offsets"][0])
            weight = changed[key.removesuffix(".weight")].cpu().to(DTYPES[header[key]["dtype"]]).contiguous()
            new.write(weight.view(torch.uint8).numpy().tobytes())
