"""Measurements of speed, memory and sign accuracy: `python -m benchmarks` (`make bench`), `python -m benchmarks.solvers`."""
