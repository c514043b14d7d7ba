"""What is printed: in every encoding, and nothing that a terminal would obey."""

import io
import json
import os
import subprocess
import sys

import pytest

from conceptrevive.cli.output import complain, progress, say, show


def stream(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "✂ σ a – b"), ("cp1252", "? ? a – b"), ("ascii", "? ? a ? b")],
)
def test_what_cannot_be_encoded_is_replaced(encoding, shown):
    out = stream(encoding)
    say("✂ σ a – b", out)
    assert out.buffer.getvalue().decode(encoding) == shown + "\n"


def test_broken_unicode_is_escaped():
    out = stream("utf-8")
    say("a\udcff.safetensors", out)
    assert out.buffer.getvalue() == b"a\\udcff.safetensors\n"


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b31m", "a\rb", "\x07", "\u202eevil", "\x7f"])
def test_a_terminal_is_given_no_orders(text, capsys):
    complain("x", text)
    show({"name": text, "inner": {"list": [text]}}, as_json=False)
    show({"name": text}, as_json=True)
    say(text, sys.stdout)
    for shown in capsys.readouterr():
        assert all(c.isprintable() or c == "\n" for c in shown)


def test_a_result_as_text_and_as_json(capsys):
    result = {"top1": 0.25, "interval": (0.1, 0.5), "erased_top1": {"pruned": 0.0}, "n": 3}
    show(result, as_json=False)
    assert capsys.readouterr().out == (
        "top1         0.250\ninterval     0.100, 0.500\nerased top1  pruned 0.000\nn            3\n"
    )
    show(result, as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(result))


def test_no_progress_where_nobody_looks(capsys):
    with progress("locate", 4) as update:
        update(advance=4)
    assert capsys.readouterr() == ("", "")


SHOWN = """
from conceptrevive.cli.output import progress
with progress("locate [red]a\\x1b[31m", 4) as update:
    update(advance=2)
    update(description="[bold]b", completed=4, total=4)
"""


def test_progress_on_a_terminal_shows_the_time_left():
    pty = pytest.importorskip("pty")
    main, end = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", SHOWN], stderr=end, stdout=subprocess.PIPE, env=environment
    )
    os.close(end)
    shown = os.read(main, 1 << 16).decode()
    os.close(main)
    assert done.returncode == 0 and done.stdout == b""
    assert "4/4" in shown and "pictures" in shown and "left" in shown and "[bold]b" in shown
