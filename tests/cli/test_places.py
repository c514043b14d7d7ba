"""Where commands write is tried before they work, and what is not theirs is never replaced."""

import os

import pytest

import conceptrevive as cr
from conceptrevive.cli import main
from conceptrevive.cli.places import check_file, check_folder, check_new, holds, holds_keys

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX's special files")


def ours(_path):
    return True


def everything(folder):
    return sorted(p.relative_to(folder) for p in folder.rglob("*"))


@pytest.mark.parametrize("name", ["new", "a/b/c/new"])
def test_trying_leaves_nothing(tmp_path, name):
    (tmp_path / "a").mkdir()
    check_file("--out", str(tmp_path / name), is_ours=ours, what="thing")
    check_new("--out", str(tmp_path / name))
    check_folder("--out", str(tmp_path / name), files={"x": ours}, what="x")
    assert [str(p) for p in everything(tmp_path)] == ["a"]


@pytest.mark.parametrize("name", ["", "  ", "a\0b"])
def test_names_that_are_none(name):
    for check in (
        lambda: check_file("--out", name, is_ours=ours, what="thing"),
        lambda: check_new("--out", name),
        lambda: check_folder("--out", name, files={}, what="things"),
    ):
        with pytest.raises(cr.ConceptReviveError, match=r"^--out is .*: give the name of what"):
            check()


@pytest.mark.parametrize("name", ["/proc/nope/out", "/dev/null/out", "/proc/out"])
def test_places_that_cannot_be_written(name):
    for check in (
        lambda: check_file("--out", name, is_ours=ours, what="thing"),
        lambda: check_new("--out", name),
    ):
        with pytest.raises(cr.ConceptReviveError, match=f"{name}.*: choose a writable place"):
            check()


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(cr.ConceptReviveError, match="File name too long"):
        check_new("--out", str(tmp_path / ("x" * 300)))


def test_only_what_is_ours_is_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a thing of mine")
    check_file("--out", str(path), is_ours=holds(b"of mine"), what="thing")
    with pytest.raises(cr.ConceptReviveError, match="exists and is no report: choose another name"):
        check_file("--out", str(path), is_ours=holds(b"of yours"), what="report")
    assert path.read_bytes() == b"a thing of mine"
    path.write_bytes(b"")
    check_file("--out", str(path), is_ours=holds(b"of yours"), what="report")
    with pytest.raises(cr.ConceptReviveError, match="is a folder: name the report to write"):
        check_file("--out", str(tmp_path), is_ours=ours, what="report")
    with pytest.raises(cr.ConceptReviveError, match="/dev/null is no plain file"):
        check_file("--out", "/dev/null", is_ours=ours, what="report")
    with pytest.raises(cr.ConceptReviveError, match="is a file: name the folder for things"):
        check_folder("--out", str(path), files={}, what="things")


@pytest.mark.parametrize(
    ("text", "right"),
    [('{"a": 1, "b": 2}', True), ('{"a": 1}', False), ("[1]", False), ("no", False), ("", False)],
)
def test_json_with_keys(tmp_path, text, right):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert holds_keys("a", "b")(path) is right
    assert holds_keys("a", "b")(tmp_path / "absent") is False


# --- the commands ---


@pytest.fixture
def never(monkeypatch):
    """No work is begun: neither a model is loaded nor a demo run."""
    import conceptrevive.experiments.demo as demo
    import conceptrevive.models.pipeline as pipeline

    monkeypatch.setattr(pipeline, "load_pipeline", lambda *_, **__: pytest.fail("loaded"))
    monkeypatch.setattr(demo, "demo", lambda *_, **__: pytest.fail("run"))


def refused(capsys, *argv):
    assert main([str(a) for a in argv]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    return shown.err


@pytest.mark.parametrize("command", [["locate", "pocket", "--concept", "cat"], ["demo"]])
@pytest.mark.parametrize("out", ["", "/proc/nope/m.safetensors", "/dev/null/x"])
def test_before_the_work(command, out, never, capsys):
    line = refused(capsys, *command, "--out", out)
    assert (
        "choose a writable place" in line or "give the name of what" in line or "is a file" in line
    )


def test_locate_replaces_no_other_file(never, tmp_path, capsys):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    line = refused(capsys, "locate", "pocket", "--concept", "cat", "--out", weights)
    assert "weights.safetensors exists and is no mask file: choose another name" in line
    assert weights.read_bytes() == b"\x02\0\0\0\0\0\0\0{}"


def test_demo_replaces_no_other_file(never, tmp_path, capsys):
    for name, text in {"demo.json": "{}", "demo.png": "a picture"}.items():
        (tmp_path / name).write_text(text)
        line = refused(capsys, "demo", "--out", tmp_path)
        assert f"{name} exists and is no file of demo.png and demo.json" in line
        (tmp_path / name).unlink()


def test_audit_replaces_no_other_file(tmp_path, capsys):
    other = tmp_path / "notes.html"
    other.write_text("<title>My notes</title>")
    line = refused(capsys, "audit", "pocket", "--html", other)
    assert "notes.html exists and is no report" in line
    assert other.read_text() == "<title>My notes</title>"


@pytest.mark.parametrize(
    "command", [["locate", "pocket", "--concept", "cat", "--out", "m"], ["demo"]]
)
def test_seeds_of_located_noise(command, never, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command, "--seed", "1000000"])
    assert end.value.code == 2
    assert "'1000000' is no seed: give a whole number from 0 to 999999" in capsys.readouterr().err


def test_every_seed_that_derives_from_the_largest_fits(capsys):
    import torch

    from conceptrevive.evaluation.outcomes import evaluation_seed
    from conceptrevive.models.seeds import EVALUATION_SEED, LARGEST_SEED

    last = evaluation_seed(LARGEST_SEED) + EVALUATION_SEED
    assert last < 1 << 63 and torch.Generator().manual_seed(last).initial_seed() == last
    for seed in (
        LARGEST_SEED + 1,
        9223372036854775807,
        1 << 70,
        "１２",
        "1e3",
        "1_000",
        " 1",
        "-0",
    ):
        with pytest.raises(SystemExit):
            main(["evaluate", "pocket", "--concept", "cat", "--seed", str(seed)])
        assert (
            f"is no seed: give a whole number from 0 to {LARGEST_SEED}" in capsys.readouterr().err
        )
