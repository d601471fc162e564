"""Which queue a task goes to, by its app, and the queues that the worker serves."""

from __future__ import annotations

ROUTES = {
    "federation.*": "rounds",
    "aggregation.*": "aggregation",
    "benchmarks.*": "benchmarks",
    "provenance.*": "provenance",
    "organizations.*": "provenance",
    "audit.*": "audit",
}
QUEUES = (*dict.fromkeys(ROUTES.values()), "celery")
"""``celery`` is where Celery puts its own tasks."""
