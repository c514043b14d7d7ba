"""The last resort: every ending has a true exit code and one line."""

import os
import signal
import subprocess
import sys
import warnings

import pytest

from conceptrevive.cli.handler import exit_code, guarded
from conceptrevive.errors import ConceptReviveError


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConceptReviveError("tau is 9:\n take less"), 2, "x: tau is 9: take less"),
        (ConceptReviveError("name \x1b[31mRED\x07"), 2, r"x: name \x1b[31mRED\x07"),
        (
            OSError(28, "No space left on device", "/a/b"),
            2,
            "x: No space left on device (/a/b): check the path, its permissions and the room",
        ),
        (MemoryError(), 2, "x: out of memory: close other programs, or take a machine with more"),
        (
            KeyError("unet"),
            2,
            "x: KeyError: 'unet' (unexpected; CONCEPTREVIVE_DEBUG=1 shows where)",
        ),
        (
            RecursionError(),
            2,
            "x: RecursionError (unexpected; CONCEPTREVIVE_DEBUG=1 shows where)",
        ),
        (UserWarning("odd"), 2, "x: UserWarning: odd (unexpected; CONCEPTREVIVE_DEBUG=1 shows"),
        (SystemExit(1), 2, "x: a library ended the program with 1"),
        (SystemExit("bye"), 2, "x: a library ended the program with 'bye'"),
        (KeyboardInterrupt(), 130, "x: interrupted, nothing was left half-written"),
        (GeneratorExit(), 2, "x: GeneratorExit (unexpected; CONCEPTREVIVE_DEBUG=1 shows where)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_happens(error, code, line, capsys):
    assert exit_code("x", raising(error)) == code
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith(line) and shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"), [(SystemExit(0), 0), (SystemExit(143), 143), (BrokenPipeError(32, "x"), 141)]
)
def test_endings_without_a_word(error, code, capsys):
    assert exit_code("x", raising(error)) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("result", "code"), [(None, 0), ("text", 0), (0, 0), (1, 1), (2, 2)])
def test_a_command_may_choose_its_exit_code(result, code):
    assert guarded("x", lambda: result)() == code


def test_the_traceback_is_shown_where_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("CONCEPTREVIVE_DEBUG", "1")
    assert exit_code("x", raising(ConceptReviveError("no"))) == 2
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown and shown.endswith("\nx: no\n")


def test_warnings_are_one_line_each(capsys):
    def work():
        warnings.warn("one\nof \x1b[2J these", stacklevel=1)
        warnings.warn("soon gone", FutureWarning, stacklevel=1)

    before = warnings.showwarning
    assert exit_code("x", work) == 0
    assert capsys.readouterr().err == "x: one of \\x1b[2J these\n"
    assert warnings.showwarning is before


PROGRAM = [sys.executable, "-m", "conceptrevive"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "argv",
    [["list", "concepts"], ["list", "concepts", "--json"], ["--help"], ["--version"]],
    ids=" ".join,
)
def test_a_full_disk_behind_standard_output(argv):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, *argv], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert (
        done.stderr.count("\n") == 1 and "No space left on device (standard output)" in done.stderr
    )
    with open("/dev/full", "w") as full:  # and nowhere to say so
        done = subprocess.run([*PROGRAM, *argv], stdout=full, stderr=full)
    assert done.returncode == 2


@pytest.mark.parametrize(
    "argv",
    [["list", "concepts"], ["list", "concepts", "--json"], ["--help"], ["--version"]],
    ids=" ".join,
)
def test_a_closed_pipe_ends_quietly(argv):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        done = subprocess.run([*PROGRAM, *argv], stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, "")


def test_standard_output_that_is_not_there():
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m conceptrevive list concepts >&-"], stderr=subprocess.PIPE
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_interrupted_as_a_program(tmp_path):
    """Ctrl-C in the middle of a command: 130 and one line."""
    script = (
        "import os, signal\n"
        # A background job is started with the signal ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from conceptrevive.cli import app, listing\n"
        "listing.show = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "raise SystemExit(app.main())\n"
    )
    argv = [sys.executable, "-c", script, "list", "concepts"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "conceptrevive list: interrupted, nothing was left half-written\n"
    script = script.replace("SIGINT", "SIGTERM")
    done = subprocess.run([sys.executable, "-c", script, "list", "concepts"], capture_output=True)
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, b"")
