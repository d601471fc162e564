"""Peers of bench-aggregation: each module runs alone, in its peer's virtual environment.

Given the number of parameters, each prints one JSON list of
``{"case", "metric", "seconds": [...], "params"}`` and ``{"case", "metric", "bytes", "params"}``.
"""
