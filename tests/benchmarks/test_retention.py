"""After a run's retention its submissions and noise are gone; what is left verifies, and late."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from apps.attempts import tasks
from apps.attempts.models import Attempt
from apps.attempts.selectors.transcripts import transcript_of
from apps.attempts.services import retention
from apps.common.coordinator import as_coordinator
from apps.provenance.models import Event
from federated.errors import InvalidInput, NotFound
from federated.protocol.refused import Refused
from federated.protocol.transcript import transcript_check
from federated.provenance.bundle import Bundle
from federated.provenance.verify import Check, verify_bundle
from federated.site.retention import submissions_expire
from federated.site.work.run import RunPart
from federated.verify.campaigns import campaign_checks
from federated.wire.base import canonical
from federated.wire.campaign import CampaignTranscript
from federated.wire.round import Reason
from tests import second_verifier, second_verifier_campaigns
from tests.benchmarks.world import Consortium, pass_deadline, run_of
from tests.conftest import member_client
from tests.rows import sent

TAG = "benchmarks:submissions:expired"


def expire(found: Attempt, *, early: float = -1.0) -> Attempt:
    """The task, with the run's end just beyond its retention, or ``early`` seconds short of it."""
    days = settings.FSC_CONFIG.benchmarks.retention_days
    moment = timezone.now() - timedelta(days=days, seconds=-early)
    with as_coordinator():
        for end in ("released_at", "abandoned_at"):
            Attempt.objects.filter(pk=found.pk).exclude(**{end: None}).update(**{end: moment})
    tasks.expire()
    return run_of(found.agreement.campaign)


def exported(consortium: Consortium, found: Attempt) -> bytes:
    path = f"/api/campaigns/{found.agreement_id}/bundle"
    content: bytes = consortium["summit"].transport.client.get(path).content
    return content


def checks_of(content: bytes) -> list[Check]:
    return list(verify_bundle(json.loads(content), checks=[campaign_checks]).checks)


def failed(content: bytes) -> list[str]:
    return [f"{c.name}: {c.detail}" for c in checks_of(content) if c.status == "failed"]


class Died(BaseException):
    """The worker ends here."""


