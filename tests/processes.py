"""Programs in several processes, as accelerate starts them on a processor."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def launched(argv: Sequence[str], processes: int) -> subprocess.CompletedProcess:
    """`accelerate launch` with `argv` (`-m module …`, or a script), each process of one thread."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1"]
    launch += ["--multi_gpu", "--num_processes", str(processes), "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--main_process_port", "0"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run([*launch, *argv], env=env, capture_output=True, text=True)
