"""What stands beside the code says what the code says."""

from __future__ import annotations

import re
import tomllib

import yaml

from conceptrevive.checkpoints.formats import PICKLES
from conceptrevive.extensions import OPTIONS
from pages.notebooks import book_url, repository_slug
from pages.numbering import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_citation_is_of_this_version_and_this_paper():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == PROJECT["version"] and cited["license"] == PROJECT["license"]
    assert [a["name"] for a in cited["authors"]] == [a["name"] for a in PROJECT["authors"]]
    assert cited["repository-code"] == f"https://github.com/{repository_slug()}"
    assert cited["url"] == book_url()
    (paper,) = cited["references"]
    entry = (ROOT / "book/references.bib").read_text(encoding="utf-8")
    entry = entry[entry.index("{zhang2026roots,") :].partition("\n}\n")[0]
    names = " and ".join(f"{a['given-names']} {a['family-names']}" for a in paper["authors"])
    assert all(part in entry for part in (names, paper["title"], paper["url"]))


def test_the_oldest_versions_are_those_that_the_project_allows():
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    lora = PROJECT["optional-dependencies"]["lora"]
    floors = dict(d.split(">=") for d in [*PROJECT["dependencies"], *lora])
    assert set(oldest) == {"diffusers", "peft", "torch", "transformers"}
    assert all(version.removesuffix(".0") == floors[name] for name, version in oldest.items())


def test_the_changelog_has_this_version():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", changes, re.M)[:2] == ["Unreleased", PROJECT["version"]]


def test_the_security_page_names_what_the_code_refuses_and_runs():
    said = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert all(f"`{suffix}`" in said for suffix in PICKLES)
    assert all(f"`--{option}`" in said for option in OPTIONS.values())
