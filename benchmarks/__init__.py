"""Measurements of time, memory and agreement; run each module from the root: `python -m benchmarks.NAME`."""
