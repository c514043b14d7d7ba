"""The install cell in a clean environment with the newest libraries, as in Colab."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from pages.notebooks import INSTALL, release_tag, repository_slug
from pages.numbering import ROOT

JOURNEY = """
import torch
import conceptrevive as cr
from conceptrevive.teaching.moving import slider_pictures
from conceptrevive.teaching.published import PublishedError, published_file, repository
from conceptrevive.teaching.plots import use_theme
from conceptrevive.teaching.versions import versions

use_theme()
pipe = cr.load_pipeline("pocket")
concept = cr.get_concept("candle")
original = cr.read_weights(pipe)
masks = cr.locate(pipe, concept, tau=1)
revived = cr.revive(cr.prune(original, masks))
with cr.swapped(pipe, revived):
    pictures = cr.generate(pipe, concept.target_prompts[:2], steps=2)
assert "cr-moving" in slider_pictures(pictures, [1, 2], "A candle")._repr_html_()
try:
    published_file("laptop/objects")
except PublishedError as error:
    assert repository() in str(error), error
versions()
"""


@pytest.mark.slow
def test_the_install_cell_brings_everything_and_leaves_torch_alone(tmp_path):
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    cell = INSTALL.format(slug=repository_slug(), tag=release_tag())
    address = f"git+https://github.com/{repository_slug()}@{release_tag()}"
    assert address in cell
    cell = cell.replace(address, f"git+file://{ROOT}@{head}")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HF_", "PIP_CONS"))}
    clean |= {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg"}

    def run(*argv):
        done = subprocess.run(argv, cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", "env")
    python = str(tmp_path / "env/bin/python")
    torch = version("torch").partition("+")[0]
    run(python, "-m", "pip", "install", "--quiet", f"torch=={torch}")
    before = run(python, "-c", "import torch; print(torch.__version__)")
    run(python, "-c", cell)
    assert run(python, "-c", "import torch; print(torch.__version__)") == before
    printed = run(python, "-c", JOURNEY)
    assert f"torch           {before.strip()}" in printed
    run(python, "-c", cell.replace("git+file", "nowhere"))  # installed already: nothing is fetched
