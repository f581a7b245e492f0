"""Measurements against what people use today; each prints JSON lines, `python -m benchmarks` runs all."""
