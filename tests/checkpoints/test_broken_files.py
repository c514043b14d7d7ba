"""Nothing a bad file does ends in a traceback, a pickle load or half a model: exit 2, one line."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file, save_file

import conceptrevive as cr
from conceptrevive.cli import main
from tests.checkpoints.broken import (
    KEY,
    PASSED_OVER,
    UNREADABLE,
    UNUSABLE,
    unreadable_permissions,
    weights,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def snapshot(folder):
    """Everything below a folder, links not followed."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def bits(x):
    return x.contiguous().reshape(-1).view(torch.uint8).tolist()


def refused(capsys, tmp_path, *argv):
    """Run a command that must fail without a trace; return its one line."""
    before = snapshot(tmp_path)
    code = main([str(a) for a in argv])
    out = capsys.readouterr()
    assert code == 2
    assert out.out == ""
    assert out.err.count("\n") == 1 and len(out.err) < 700, out.err
    assert out.err.isprintable() or out.err[:-1].isprintable()
    assert ": " in out.err
    assert snapshot(tmp_path) == before
    return out.err


@pytest.fixture
def masks(tmp_path):
    path = tmp_path / "masks.safetensors"
    cr.MaskSet(
        {
            n.removesuffix(".weight"): torch.rand(w.shape) < 0.1
            for n, w in weights().items()
            if w.ndim == 2
        }
    ).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def commands(path, tmp_path, masks):
    out = tmp_path / "out.safetensors"
    return [
        ("revive", path, "--out", out),
        ("prune", path, "--masks", masks, "--out", out),
        ("obfuscate", path, "--masks", masks, "--out", out),
    ]


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read(case, folder, tmp_path, masks, capsys):
    write, message = UNREADABLE[case]
    path = write(folder)
    for argv in [
        ("audit", path),
        ("audit", path, "--html", tmp_path / "r.html"),
        *commands(path, tmp_path, masks),
    ]:
        line = refused(capsys, tmp_path, *argv)
        assert message in line
        assert str(folder) in line


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_changed(case, folder, tmp_path, masks, capsys):
    write, message = UNUSABLE[case]
    path = write(folder)
    for argv in commands(path, tmp_path, masks)[1:]:
        line = refused(capsys, tmp_path, *argv)
        assert message in line and str(path) in line
    if case in ("NaN", "Inf"):
        out = tmp_path / "out.safetensors"
        assert message in refused(capsys, tmp_path, "revive", path, "--out", out)


@pytest.mark.parametrize("case", PASSED_OVER)
def test_a_layer_that_cannot_be_revived_does_not_stop_the_others(case, folder, tmp_path, capsys):
    write, message = PASSED_OVER[case]
    path, out = write(folder), tmp_path / "out.safetensors"
    assert main(["revive", str(path), "--out", str(out), "--json"]) == 0
    told = capsys.readouterr()
    assert message in told.err and told.err.count("\n") == 1
    assert list(json.loads(told.out)["per_layer"]) == ["b.ff.net.2"]
    before, after = load_file(path), load_file(out)
    assert bits(after[KEY]) == bits(before[KEY])
    assert (after["b.ff.net.2.weight"] == 0).sum() < (before["b.ff.net.2.weight"] == 0).sum()


@pytest.mark.parametrize("case", PASSED_OVER)
def test_where_no_layer_can_be_revived_it_is_an_error(case, folder, tmp_path, capsys):
    write, message = PASSED_OVER[case]
    path, out = write(folder), tmp_path / "out.safetensors"
    save_file({KEY: load_file(path)[KEY]}, path)
    line = refused(capsys, tmp_path, "revive", path, "--out", out)
    packed = case in ("integers", "eight bits")
    remedy = "give the model as it was before it was quantised" if packed else "give --masks"
    assert message in line and str(path) in line and remedy in line


def test_a_folder_of_two_variants(folder, tmp_path, masks, capsys):
    """One model's weights must not end up in the other's file."""
    for i, variant in enumerate(("fp16", "non_ema")):
        w = torch.randn(16, 64, generator=torch.Generator().manual_seed(i))
        save_file(weights() | {KEY: w}, folder / f"model.{variant}.safetensors")
    for argv in commands(folder, tmp_path, masks):
        line = refused(capsys, tmp_path, *argv)
        assert f"{folder} holds weights only as the variants fp16, non_ema: choose one" in line


def test_a_folder_of_two_models(folder, tmp_path, masks, capsys):
    for i, name in enumerate(("one", "two")):
        w = torch.randn(16, 64, generator=torch.Generator().manual_seed(i))
        save_file(weights() | {KEY: w}, folder / f"{name}.safetensors")
    for argv in commands(folder, tmp_path, masks):
        line = refused(capsys, tmp_path, *argv)
        assert f"tensor '{KEY}' stands in another file of {folder} too" in line


