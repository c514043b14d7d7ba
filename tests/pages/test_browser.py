"""What looks at the built pages sees what moves and what does not, in a headless Chromium."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from PIL import Image

from conceptrevive.teaching.moving import compare_pictures, slider_pictures
from pages.numbering import ROOT

BROWSER = ROOT / ".browser"
PAGE = """<!DOCTYPE html><html lang="en"><head><title>A page</title>
<meta name="viewport" content="width=device-width"></head>
<body><main><h1>A page</h1>{}</main></body></html>"""

pytestmark = pytest.mark.skipif(
    not (shutil.which("node") and (BROWSER / "node_modules/puppeteer-core").is_dir()),
    reason="no Chromium: `make accessible` fetches one by npm",
)


def look(folder, html):
    (folder / "page.html").write_text(PAGE.format(html), encoding="utf-8")
    shutil.copytree(ROOT / "pages/browser", BROWSER, dirs_exist_ok=True)
    run = subprocess.run(
        ["node", str(BROWSER / "look.mjs"), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return run.returncode, run.stdout + run.stderr


def pictures():
    return [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]


def test_figures_move_by_keys_and_by_play_and_pass_the_rules(tmp_path):
    slider = slider_pictures(pictures(), ["a", "b", "c"], "A field of one colour")
    curtain = compare_pictures(*pictures()[:2], ("before", "after"), "A field of one colour")
    code, told = look(tmp_path, slider._repr_html_() + curtain._repr_html_())
    assert code == 0, told
    assert "4 views of 1 pages, 0 faults" in told


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        (lambda: slider_pictures([pictures()[0]] * 2, ["a", "b"], "x")._repr_html_(),
         "the picture does not change"),
        (lambda: slider_pictures(pictures(), ["a", "b", "c"], ["x"] * 3)._repr_html_(),
         "the words do not change"),
        (lambda: '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
        (lambda: "<script>nothing.here</script>", "script: nothing is not defined"),
        (lambda: '<img alt="x" src="missing.png">', "404: "),
        (lambda: '<img alt="x" src="http://127.0.0.1:9/x.png">', "asks http://127.0.0.1:9/x.png"),
        (lambda: '<div style="height: 13000px">x</div>', "px tall"),
        (lambda: '<div style="width: 2000px">x</div>', "scrolls sideways"),
    ],
)  # fmt: skip
def test_what_a_reader_would_stumble_over_is_named(tmp_path, html, fault):
    code, told = look(tmp_path, html())
    assert code == 1 and fault in told, told
