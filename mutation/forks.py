"""Tests in a forked process each, so that torch and diffusers are imported only once."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

#: What a mutant may allocate beyond what is imported, in bytes.
ROOM = 8 << 30

OPTIONS = ("-q", "-x", "-m", "not slow", "-p", "no:cacheprovider")


def preload() -> None:
    """Import what is slow to import and is not mutated."""
    import diffusers
    import matplotlib.pyplot
    import scipy.stats
    import torch
    import transformers

    torch.set_num_threads(1)
    # These are imported at first use.
    _ = diffusers.StableDiffusionPipeline, diffusers.DDIMScheduler, diffusers.UNet2DConditionModel
    _ = transformers.CLIPTextModel, transformers.CLIPTokenizer, scipy.stats, matplotlib.pyplot


def run(work: Callable[[], int], tree: Path, limit: float) -> int | None:
    """Exit code of `work`, run in a forked process in the folder `tree`; None after `limit` s."""
    pid = os.fork()
    if pid == 0:
        _become_child(work, tree)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _become_child(work: Callable[[], int], tree: Path) -> None:
    code = 3
    try:
        os.setsid()
        log = os.open(tree.with_name("log.txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(tree)
        # Nothing compiled is kept: a mutant is as old and as long as the file that it replaces.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        os.environ["PYTHONPATH"] = str(tree)
        sys.path[:] = [str(tree), *(p for p in sys.path if p not in ("", str(tree.parents[2])))]
        for name in [n for n in sys.modules if n.split(".")[0] == "conceptrevive"]:
            del sys.modules[name]
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, resource.RLIM_INFINITY))
        code = int(work())
    finally:
        sys.stdout.flush()
        os._exit(code)


class _Contexts:
    """A plug-in that tells coverage which test is running, and notes how long each takes."""

    def __init__(self, measured: Any) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        start = time.monotonic()
        self.measured.switch_context(item.nodeid.split("::")[0])
        result = yield
        self.measured.switch_context("")
        self.seconds[item.nodeid] = time.monotonic() - start
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self.measured.switch_context(item.nodeid)
        result = yield
        self.measured.switch_context(item.nodeid.split("::")[0])
        return result


def trace(tests: str, package: str, out: Path) -> int:
    """Run the folder `tests` and write to `out` which lines of `package` each test runs."""
    import coverage

    measured = coverage.Coverage(data_file=None, source=[package], config_file=False)
    plugin = _Contexts(measured)
    measured.start()
    code = int(pytest.main([*OPTIONS, tests], plugins=[plugin]))
    measured.stop()
    data, root = measured.get_data(), Path.cwd()
    lines = {
        str(Path(file).relative_to(root)): data.contexts_by_lineno(file)
        for file in data.measured_files()
    }
    out.write_text(json.dumps({"seconds": plugin.seconds, "lines": lines}))
    return code


def choose(traced: Mapping[str, Any], path: str, lines: range) -> list[str]:
    """The tests that run any of `lines` of the file `path`, the quickest first.

    Where a fixture runs them, all tests of its file; where an import does, all tests.
    """
    seconds: dict[str, float] = traced["seconds"]
    files = defaultdict(list)
    for test in seconds:
        files[test.split("::")[0]].append(test)
    hit = traced["lines"].get(path, {})
    chosen: set[str] = set()
    for context in sorted({c for line in lines for c in hit.get(str(line), [])}):
        chosen.update([context] if "::" in context else files.get(context, seconds))
    return sorted(chosen, key=lambda test: (seconds[test], test))


def check(tests: Sequence[str]) -> int:
    """Run `tests` until one fails."""
    return int(pytest.main([*OPTIONS, *tests]))
