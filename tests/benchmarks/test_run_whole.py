"""A campaign from its creation to a verified release, by real agents on the HTTP API."""

from __future__ import annotations

from django_tenants.utils import schema_context

from apps.attempts.models import Attempt, ContributionReceipt
from apps.provenance.models import Event
from federated.protocol.agreement import ledger_id
from federated.wire.campaign import CampaignTranscript
from tests.benchmarks.world import CAST, Consortium, fresh, run_of
from tests.conftest import member_client
from tests.rows import sent


def test_a_run_from_approval_to_a_verified_release(consortium: Consortium) -> None:
    found = consortium.opened()
    campaign = found.agreement.campaign
    assert (found.state, fresh(campaign).reason) == ("collecting", "")
    found = consortium.until(campaign, "released")
    release = found.wire_release
    assert release is not None
    assert release.count == 3
    mean = release.metrics[0].statistics["mean"]
    assert 0 <= mean.lower <= mean.value <= mean.upper <= 100
    assert release.metrics[0].illustrative
    consortium.step()
    assert list(sent("verdict").values_list("agrees", flat=True)) == [True] * 3
    for slug in CAST:
        run = consortium[slug].home.campaign(str(campaign.pk)).run(1)
        assert run.release() == release
        assert run.measured() is not None
        with schema_context(f"t_{slug}"):
            assert ContributionReceipt.objects.get().digest == run.submission().digest()  # type: ignore[union-attr]
        report = consortium[slug].home.ledger.report(slug)
        charges = [(c.job_id, c.round, c.state, c.unit) for c in report.charges]
        assert charges == [(ledger_id(found.wire), 1, "committed", "organization")]
    # All its runs are over.
    consortium.step()
    assert fresh(campaign).state == "ended"


def test_no_request_carries_a_measurement(consortium: Consortium) -> None:
    campaign = consortium.create()
    consortium.step()
    consortium.measure(campaign, value=37.123456)
    consortium.until(campaign, "released")
    consortium.step()
    for site in consortium.values():
        for _, body in site.transport.bodies:
            assert b"37.123" not in body
            assert b"measured" not in body


def test_every_step_is_one_event(consortium: Consortium) -> None:
    found = consortium.released()
    consortium.step()
    events = Event.objects.filter(subject_kind="campaign", subject_id=str(found.agreement_id))
    tags = list(events.order_by("created_at").values_list("tag", flat=True))
    assert tags == [
        "benchmarks:campaign:created",
        *["benchmarks:campaign:approved"] * 3,
        "benchmarks:run:opened",
        *["benchmarks:submission:accepted"] * 3,
        "benchmarks:run:closed",
        *["benchmarks:receipt:accepted"] * 3,
        "benchmarks:run:charged",
        *["benchmarks:noise:accepted"] * 3,
        "benchmarks:run:noised",
        *["benchmarks:share:accepted"] * 3,
        "benchmarks:run:released",
        *["benchmarks:verdict:accepted"] * 3,
        "benchmarks:campaign:ended",
    ]


def test_the_transcript_is_what_sites_signed(consortium: Consortium) -> None:
    found = consortium.released()
    answer = consortium["lakeside"].api.run_transcript(str(found.agreement_id), 1)
    assert isinstance(answer, CampaignTranscript)
    assert answer.cohort().digest() == found.cohort_digest
    assert answer.decrypted().digest() == found.noised_digest
    assert answer.canonical() == CampaignTranscript.parse(answer.canonical()).canonical()


def test_an_agent_that_dies_between_any_two_steps_goes_on(consortium: Consortium) -> None:
    """Every agent starts again from its folder before every look at its inbox."""
    campaign = consortium.opened().agreement.campaign
    for _ in range(8):
        for slug in CAST:
            consortium[slug].restart()
        consortium.step()
        if run_of(campaign).state == Attempt.State.RELEASED:
            break
    assert run_of(campaign).state == Attempt.State.RELEASED
    for slug in CAST:
        committed = [
            c for c in consortium[slug].home.ledger.report(slug).charges if c.state == "committed"
        ]
        assert len(committed) == 1


def test_the_budget_page_names_the_campaign(consortium: Consortium) -> None:
    found = consortium.released(epsilon=2.0)
    consortium.step()
    page = member_client("lakeside", "auditor").get("/o/lakeside/budget/", secure=True)
    text = " ".join(page.content.decode().split())
    assert f'/benchmarks/{found.agreement_id}/">Benchmark: Scoring</a>' in text
    assert "1 run charged" in text
    # Epsilon 2 is 2, by the ledger's rule: pure charges are added.
    assert "ε 6.00 left of 8.00" in text
