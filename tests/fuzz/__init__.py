"""Hostile input by the million: `python -m benchmarks.fuzz`."""