def test_nothing_goes_early_or_by_half(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = consortium.released()
    assert expire(found, early=3600).expired_at is None

    def die(*args: object, **options: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(retention, "attempt_event", die)
        with pytest.raises(Died):
            expire(found)
    assert run_of(found.agreement.campaign).expired_at is None
    assert not sent("submission").filter(content=b"").exists()
    assert expire(found).expired_at is not None


def test_ciphertexts_go_and_a_late_bundle_verifies_the_rest(consortium: Consortium) -> None:
    found = consortium.released()
    consortium.step()
    early = exported(consortium, found)
    found = expire(found)
    for name in ("submission", "noise"):
        assert {bytes(row.content) for row in found.messages.filter(name=name)} == {b""}
    tasks.expire()
    assert Event.objects.filter(tag=TAG, subject_id=str(found.agreement_id)).count() == 1
    late = exported(consortium, found)
    assert failed(late) == failed(early) == []
    told = {c.name.split(" run 1 ")[-1]: (c.status, c.detail) for c in checks_of(late)}
    assert told["retention"][0] == "ok"
    assert told["ciphertexts"][0] == "skipped"
    assert told["ciphertexts"][1].startswith("expired by retention: 3 submissions, 3 noise shares")
    assert told["release"] == (
        "ok",
        "3 signed shares combine to the sums, 2 statistics recomputed",
    )
    assert found.wire_release is not None
    assert second_verifier_campaigns.verify(late) == [found.wire_release.dump()]
    assert len(late) < len(early)
    page = member_client("northwind", "auditor").get(
        f"/o/northwind/benchmarks/{found.agreement_id}/", secure=True
    )
    assert "by retention; digests stay" in page.content.decode()
    # What was exported early cannot be stripped and called retention.
    stripped = edited(early, lambda run: replace_all(run, late))
    assert any("no event says that they expired" in line for line in failed(stripped))
    with pytest.raises(second_verifier.Wrong, match="no event says that submissions expired"):
        second_verifier_campaigns.verify(stripped)
    for change in CHANGES:
        forged = edited(late, change)
        assert failed(forged), change.__name__
        with pytest.raises((second_verifier.Wrong, ArithmeticError, LookupError, ValueError)):
            second_verifier_campaigns.verify(forged)


def other_release(request: Any, answer: bytes) -> bytes:
    """A coordinator's transcript whose released sums are not those of the shares."""
    if not request.url.path.endswith("/transcript"):
        return answer
    run = json.loads(answer)
    other_sum(run)
    return canonical(run)


def edited(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The bundle with its one run changed, and made anew as a file."""
    given = json.loads(content)
    change(given["sections"]["campaigns"][0]["runs"][0])
    return Bundle.model_validate(given | {"digest": None}).to_bytes()


def replace_all(run: dict[str, Any], late: bytes) -> None:
    run.update(json.loads(late)["sections"]["campaigns"][0]["runs"][0])


def other_member(run: dict[str, Any]) -> None:
    run["expired"]["submissions"][0]["envelope"] = "0" * 64


def fewer_members(run: dict[str, Any]) -> None:
    del run["expired"]["submissions"][1:]


def less_noise(run: dict[str, Any]) -> None:
    del run["expired"]["noise"][0]


def other_noise(run: dict[str, Any]) -> None:
    run["expired"]["noise"][0]["envelope"] = "0" * 64


def other_sum(run: dict[str, Any]) -> None:
    run["release"]["metrics"][0]["slots"][0] += 1


def no_shares(run: dict[str, Any]) -> None:
    del run["shares"][1:]


CHANGES = (other_member, fewer_members, less_noise, other_noise, other_sum, no_shares)


def test_a_run_that_ended_without_a_release_expires_too(consortium: Consortium) -> None:
    campaign = consortium.create()
    consortium.step()
    consortium.measure(campaign, "lakeside", "northwind")
    consortium.step()
    pass_deadline(run_of(campaign))
    found = expire(run_of(campaign))
    assert found.expired_at is not None
    assert {bytes(row.content) for row in found.messages.filter(name="submission")} == {b""}


def test_a_site_that_comes_late_agrees_to_nothing(consortium: Consortium) -> None:
    found = consortium.released()
    consortium.step("lakeside", "northwind")
    expire(found)
    site, campaign_id = consortium["summit"], str(found.agreement_id)
    site.step()
    assert not site.sent("verdict"), "it is not asked"
    with pytest.raises(NotFound, match="proofs cannot be checked any more: no verdict"):
        RunPart(site.agent.site, campaign_id, 1).verdict()
    assert site.home.campaign(campaign_id).run(1).release() is None
    # What contradicts itself gets a no, all the same.
    site.transport.lie = other_release
    RunPart(site.agent.site, campaign_id, 1).verdict()
    verdict = sent("verdict").get(attempt=found, organization="summit")
    assert not verdict.agrees
    assert "the released sums differ" in verdict.detail
    site.transport.lie = lambda request, answer: answer
    # Nobody charges or decrypts for it, though this site once checked the whole run.
    with as_coordinator():
        transcript = transcript_of(run_of(found.agreement.campaign))
    with pytest.raises(Refused) as refused:
        transcript_check(transcript, agreement=site.agent.site.agreement(found.wire))
    assert refused.value.reason is Reason.SUBMISSION_EXPIRED
    RunPart(site.agent.site, str(found.agreement_id), 1).noise()
    assert site.said("REFUSED")
    assert site.said("submission_expired")
    whole = json.loads(transcript.canonical())
    for wrong in ({"expired": None}, {"noise": whole["shares"]}):
        with pytest.raises(InvalidInput):
            CampaignTranscript.parse(whole | wrong)


def test_a_site_lets_its_own_go_and_makes_nothing_in_its_place(consortium: Consortium) -> None:
    found = consortium.opened()
    site = consortium["summit"]
    days = site.home.policy().keep_contributions_days
    later = time.time() + (days + 1) * 86_400
    consortium.until(found.agreement.campaign, "decrypting")
    assert submissions_expire(site.home, now=later) == 0, "the run is not over here"
    consortium.until(found.agreement.campaign, "released")
    consortium.step()
    assert submissions_expire(site.home, now=later - 2 * 86_400) == 0
    run = site.home.campaign(str(found.agreement_id)).run(1)
    assert run.submission() is not None
    assert submissions_expire(site.home, now=later) == 1
    assert submissions_expire(site.home, now=later) == 0
    assert not (run.path / "submission.json").exists()
    assert not (run.path / "noise.json").exists()
    assert run.measured() is not None
    assert run.release() is not None
    # Asked for again, by a coordinator that says it is young: no second noise, no second vote.
    with pytest.raises(Refused):
        RunPart(site.agent.site, str(found.agreement_id), 1).contribute()
    before = len(site.sent("noise"))
    RunPart(site.agent.site, str(found.agreement_id), 1).noise()
    assert len(site.sent("noise")) == before
    assert site.said("REFUSED")
