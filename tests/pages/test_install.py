"""A clean environment with the newest libraries: the install cell, as in Colab; wheel and sdist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

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


@dataclass
class Environment:
    """A virtual environment with torch and the package, and what it printed on the way."""

    folder: Path
    torch: str = ""

    @property
    def python(self):
        return str(self.folder / "env/bin/python")

    def run(self, *argv, cwd=None):
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HF_", "PIP_CONS"))
        }
        clean = kept | {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg"}
        done = subprocess.run(
            argv, cwd=cwd or self.folder, env=clean, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pip(self, *argv):
        return self.run(self.python, "-m", "pip", "install", "--quiet", *argv)


@pytest.fixture(scope="module")
def cell():
    """The install cell of the notebooks, of this commit instead of the release."""
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    text = INSTALL.format(slug=repository_slug(), tag=release_tag())
    address = f"git+https://github.com/{repository_slug()}@{release_tag()}"
    assert address in text
    return text.replace(address, f"git+file://{ROOT}@{head}")


@pytest.fixture(scope="module")
def clean(tmp_path_factory, cell):
    """Torch as it is in Colab, and what the install cell adds."""
    there = Environment(tmp_path_factory.mktemp("clean"))
    there.run(sys.executable, "-m", "venv", "env")
    there.pip(f"torch=={version('torch').partition('+')[0]}")
    there.torch = there.run(there.python, "-c", "import torch; print(torch.__version__)")
    there.run(there.python, "-c", cell)
    return there


@pytest.mark.slow
def test_the_install_cell_brings_everything_and_leaves_torch_alone(clean, cell):
    assert clean.run(clean.python, "-c", "import torch; print(torch.__version__)") == clean.torch
    printed = clean.run(clean.python, "-c", JOURNEY)
    assert f"torch           {clean.torch.strip()}" in printed
    clean.run(clean.python, "-c", cell.replace("git+file", "nowhere"))  # nothing is fetched twice


@pytest.mark.slow
def test_wheel_and_sdist_are_whole(clean):
    """The wheel is built from the sdist, so what one lacks the other lacks too."""
    clean.pip("build")
    dist = clean.folder / "dist"
    tracked = subprocess.run(
        ["git", "ls-files", "conceptrevive"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    source = clean.folder / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    clean.run(clean.python, "-m", "build", "--outdir", str(dist), str(source))
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert {n for n in inside if n.startswith("conceptrevive/")} == set(tracked)
    assert {n.rpartition("/")[2] for n in inside} >= {"LICENSE", "NOTICE", "entry_points.txt"}
    with tarfile.open(sdist) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    assert names >= {*tracked, "LICENSE", "NOTICE", "README.md", "pyproject.toml"}
    program = str(clean.folder / "env/bin/conceptrevive")
    for package in (sdist, wheel):
        clean.pip("--force-reinstall", "--no-deps", str(package))
        where = clean.run(clean.python, "-c", "import conceptrevive as c; print(c.__file__)")
        assert Path(where.strip()).is_relative_to(clean.folder / "env")
        assert clean.run(program, "--version").split()[0] == "conceptrevive"
    out = clean.folder / "demo"
    clean.run(program, "demo", "--out", str(out), "--images", "2", "--retained", "1")
    assert json.loads((out / "demo.json").read_text())["erased_top1"]
