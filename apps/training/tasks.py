"""Thin tasks: each calls one service, which may run at any time and any number of times."""

from __future__ import annotations

from celery import shared_task

from apps.training.services import incoming, keys, machine, release, retention, sums


@shared_task(name="training.tick")
def tick() -> None:
    machine.tick()


@shared_task(name="training.keys_retire")
def keys_retire() -> None:
    """Superseded keys that no job uses are retired."""
    keys.keys_retire_unused()


@shared_task(name="training.contributions_expire")
def contributions_expire() -> None:
    """Ciphertexts of jobs past their retention go."""
    retention.contributions_expire()


@shared_task(name="training.job_advance")
def job_advance(job_id: str) -> None:
    machine.job_advance(job_id)


@shared_task(name="training.round_close")
def round_close(round_id: str) -> None:
    """An attempt has what it waited for."""
    machine.round_advance(round_id)


@shared_task(name="training.round_sum")
def round_sum(round_id: str) -> None:
    release.round_sum(round_id)


@shared_task(name="training.vectors_sum")
def vectors_sum(round_id: str) -> None:
    release.round_sum_vectors(round_id)


@shared_task(name="training.vectors_sweep")
def vectors_sweep() -> None:
    incoming.incoming_sweep()
    sums.sum_parts_sweep()


@shared_task(name="training.round_release")
def round_release(round_id: str) -> None:
    release.round_release(round_id)
