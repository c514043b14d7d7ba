"""Measurements of speed, memory and sign accuracy.

`python -m benchmarks` (`make bench`) and `python -m benchmarks.solvers` (`make solvers`).
"""
