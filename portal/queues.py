"""Which queue a task goes to, by its app, and the queues that the worker serves."""

from __future__ import annotations

APPS = ("keys", "attempts", "training", "benchmarks", "provenance", "organizations", "audit")
ROUTES = {f"{app}.*": app for app in APPS}
QUEUES = (*APPS, "celery")
"""``celery`` is where Celery puts its own tasks."""
