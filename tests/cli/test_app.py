"""How the program begins and ends: help, usage, completion; and that it answers before torch."""

import inspect
import os
import subprocess
import sys

import pytest

from conceptrevive.cli import main
from conceptrevive.cli.app import COMMANDS


def program(*argv, **environment):
    """Run the program; its outcome."""
    return subprocess.run(
        [sys.executable, "-m", "conceptrevive", *argv],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=60,
    )


MEASURED = """
import sys, time
from conceptrevive.cli import main
code = main(sys.argv[1:])
heavy = [m for m in ("torch", "diffusers", "transformers", "matplotlib") if m in sys.modules]
print(f"{code} {time.process_time():.3f} {heavy}", file=sys.stderr)
"""


@pytest.mark.parametrize("argv", [["--help"], ["audit", "--help"], ["revive", "--help"]])
def test_help_answers_at_once_and_without_torch(argv):
    seconds = []
    for _ in range(3):  # the quickest of three: other work on the machine is not ours
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *argv], capture_output=True, text=True, check=True
        )
        code, spent, heavy = done.stderr.split(maxsplit=2)
        assert (code, heavy.strip()) == ("0", "[]")
        seconds.append(float(spent))
    assert min(seconds) < 0.5
    assert "Usage: conceptrevive" in done.stdout


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f" {name} " in shown for name in COMMANDS)


def test_help_shows_the_defaults_of_the_functions(capsys, monkeypatch):
    """The parser repeats none: what it shows is what the Python functions take."""
    from conceptrevive.defence.obfuscation import obfuscate
    from conceptrevive.evaluation.outcomes import evaluate
    from conceptrevive.revival.attack import revive

    def default(function, name):
        return inspect.signature(function).parameters[name].default

    expected = {
        "revive": [default(revive, n) for n in ("solver", "top_k", "magnitude")],
        "obfuscate": [default(obfuscate, "sigma")],
        "evaluate": [default(evaluate, "n")],
    }
    monkeypatch.setenv("COLUMNS", "200")
    for command, values in expected.items():
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert all(f"[default: {value}]" in shown for value in values), command


def test_version(capsys):
    from conceptrevive.version import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"conceptrevive {version()}\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "conceptrevive: Missing command; see `conceptrevive --help`"),
        (
            ["loacte"],
            "No such command 'loacte'. Did you mean 'locate'?; see `conceptrevive",
        ),
        (["prune", "pocket"], "Missing option '--masks'; see `conceptrevive prune --help`"),
        (["audit", "x", "--depe"], "No such option: --depe"),
        (["audit", "x\x1b[31m", "y\x1b[31m"], r"(y\x1b[31m)"),
        (["revive", "x", "--out", "y", "--solver", "magic"], "'magic'"),
        (["evaluate", "x", "--concept", "c", "--images", "many"], "'--images'"),
    ],
)
def test_wrong_usage_is_one_line(argv, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and "\x1b" not in shown.err
    assert message in shown.err


def test_wrong_usage_ends_the_program_with_2():
    done = program("prune", "pocket")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_completion_can_be_installed(tmp_path):
    done = program(
        "--install-completion",
        "bash",
        HOME=str(tmp_path),
        SHELL="/bin/bash",
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )
    assert done.returncode == 0, done.stderr
    assert any(p.is_file() for p in tmp_path.rglob("*conceptrevive*"))
    listed = program(
        _CONCEPTREVIVE_COMPLETE="complete_bash", COMP_WORDS="conceptrevive ob", COMP_CWORD="1"
    )
    assert listed.stdout.split() == ["obfuscate"]
