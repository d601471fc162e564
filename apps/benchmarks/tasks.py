"""Thin tasks: each calls one service, which may run at any time and any number of times."""

from __future__ import annotations

from celery import shared_task

from apps.benchmarks.services import machine


@shared_task(name="benchmarks.tick")
def tick() -> None:
    machine.tick()


@shared_task(name="benchmarks.campaign_advance")
def campaign_advance(campaign_id: str) -> None:
    machine.campaign_advance(campaign_id)
