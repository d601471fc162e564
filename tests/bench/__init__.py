"""Benchmarks: this project and its peers, measured in one run."""