def test_a_base_that_cannot_be_read_or_does_not_belong(folder, tmp_path, capsys):
    path = folder / "model.safetensors"
    save_file(weights(), path)
    cut = folder / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-9])
    assert "cut.safetensors" in refused(capsys, tmp_path, "audit", path, "--base", cut)
    save_file({"w": torch.randn(9, 9)}, cut)
    assert "shares no tensor name" in refused(capsys, tmp_path, "audit", path, "--base", cut)
    save_file(weights() | {KEY: torch.randn(16, 63)}, cut)
    assert f"tensor '{KEY}' is [16, 64], in" in refused(
        capsys, tmp_path, "audit", path, "--base", cut
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads any file")
def test_a_file_without_permission(folder, tmp_path, capsys):
    assert "Permission denied" in refused(capsys, tmp_path, "audit", unreadable_permissions(folder))


def test_a_file_that_cannot_be_opened(folder, tmp_path, masks, capsys, monkeypatch):
    """What a missing permission does, also for root."""
    import builtins

    path = folder / "model.safetensors"
    save_file(weights(), path)
    real = open

    def refuse(file, *args, **kwargs):
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", refuse)
    for argv in [("audit", path), *commands(path, tmp_path, masks)]:
        assert f"cannot read {path} (Permission denied)" in refused(capsys, tmp_path, *argv)


def test_masks_of_other_shapes_and_names(folder, tmp_path, capsys):
    path, masks = folder / "model.safetensors", tmp_path / "other.safetensors"
    save_file(weights(), path)
    for module, shape, message in (
        ("a.ff.net.2", (16, 63), "mask (16, 63) does not fit weight (16, 64)"),
        ("z.ff.net.2", (16, 64), "z.ff.net.2:"),
    ):
        mask = torch.arange(shape[0] * shape[1]).reshape(shape) % 9 == 0
        cr.MaskSet({module: mask, "b.ff.net.2": torch.ones(16, 64) == 0}).save(masks)
        for command in ("prune", "obfuscate", "revive"):
            line = refused(
                capsys,
                tmp_path,
                command,
                path,
                "--masks",
                masks,
                "--out",
                tmp_path / "o.safetensors",
            )
            assert message in line and str(path) in line


def test_control_characters_in_names_stay_on_one_line(folder, tmp_path, capsys):
    path = folder / "model.safetensors"
    save_file({"bad\n\x1b[31m.ff.net.2.weight": torch.full((8, 8), torch.nan)}, path)
    line = refused(capsys, tmp_path, "revive", path, "--out", tmp_path / "o.safetensors")
    assert "\x1b" not in line
    assert main(["audit", str(path), "--html", str(tmp_path / "r.html")]) == 2
    assert "\x1b" not in capsys.readouterr().out
    assert "\x1b" not in (tmp_path / "r.html").read_text()


def test_file_names_that_are_no_utf8(folder, tmp_path, capsys):
    path = os.fsencode(folder) + b"/\xff.safetensors"
    good = folder / "good.safetensors"
    save_file(weights(), good)
    try:
        os.rename(good, path)
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    name = os.fsdecode(path)
    for argv in (["audit", name, "--html", str(tmp_path / "r.html")], ["audit", name, "--json"]):
        assert main(argv) == 1
        capsys.readouterr().out.encode()
    assert main(["revive", name, "--out", str(tmp_path / "out.safetensors")]) == 0


def test_fully_pruned_rows_and_columns_are_left_at_zero(folder, tmp_path, capsys):
    path, out = folder / "model.safetensors", tmp_path / "out.safetensors"
    w = weights()
    w[KEY][2], w[KEY][:, 7] = 0, 0
    save_file(w, path)
    assert main(["revive", str(path), "--out", str(out)]) == 0
    err = capsys.readouterr().err
    assert (
        err.count("\n") == 1
        and "a.ff.net.2: 1 fully pruned rows have nothing to go by and stay 0" in err
    )
    assert (load_file(out)[KEY][2] == 0).all()


@pytest.fixture
def limited():
    """A limit on the size of files stands for a full disk: the write fails halfway."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def large(folder):
    """A checkpoint of 170 kB."""
    save_file(weights() | {"more": torch.zeros(40_000)}, folder / "model.safetensors")
    return folder / "model.safetensors"


def test_a_full_disk(large, tmp_path, masks, limited, capsys):
    for argv in commands(large, tmp_path, masks):
        line = refused(capsys, tmp_path, *argv)
        assert "out.safetensors (File too large): choose a writable place" in line


def test_a_full_disk_while_copying_a_folder(large, tmp_path, limited, capsys):
    (large.parent / "config.json").write_text("{}")
    assert "(File too large)" in refused(
        capsys, tmp_path, "revive", large.parent, "--out", tmp_path / "out"
    )


@contextmanager
def stopped_while_writing(path, out):
    """A `revive` that has written its temporary file and waits there."""
    script = (
        "import sys, time\n"
        "from conceptrevive import cli\nfrom conceptrevive.checkpoints import editing\n"
        "real = editing.rewrite\n"
        "def slow(header, target, *rest):\n"
        "    real(header, target, *rest)\n"
        "    print('written', flush=True)\n"
        "    time.sleep(60)\n"
        "editing.rewrite = slow\n"
        "sys.exit(cli.main())\n"
    )
    argv = [sys.executable, "-c", script, "revive", str(path), "--out", str(out)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "written\n"
        yield process


def test_killed_while_writing(folder, tmp_path):
    """No output appears, and the next run removes what the killed one left."""
    path, out = folder / "model.safetensors", tmp_path / "out.safetensors"
    save_file(weights(), path)
    with stopped_while_writing(path, out) as process:
        assert len(list(tmp_path.glob(".out.safetensors.*.tmp"))) == 1
        process.send_signal(signal.SIGKILL)
    time.sleep(0.05)
    assert not out.exists()
    assert main(["revive", str(path), "--out", str(out)]) == 0
    assert not list(tmp_path.glob(".*.tmp"))
    assert load_file(out).keys() == weights().keys()


def test_terminated_while_writing(folder, tmp_path):
    """Nothing is left, not even a temporary file."""
    path, out = folder / "model.safetensors", tmp_path / "out.safetensors"
    save_file(weights(), path)
    with stopped_while_writing(path, out) as process:
        process.terminate()
        assert process.wait() == 143
    assert not out.exists() and not list(tmp_path.glob(".*.tmp"))
