"""A stranger's certificate or session finds nothing, and the database says so too."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_tenants.utils import schema_context

from apps.attempts.models import Agreement, Attempt, AttemptMessage, Participant
from apps.training.models import Job, ModelState
from federated.wire import round as wire
from federated.wire.base import Message
from federated.wire.site import Work
from tests.rows import sent
from tests.training.world import CAST, World, current, task_for


@pytest.fixture
def job(world: World) -> Job:
    """A job of three organizations, in its second round: harbor takes no part."""
    job = world.start()
    world.to_decrypting(job)
    world.all_work(CAST, Work.DECRYPT)
    for slug in CAST:
        world[slug].work(Work.VERIFY)
    job.refresh_from_db()
    return job


def paths(job: Job) -> dict[str, list[str]]:
    attempt = f"jobs/{job.pk}/rounds/1/1"
    return {
        "get": [
            f"jobs/{job.pk}",
            f"jobs/{job.pk}/bundle",
            f"models/{job.model_digest}",
            f"models/{job.wire.initial_state}",
            attempt,
            f"{attempt}/transcript",
            f"{attempt}/release",
        ],
        "post": [
            *(f"jobs/{job.pk}/{name}" for name in ("approval", "decline", "cancel")),
            *(
                f"{attempt}/{name}"
                for name in ("contribution", "receipt", "share", "refusal", "verdict")
            ),
        ],
    }


def test_foreign_organization_gets_404(world: World, job: Job) -> None:
    harbor = world["harbor"]
    for path in paths(job)["get"]:
        assert world["summit"].get(path).status_code == 200, path
        answer = harbor.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    for path in paths(job)["post"]:
        assert harbor.post(path, b"{}").status_code == 404, path
    assert harbor.get("jobs").json()["jobs"] == []
    assert [j["job_id"] for j in world["summit"].get("jobs").json()["jobs"]] == [str(job.pk)]


def test_a_signed_message_does_not_open_a_foreign_job(world: World, job: Job) -> None:
    found = current(job)
    refusal = world["harbor"].refusal(found)
    answer = world["harbor"].post(f"{world['harbor'].path(task_for(found))}/refusal", refusal)
    assert answer.status_code == 404


def test_no_credential_no_answer(client: Any, job: Job) -> None:
    for method, listed in paths(job).items():
        for path in [*listed, "inbox", "roster", "keys/current", "jobs", "ledger", "log"]:
            answer = getattr(client, method)(f"/api/{path}")
            assert answer.status_code in (401, 405), path


def test_a_member_reads_and_a_stranger_does_not(
    job: Job, northwind_auditor: Any, harbor_admin: Any
) -> None:
    for path in paths(job)["get"]:
        assert northwind_auditor.get(f"/o/northwind/api/{path}").status_code == 200, path
        assert harbor_admin.get(f"/o/harbor/api/{path}").status_code == 404, path
        assert harbor_admin.get(f"/o/northwind/api/{path}").status_code == 404, path


def test_a_person_does_not_send_what_a_site_signs(job: Job, northwind_admin: Any) -> None:
    for path in [*paths(job)["post"], "jobs", "ledger", "dictionaries"]:
        answer = northwind_admin.post(
            f"/o/northwind/api/{path}", b"{}", content_type="application/json"
        )
        assert answer.status_code in (401, 403), path


OF_JOBS = (
    Agreement.objects,
    Job.objects,
    Participant.objects,
    ModelState.objects,
    Attempt.objects,
    *map(sent, ("contribution", "receipt", "share", "refusal", "verdict")),
)


def test_the_database_hides_foreign_rows(world: World, job: Job) -> None:
    world["summit"].post(
        f"jobs/{job.pk}/rounds/1/1/refusal",
        world["summit"].refusal(job.attempts.get(number=1), reason=wire.Reason.JOB_UNKNOWN),
    )
    for rows in OF_JOBS:
        with schema_context("t_northwind"):
            assert rows.exists(), rows
        with schema_context("t_harbor"):
            assert not rows.exists(), rows


def test_the_database_lets_no_organization_write_shared_rows(world: World, job: Job) -> None:
    from django.db import ProgrammingError, transaction

    for model in (Job, Agreement, Attempt, AttemptMessage):
        with (
            schema_context("t_northwind"),
            pytest.raises(ProgrammingError, match="permission denied"),
            transaction.atomic(),
        ):
            model.objects.update(created_at=timezone.now())
    connection.set_schema_to_public()
    assert Job.objects.filter(pk=job.pk).exists()


@pytest.mark.parametrize("path", ["rounds/9/1", "rounds/1/9", "rounds/9/1/transcript"])
def test_absent_rounds(world: World, job: Job, path: str) -> None:
    assert world["summit"].get(f"jobs/{job.pk}/{path}").status_code == 404


def test_absent_models(world: World, job: Job) -> None:
    assert world["summit"].get(f"models/{'0' * 64}").status_code == 404
    assert world["summit"].get("models/..").status_code == 404


def test_an_open_attempt_has_no_transcript(world: World, job: Job) -> None:
    answer = world["summit"].get(f"jobs/{job.pk}/rounds/2/1/transcript")
    assert answer.status_code == 404
    assert "has not closed" in answer.json()["detail"]
    assert isinstance(current(job).wire_context, Message)
