"""Benchmarks: ours beside limits and peers, as ratios of one run. Nothing here is a test; see `python -m tests.benchmarks`."""
