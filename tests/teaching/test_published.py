"""Published results, from the checkout or from the repository at the release."""

from __future__ import annotations

import io
import json
import urllib.error

import pytest

from conceptrevive.errors import ConceptReviveError
from conceptrevive.teaching import published as module
from conceptrevive.teaching.published import (
    PublishedError,
    measured,
    provenance_line,
    published,
    published_file,
    published_json,
    repository,
)
from conceptrevive.teaching.versions import versions

MADE = {
    "command": "conceptrevive reproduce signs --profile smoke",
    "date": "2026-11-28T12:00:00+00:00",
    "device": "cpu",
    "threads": 1,
    "seed": 0,
    "versions": {"conceptrevive": "0.1.0", "torch": "2.13.0", "commit": "abc"},
}
STUDY = MADE | {
    "experiment": "signs",
    "shows": "Fig. 2",
    "profile": "smoke",
    "model": "pocket",
    "preset": "pocket",
    "sampling": "bfloat16",
    "entries": [],
    "pooled": {},
    "summary": {},
    "intervals": 0,
}


def test_a_result_of_the_checkout_is_read():
    found = published_json("pocket/quality")
    assert found == json.loads(published_file("pocket/quality.json").read_text())


def test_a_study_is_typed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_checkout", lambda: tmp_path)
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke/signs.json").write_text(json.dumps(STUDY))
    study = published("smoke/signs")
    assert study.experiment == "signs" and study.versions["commit"] == "abc"
    (tmp_path / "smoke/signs.json").write_text("{}")
    with pytest.raises(ConceptReviveError, match=r"signs\.json"):
        published("smoke/signs")


def test_what_is_not_measured_is_told_with_the_command_that_does(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "_checkout", lambda: tmp_path)
    assert measured("signs") is None
    assert capsys.readouterr().out == (
        "no results/laptop/signs.json here; this makes it:\n"
        "conceptrevive reproduce signs --profile laptop\n"
    )
    (tmp_path / "laptop").mkdir()
    (tmp_path / "laptop/signs.json").write_text(json.dumps(STUDY))
    study = measured("signs")
    assert study.shows == "Fig. 2" and capsys.readouterr().out == f"{provenance_line(study)}\n"
    (tmp_path / "laptop/signs.json").write_text("{}")
    with pytest.raises(ConceptReviveError, match=r"signs\.json"):
        measured("signs")


def test_what_is_missing_is_told_with_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_checkout", lambda: tmp_path)
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke/signs.json").write_text("{}")
    with pytest.raises(PublishedError, match=r"no published result .*: choose one of smoke/signs"):
        published("laptop/objects")


@pytest.mark.parametrize("name", ["../secret", "objects", "laptop/../x", "/etc/passwd", "a//b"])
def test_names_stay_below_the_results(name):
    with pytest.raises(PublishedError, match="names no published result"):
        published_file(name)


def test_without_a_checkout_the_release_is_asked_once(tmp_path, monkeypatch):
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        return io.BytesIO(b"{}")

    monkeypatch.setattr(module, "_checkout", lambda: None)
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(module, "version", lambda: "1.2.3")
    monkeypatch.setattr(module.urllib.request, "urlopen", urlopen)
    assert published_json("laptop/objects") == {} == published_json("laptop/objects")
    assert asked == [
        f"https://raw.githubusercontent.com/{repository()}/v1.2.3/results/laptop/objects.json"
    ]


def test_an_address_without_a_file_is_told(tmp_path, monkeypatch):
    def urlopen(url, timeout):
        raise urllib.error.HTTPError(url, 404, "Not Found", {}, None)

    monkeypatch.setattr(module, "_checkout", lambda: None)
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(module.urllib.request, "urlopen", urlopen)
    with pytest.raises(PublishedError, match=r"no published result at https://raw\..*404"):
        published("laptop/objects")
    assert not list(tmp_path.rglob("*.json"))


def test_provenance_fits_a_page():
    assert provenance_line(MADE) == (
        "Measured 2026-11-28 by `conceptrevive reproduce signs --profile smoke` (seed 0,\n"
        "cpu, 1 thread(s); conceptrevive 0.1.0 at abc, torch 2.13.0)."
    )
    with pytest.raises(PublishedError, match="these results lack command, seed"):
        provenance_line({k: v for k, v in MADE.items() if k not in ("command", "seed")})


def test_versions_are_printed(capsys):
    versions()
    printed = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert {"conceptrevive", "python", "torch", "diffusers"} <= printed.keys()
    assert printed["processor time"].endswith(" s")
