"""Results name a command that can be run again."""

import json
import subprocess
import sys

from conceptrevive.experiments.provenance import commit


def test_a_module_is_named_as_it_was_run(tmp_path):
    package = tmp_path / "lab"
    package.mkdir()
    (package / "__init__.py").touch()
    code = (
        "import json\nfrom conceptrevive.experiments.provenance import provenance\n"
        "print(json.dumps(provenance(3)))\n"
    )
    (package / "measure.py").write_text(code)

    def command(*argv):
        run = subprocess.run(
            [sys.executable, *argv], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return json.loads(run.stdout)["command"]

    assert command("-m", "lab.measure", "--out", "a b") == "python -m lab.measure --out 'a b'"
    (package / "__main__.py").write_text(code)
    assert command("-m", "lab", "x") == "python -m lab x"
    assert command("lab/measure.py", "--n", "2") == "python measure.py --n 2"


def test_a_checkout_names_its_commit_and_a_machine_without_git_does_not(monkeypatch):
    commit.cache_clear()
    told = commit()
    if told:  # the tests may run from an unpacked archive
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
        assert head.stdout.startswith(told["commit"].removesuffix("+changes"))
    monkeypatch.setenv("PATH", "")
    commit.cache_clear()
    assert commit() == {}
    commit.cache_clear()
