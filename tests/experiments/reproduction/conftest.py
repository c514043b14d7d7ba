"""Two concepts for the tiny model, and what `reproduce` needs to measure them."""

import pytest

from tests.experiments.reproduction.shared import CONCEPT


@pytest.fixture(scope="session")
def concepts(tmp_path_factory):
    """Two concepts, in prompts that the tiny model's tokenizer does not cut."""
    folder = tmp_path_factory.mktemp("concepts")
    files = [folder / f"{name}.yaml" for name in ("cat", "dog")]
    for file in files:
        file.write_text(CONCEPT.format(name=file.stem))
    return [str(file) for file in files]


@pytest.fixture(scope="session")
def options(tiny_folder, concepts):
    return {"model": str(tiny_folder), "concepts": concepts, "device": "cpu"}
