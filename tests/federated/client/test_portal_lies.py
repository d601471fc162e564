"""A portal that replays or drops countersignatures is caught by the sites, and charges nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.attempts.models import Attempt, Participant
from apps.keys.bell import bell_ring
from apps.training.models import Job
from federated.protocol import arrival
from federated.protocol.agreement import JobAgreement
from federated.protocol.share import share_make, share_signature_check
from federated.site.work import attempt as work_attempt
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.round import ChargeReceipt, Cohort, Transcript, Verdict
from tests.federated.client.portal import SiteAtWork, home_make
from tests.federated.client.test_agent import Sites, present, refusals, states_of
from tests.rows import sent
from tests.training.world import CAST, World, current, workers


@pytest.fixture
def world(db: None) -> World:
    made = World()
    made.publish_key()
    made["harbor"].work()
    return made


@pytest.fixture
def sites(world: World, tmp_path: Path) -> Sites:
    made = Sites({slug: SiteAtWork(home_make(tmp_path, slug)) for slug in CAST})
    made.world = world
    return made


def second_round(sites: Sites, job: Job, state: str) -> Attempt:
    """Play on until round 2 reaches a state; its receipts and shares are not in yet."""
    for _ in range(40):
        found = current(job)
        if (found.number, found.state) == (2, state):
            return found
        for site in sites.values():
            site.step()
            found = current(job)
            if (found.number, found.state) == (2, state):
                return found
        workers()
    raise AssertionError(f"round 2 is not {state}")


def test_a_receipt_of_the_round_before_does_not_count_for_this_one(sites: Sites) -> None:
    job = sites.start()
    found = second_round(sites, job, Attempt.State.DECRYPTING)
    old = sent("receipt").get(attempt__agreement=job, attempt__number=1, organization="summit")
    found.messages.filter(name="receipt").filter(organization="summit").update(
        content=old.content, digest=old.digest
    )
    bell_ring(list(CAST))
    sites["lakeside"].step()
    assert sites["lakeside"].said("REFUSED charge_mismatch: receipt of summit is for another")
    assert ("lakeside", "charge_mismatch") in refusals(job)
    assert len(sites["lakeside"].sent("share")) == 1


def test_a_dropped_approval_is_missed_before_anything_is_charged(sites: Sites) -> None:
    job = sites.start()
    sites.play(job, until=Attempt.State.CHARGING)
    Participant.objects.filter(agreement=job, organization="summit").update(answer=None)
    bell_ring(list(CAST))
    sites["lakeside"].step()
    assert sites["lakeside"].said("REFUSED approval_missing")
    assert states_of(sites["lakeside"]) == ["reserved", "reserved"]


def test_an_approval_of_another_job_is_no_approval_of_this_one(sites: Sites) -> None:
    other, job = sites.start(), sites.world.propose()
    for _ in range(40):
        for site in sites.values():
            site.step()
        workers()
        job.refresh_from_db()
        if job.state == Job.State.RUNNING:
            break
    answer = Participant.objects.get(agreement=other, organization="summit").answer
    Participant.objects.filter(agreement=job, organization="summit").update(answer=answer)
    sites.play(job, until=Attempt.State.CHARGING)
    for site in sites.values():
        site.step()
    assert sites["lakeside"].said("REFUSED approval_missing: summit approved another spec")
    charges = sites["lakeside"].home.ledger.report("lakeside").charges
    assert {c.state for c in charges if c.job_id == str(job.pk)} == {"reserved"}


def test_a_dropped_receipt_that_is_asked_for_again_is_the_same_one_charge(sites: Sites) -> None:
    job = sites.start()
    sites.play(job, until=Attempt.State.DECRYPTING)
    found, site = current(job), sites["summit"]
    (sent,) = site.sent("receipt")
    found.messages.filter(name="receipt").filter(organization="summit").delete()
    Attempt.objects.filter(pk=found.pk).update(state=Attempt.State.CHARGING)
    bell_ring(list(CAST))
    site.restart()
    site.step()
    assert site.sent("receipt") == [sent]
    assert states_of(site) == ["committed", "reserved"]


def test_a_dropped_receipt_does_not_open_the_attempt_to_another_cohort(sites: Sites) -> None:
    job = sites.start(minimum_cohort=3)
    sites.play(job, until=Attempt.State.DECRYPTING)
    site = sites["summit"]
    kept = Signed[ChargeReceipt].parse(site.sent("receipt")[0]).body
    present(current(job), Attempt.State.CHARGING, without="northwind")
    site.step()
    assert site.said("REFUSED")
    assert site.home.ledger.charged(str(job.pk), 1, 1) == kept.cohort
    assert states_of(site) == ["committed", "reserved"]


def test_an_approval_that_is_asked_for_again_reserves_nothing_more(sites: Sites) -> None:
    job = sites.world.propose()
    site = sites["summit"]
    site.step()
    (sent,) = site.sent("approval")
    Participant.objects.filter(agreement=job, organization="summit").update(
        state=Participant.State.PENDING, answer=None
    )
    bell_ring(list(CAST))
    site.restart()
    site.step()
    assert site.sent("approval") == [sent]
    assert states_of(site) == ["reserved", "reserved"]


def test_a_wrong_share_that_the_portal_lets_through_is_named_by_every_site(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times 1 + n, a share combines as a right one does, to another sum: only its proof tells."""

    def shifted(transcript: Transcript, *, agreement: JobAgreement, **options: Any) -> Signed[Any]:
        honest = share_make(transcript, agreement=agreement, **options)
        identity = options["identity"]
        if identity.organization != "lakeside":
            return honest
        key = agreement.key
        values = (int.from_bytes(decode_bytes(p), "big") for p in honest.body.partials)
        moved = (value * (1 + key.n) % key.n_squared for value in values)
        partials = tuple(encode_bytes(key.encode_ciphertext(value)) for value in moved)
        return identity.sign(honest.body.model_copy(update={"partials": partials}))

    def lax(
        signed: Signed[Any], *, agreement: JobAgreement, cohort: Cohort, product: list[int]
    ) -> None:
        share_signature_check(signed, agreement=agreement, cohort=cohort)

    monkeypatch.setattr(work_attempt, "share_make", shifted)
    monkeypatch.setattr(arrival, "share_check", lax)
    job = sites.start()
    sites.play(job, most=8)
    for site in sites.values():
        assert site.said("DISAGREES: share of lakeside: partial decryption of trustee 2 is not")
        (sent,) = site.sent("verdict")
        assert not Signed[Verdict].parse(sent).body.agrees
        assert site.home.job(str(job.pk)).state(1) is None
