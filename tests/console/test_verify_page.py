"""The verify page: each check by name, for a job and for a file; others' jobs do not exist."""

from __future__ import annotations

import json
from typing import Any

from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.common.uploads import UPLOAD_MOST
from tests.console.test_job_page import job_url, text_of
from tests.federated.provenance.small_bundle import small_bundle_bytes
from tests.federation.test_job_whole import play
from tests.federation.world import World

URL = "/o/northwind/verify/"


def upload(client: Client, content: bytes) -> Any:
    return client.post(URL, {"bundle": SimpleUploadedFile("b.json", content)}, secure=True)


def test_a_job_is_verified_check_by_check(world: World, northwind_auditor: Client) -> None:
    job = world.start()
    play(world, job)
    response = northwind_auditor.post(job_url(job, "verify"), secure=True)
    text = text_of(response)
    assert response.status_code == 200
    assert "No check failed" in text
    assert "proves nothing to an outsider" in text
    assert f"federated verify bundle-{job.pk}.json" in text
    assert f"job {str(job.pk)[:8]} round 2.1 release Holds" in text
    assert "Skipped nothing of this bundle is anchored" in text


def test_an_uploaded_bundle_is_verified_and_not_kept(db: None, northwind_auditor: Client) -> None:
    text = text_of(upload(northwind_auditor, small_bundle_bytes()))
    assert "No check failed" in text
    forged = json.loads(small_bundle_bytes())
    forged["sections"]["jobs"][0]["attempts"][0]["release"]["values"][0] += 1
    from federated.provenance.bundle import Bundle

    text = text_of(upload(northwind_auditor, Bundle.model_validate(forged).to_bytes()))
    assert "checks failed" in text
    assert "Failed" in text


def test_no_bundle_is_one_clear_line(db: None, northwind_auditor: Client) -> None:
    for content in (b"no", small_bundle_bytes()[:900]):
        response = upload(northwind_auditor, content)
        assert (response.status_code, "not a bundle" in text_of(response)) == (422, True)
    response = upload(northwind_auditor, b" " * (UPLOAD_MOST + 1))
    assert (response.status_code, "choose a file of at most" in text_of(response)) == (422, True)


def test_one_runs_at_a_time(db: None, northwind_auditor: Client) -> None:
    cache.set("verifying:northwind", True, 60)
    try:
        response = upload(northwind_auditor, small_bundle_bytes())
    finally:
        cache.delete("verifying:northwind")
    assert (response.status_code, "Another verification" in text_of(response)) == (409, True)


def test_others_jobs_are_not_there(world: World, harbor_admin: Client) -> None:
    job = world.start()
    assert harbor_admin.post(job_url(job, "verify", slug="harbor"), secure=True).status_code == 404
