"""Tests never reach a model hub: everything they touch is built or shipped."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")
# The same pictures in every process: no timing decides how they are drawn.
os.environ["CONCEPTREVIVE_SAMPLING"] = "own"

from tests.families import CACHE

# Where a download of the tiny random pipelines would lie; set before anything reads it.
os.environ["HF_HUB_CACHE"] = str(CACHE)

import pytest

from tests.tiny import build_pipeline


@pytest.fixture(scope="session")
def tiny():
    """A tiny random StableDiffusionPipeline; tests leave its weights as they found them."""
    return build_pipeline()


@pytest.fixture(scope="session")
def tiny_folder(tiny, tmp_path_factory):
    """`tiny` as a pipeline folder with safetensors."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def one_thread():
    """Tiny tensors gain nothing from threads, and lose much where the cores are busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
