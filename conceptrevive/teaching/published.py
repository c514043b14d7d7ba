"""Published results: from the checkout, or from the repository at the installed release."""

from __future__ import annotations

import json
import re
import tempfile
import textwrap
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.reproduction.study import Study
from conceptrevive.files import replacing
from conceptrevive.version import version

#: A file below results/: folders, a name, and perhaps an ending.
NAME = re.compile(r"[a-z0-9][\w-]*(/[\w-]+)+(\.(json|csv|png))?")
SECONDS = 60.0


class PublishedError(ConceptReviveError):
    """A published result that is neither in the checkout nor in the repository."""


def published(name: str) -> Study:
    """The study of a name such as `laptop/objects`.

    Raises PublishedError if there is none, ConceptReviveError if the file is not a whole study.
    """
    return Study.read(published_file(name))


def measured(experiment: str) -> Study | None:
    """The laptop's study of an experiment, with a line on how it came about.

    Where it is not at hand it prints the command that makes it, and returns None.

    Args:
        experiment: as `conceptrevive reproduce` takes it, such as `objects`.

    Raises ConceptReviveError if the file is there, but is not a whole study.
    """
    try:
        study = published(f"laptop/{experiment}")
    except PublishedError:
        print(f"no results/laptop/{experiment}.json here; this makes it:")
        print(f"conceptrevive reproduce {experiment} --profile laptop")
        return None
    print(provenance_line(study))
    return study


def published_json(name: str) -> dict[str, Any]:
    """A published file that is not a study, such as `audit/rates`, as it stands."""
    path = published_file(name)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PublishedError(f"{path} is not JSON ({error}): get the file again") from None
    if not isinstance(found, dict):
        raise PublishedError(f"{path} holds a {type(found).__name__}, not an object with names")
    return found


def published_file(name: str) -> Path:
    """Where a published file lies on this machine; it is fetched first if that is needed.

    Args:
        name: below `results/`; an ending of `.json` may be left out.

    Raises PublishedError naming what there is, or the address that gave no file.
    """
    if not NAME.fullmatch(name):
        raise PublishedError(f"{name!r} names no published result: give one such as laptop/objects")
    name = name if "." in name else f"{name}.json"
    folder = _checkout()
    if folder is None:
        return _fetched(name)
    path = folder / name
    if not path.is_file():
        there = sorted(p.relative_to(folder).with_suffix("") for p in folder.rglob("*.json"))
        raise PublishedError(
            f"no published result {path}: choose one of {', '.join(map(str, there)) or 'none'}, "
            "or measure it with `conceptrevive reproduce`"
        )
    return path


def _checkout() -> Path | None:
    """The folder `results` of the checkout that this package is run from; None of a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root / "results" if (root / "pyproject.toml").is_file() else None


def repository() -> str:
    """`owner/name` on GitHub, from the installed package's own metadata."""
    try:
        urls = metadata("conceptrevive").get_all("Project-URL") or []
    except PackageNotFoundError:
        urls = []
    for label, _, url in (str(line).partition(", ") for line in urls):
        if label == "Repository":
            return url.removeprefix("https://github.com/").strip("/")
    raise PublishedError("the package does not say where its repository is: install it with pip")


def _fetched(name: str) -> Path:
    """A file of the repository at this release's tag, kept in the temporary folder."""
    tag = f"v{version()}"
    path = Path(tempfile.gettempdir(), "conceptrevive-results", tag, name)
    if path.is_file():
        return path
    url = f"https://raw.githubusercontent.com/{repository()}/{tag}/results/{name}"
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            body = answer.read()
    except (urllib.error.URLError, TimeoutError) as error:
        raise PublishedError(
            f"no published result at {url} ({error}): check the name and the connection, or run "
            "from a checkout of the repository"
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(body)
    return path


def provenance_line(made: Study | Mapping[str, Any]) -> str:
    """How published numbers came about, in lines of 80 columns.

    Command, date, device, versions and seed.

    Args:
        made: a study, or the contents of a file that carries the same fields.
    """
    told = vars(made) if isinstance(made, Study) else dict(made)
    missing = {"command", "date", "device", "versions", "seed"} - told.keys()
    if missing:
        raise PublishedError(f"these results lack {', '.join(sorted(missing))}: measure them again")
    versions = told["versions"]
    commit = f" at {versions['commit']}" if "commit" in versions else ""
    threads = f", {told['threads']} thread(s)" if "threads" in told else ""
    return textwrap.fill(
        f"Measured {str(told['date'])[:10]} by `{told['command']}` (seed {told['seed']}, "
        f"{told['device']}{threads}; conceptrevive {versions['conceptrevive']}{commit}, "
        f"torch {versions['torch']}).",
        80,
        break_long_words=False,
        break_on_hyphens=False,
    )
