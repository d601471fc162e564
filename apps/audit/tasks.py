"""Thin tasks: each calls one service, which may run at any time and any number of times."""

from __future__ import annotations

from celery import shared_task

from apps.audit import verification


@shared_task(name="audit.verify")
def verify(verification_id: str) -> None:
    verification.verification_run(verification_id)


@shared_task(name="audit.verifications_tick")
def verifications_tick() -> None:
    verification.verifications_tick()
