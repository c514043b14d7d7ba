"""`python -m benchmarks`: completion, the rest of the pipeline, and several processes.

--quick rehearses it in some minutes, with the results written elsewhere.

On a GPU the rest runs on a random model of Stable Diffusion 1.5's size too.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import completion, pipeline, processes

QUICK_OUT = "build/benchmarks"
QUICK_COMPLETION = ["--sets", "pocket", "--repeats", "1", "--turns", "1"]
QUICK_PROCESSES = ["--cells", "2", "--pictures", "2", "--repeats", "1"]
QUICK_PIPELINE = ["--repeats", "1", "--parts", "edit", "locate", "attack", "--megabytes", "64"]


def main() -> int:
    """Both, with the options they share."""
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--quick", action="store_true", help="smallest shapes, one repeat")
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--threads", default=None)
    ap.add_argument(
        "--out", default=None, help=f"default: results/benchmarks; with --quick {QUICK_OUT}"
    )
    args = ap.parse_args()
    args.out = args.out or (QUICK_OUT if args.quick else None)
    shared = [
        x
        for key in ("device", "threads", "out")
        if (v := getattr(args, key))
        for x in (f"--{key}", v)
    ]
    code = completion.main([*shared, *(QUICK_COMPLETION if args.quick else [])])
    code = code or pipeline.main([*shared, *(QUICK_PIPELINE if args.quick else [])])
    if not code and args.device == "cpu":
        where = ["--out", args.out] if args.out else []
        code = processes.main([*where, *(QUICK_PROCESSES if args.quick else [])])
    if not code and args.device != "cpu":
        large = [
            "--model",
            "sd15-random",
            "--parts",
            "locate",
            "attack",
            "--repeats",
            "1" if args.quick else "3",
        ]
        code = pipeline.main([*shared, *large])
    return code


if __name__ == "__main__":
    sys.exit(main())
