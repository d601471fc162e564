"""Thin tasks: each calls one service, which may run at any time and any number of times."""

from __future__ import annotations

from celery import shared_task

from apps.training.services import incoming, machine, sums


@shared_task(name="training.tick")
def tick() -> None:
    machine.tick()


@shared_task(name="training.job_advance")
def job_advance(job_id: str) -> None:
    machine.job_advance(job_id)


@shared_task(name="training.round_sum")
def round_sum(attempt_id: str) -> None:
    sums.round_sum(attempt_id)


@shared_task(name="training.vectors_sum")
def vectors_sum(attempt_id: str) -> None:
    sums.vectors_sum_step(attempt_id)


@shared_task(name="training.vectors_sweep")
def vectors_sweep() -> None:
    incoming.incoming_sweep()
    sums.sum_parts_sweep()
