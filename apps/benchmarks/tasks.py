"""Thin tasks: each calls one service, which may run at any time and any number of times."""

from __future__ import annotations

from celery import shared_task

from apps.benchmarks.services import machine, release, retention


@shared_task(name="benchmarks.tick")
def tick() -> None:
    machine.tick()


@shared_task(name="benchmarks.campaign_advance")
def campaign_advance(campaign_id: str) -> None:
    machine.campaign_advance(campaign_id)


@shared_task(name="benchmarks.run_release")
def run_release(run_id: str) -> None:
    release.run_release(run_id)


@shared_task(name="benchmarks.submissions_expire")
def submissions_expire() -> None:
    """Ciphertexts of runs past their retention go."""
    retention.submissions_expire()
