"""`list`: every name that other commands take, and the nearest of those that they do not."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint, EntryPoints
from typing import get_args

from conceptrevive import extensions
from conceptrevive.cli import main
from conceptrevive.cli.listing import LISTS
from conceptrevive.concepts.styles import styles_of
from conceptrevive.revival.defaults import SOLVERS
from conceptrevive.unlearning.defaults import METHODS
from tests.checkpoints.small import pipeline


def listed(capsys, *argv):
    assert main(["list", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_listed_is_what_other_commands_take(capsys):
    concepts = listed(capsys, "concepts")
    assert "gas pump" in concepts["pocket"] and "Van Gogh" in concepts["paper"]
    assert "garden" in listed(capsys, "scenes")["pocket"]
    styles = listed(capsys, "styles")
    assert all(tuple(names) == styles_of(table) for table, names in styles.items())
    assert tuple(listed(capsys, "solvers")) == SOLVERS
    assert tuple(listed(capsys, "locators")) == METHODS
    models = listed(capsys, "models")
    assert list(models)[:2] == ["pocket", "StableDiffusionPipeline"] and "FluxPipeline" in models
    assert all(models.values())


def test_what_packages_register_is_listed_after_what_is_shipped(capsys, monkeypatch):
    def entry_points(group):
        names = ("salun", "mine")  # the first is shipped, and stays what it is
        return EntryPoints(EntryPoint(n, "package.module:find", group) for n in names)

    monkeypatch.setattr(extensions, "entry_points", entry_points)
    there = listed(capsys, "locators")
    assert list(there) == [*METHODS, "mine"]
    assert there["mine"] == "registered: package.module:find"
    assert there["salun"].startswith("SalUn: ")


def test_every_kind_is_readable(capsys):
    for what in LISTS:
        assert main(["list", what]) == 0
        shown = capsys.readouterr().out
        assert shown.strip() and "{" not in shown


def test_unknown_kinds_get_the_nearest(capsys):
    assert main(["list", "solver"]) == 2
    assert capsys.readouterr().err == (
        "conceptrevive list: nothing is called 'solver' (did you mean 'solvers'?): list one of "
        f"{', '.join(LISTS)}\n"
    )


def test_extensions_can_be_listed():
    assert set(extensions.OPTIONS) == set(get_args(extensions.Kind))


def test_layers_of_a_model_are_listed_by_kind(capsys, tmp_path):
    folder = pipeline(tmp_path / "p")
    told = listed(capsys, "layers", str(folder))
    kinds = {kind["name"]: kind for kind in told["kinds"]}
    assert told["layers"] == sum(kind["count"] for kind in kinds.values()) == 14
    second = kinds["unet/down_blocks.*.attentions.*.transformer_blocks.*.ff.net.2"]
    assert (second["count"], second["shapes"]) == (2, [[32, 64]])
    assert second["presets"] == ["feed-forward", "linear", "all"]
    kernel = kinds["unet/down_blocks.*.resnets.*.conv1"]
    assert kernel["shapes"] == [[16, 8, 3, 3]] and kernel["presets"] == ["convolutions", "all"]
    assert any(
        n.startswith("text_encoder/") and k["presets"] == ["text-mlp"] for n, k in kinds.items()
    )
    assert main(["list", "layers", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "32 × 64  feed-forward, linear, all" in shown and "16 × 8 × 3 × 3  convolutions" in shown


def test_what_has_no_model_is_told(capsys):
    for argv, message in {
        ("styles", "pocket"): "styles are of no MODEL: leave 'pocket' out, or list its layers",
        ("layers", "--variant", "fp16"): "'fp16' is of a MODEL: name it after `list layers`",
        ("layers", "./nowhere"): "no folder './nowhere' here",
    }.items():
        assert main(["list", *argv]) == 2
        assert message in capsys.readouterr().err
