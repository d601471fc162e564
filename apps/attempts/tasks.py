"""Thin tasks: each calls one service, which may run at any time and any number of times."""

from __future__ import annotations

from celery import shared_task

from apps.attempts.services import keys, retention, steps


@shared_task(name="attempts.advance")
def advance(attempt_id: str) -> None:
    """An attempt has what it waited for."""
    steps.attempt_advance(attempt_id)


@shared_task(name="attempts.release")
def release(attempt_id: str) -> None:
    steps.attempt_release(attempt_id)


@shared_task(name="attempts.keys_retire")
def keys_retire() -> None:
    """Superseded keys that nothing uses are retired."""
    keys.keys_retire_unused()


@shared_task(name="attempts.expire")
def expire() -> None:
    """Ciphertexts past their retention go."""
    retention.ciphertexts_expire()
