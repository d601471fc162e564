"""What the API refuses of a submission: nothing of it is stored."""

from __future__ import annotations

from typing import Any

import pytest

from apps.attempts.models import Attempt
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.kinds.benchmark import submission_make
from federated.wire.base import Signed
from federated.wire.campaign import CampaignContext, Measured, Vote
from federated.wire.campaign import Submission as WireSubmission
from tests.benchmarks.world import Consortium, pass_deadline, run_of
from tests.rows import sent
from tests.training.world import dealt

TWO = [
    {"key": key, "unit": "ms", "lower": 0.0, "upper": 100.0, "points": 4, "bins": 2}
    for key in ("one_ms", "two_ms")
]


def made(consortium: Consortium, found: Attempt, slug: str = "lakeside", **changes: Any) -> Any:
    spec = changes.get("spec", found.wire)
    return submission_make(
        agreement=CampaignAgreement(spec, dealt()[0]),
        context=changes.get("context", found.wire_context),
        identity=consortium[slug].agent.site.identity,
        measured={metric.key: Measured(value=50.0, unit=metric.unit) for metric in spec.metrics},
    )


def send(consortium: Consortium, found: Attempt, signed: Any, slug: str = "lakeside") -> Any:
    body = signed if isinstance(signed, bytes) else signed.canonical()
    client = consortium[slug].transport.client
    path = consortium.path(found, "submission")
    return client.post(path, body, content_type="application/json")


def refused(answer: Any, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    assert not sent("submission").exists()
    return str(answer.json()["detail"])


@pytest.fixture
def opened(consortium: Consortium) -> Attempt:
    campaign = consortium.create(metrics=TWO)
    consortium.step()
    return run_of(campaign)


def resigned(consortium: Consortium, signed: Signed[WireSubmission], slug: str, **changes: Any):
    body = signed.body.model_copy(update={"organization": slug, **changes})
    return consortium[slug].agent.site.identity.sign(body)


def test_a_vote_of_another_campaign_or_run(consortium: Consortium, opened: Attempt) -> None:
    other = CampaignContext.parse(opened.context | {"run": 2})
    detail = refused(
        send(consortium, opened, made(consortium, opened, context=other)), 422, "context_mismatch"
    )
    assert "bound to" in detail
    # The right context written over a proof that was made for another run.
    moved = resigned(
        consortium,
        made(consortium, opened, context=other),
        "lakeside",
        context=opened.context_digest,
    )
    refused(send(consortium, opened, moved), 422, "proof_invalid")


def test_a_vote_copied_from_another_organization(consortium: Consortium, opened: Attempt) -> None:
    copied = resigned(consortium, made(consortium, opened), "summit")
    refused(send(consortium, opened, copied, "summit"), 422, "proof_invalid")


def test_votes_in_each_others_place(consortium: Consortium, opened: Attempt) -> None:
    signed = made(consortium, opened)
    swapped = resigned(consortium, signed, "lakeside", votes=tuple(reversed(signed.body.votes)))
    refused(send(consortium, opened, swapped), 422, "proof_invalid")


def test_a_vote_outside_the_grid_with_a_forged_proof(
    consortium: Consortium, opened: Attempt
) -> None:
    """Three times a ciphertext encrypts three times the vote; its proof does not follow."""
    from federated.protocol.keys import public_key_of
    from federated.wire.base import decode_bytes, encode_bytes

    key = public_key_of(dealt()[0])
    signed = made(consortium, opened)
    first = signed.body.votes[0]
    value = key.decode_ciphertext(decode_bytes(first.ciphertext))
    tripled = encode_bytes(key.encode_ciphertext(pow(value, 3, key.n * key.n)))
    votes = (Vote(ciphertext=tripled, proof=first.proof), signed.body.votes[1])
    forged = resigned(consortium, signed, "lakeside", votes=votes)
    refused(send(consortium, opened, forged), 422, "proof_invalid")


def test_a_vote_too_few(consortium: Consortium, opened: Attempt) -> None:
    signed = made(consortium, opened)
    fewer = resigned(consortium, signed, "lakeside", votes=signed.body.votes[:1])
    refused(send(consortium, opened, fewer), 422, "invalid_input")


def test_another_organizations_signature_or_name(consortium: Consortium, opened: Attempt) -> None:
    signed = made(consortium, opened)
    refused(send(consortium, opened, signed, "summit"), 403, "forbidden")
    body = signed.body.model_copy(update={"organization": "summit"})
    by_lakeside = consortium["lakeside"].agent.site.identity.sign(body)
    refused(send(consortium, opened, by_lakeside, "summit"), 422, "signature_invalid")


@pytest.mark.parametrize("body", [b"", b"[]", b"NaN", b'{"body": NaN}', b"\xff", b"{" * 5000])
def test_what_is_no_submission(consortium: Consortium, opened: Attempt, body: bytes) -> None:
    refused(send(consortium, opened, body), 422, "invalid_input")


def test_two_submissions_of_one_organization(consortium: Consortium, opened: Attempt) -> None:
    first, second = made(consortium, opened), made(consortium, opened)
    assert send(consortium, opened, first).status_code == 201
    assert send(consortium, opened, first).status_code == 200
    answer = send(consortium, opened, second)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_sent")
    assert "PUT" in answer.json()["detail"]
    client, path = consortium["lakeside"].transport.client, consortium.path(opened, "submission")
    for digest, status in ((second.digest(), 409), (first.digest(), 201), (first.digest(), 200)):
        answer = client.put(
            f"{path}?replaces={digest}", second.canonical(), content_type="application/json"
        )
        assert answer.status_code == status, answer.content
    assert sent("submission").get().digest == second.digest()


def test_after_the_close(consortium: Consortium, opened: Attempt) -> None:
    signed = made(consortium, opened)
    pass_deadline(opened)
    refused(send(consortium, opened, signed), 409, "campaign_closed")


def test_an_organization_that_has_not_approved(consortium: Consortium) -> None:
    everybody = ["harbor", "lakeside", "northwind", "summit"]
    campaign = consortium.create(metrics=TWO, participants=everybody)
    consortium.step()
    found = run_of(campaign)
    signed = made(consortium, found, "harbor")
    detail = refused(send(consortium, found, signed, "harbor"), 403, "forbidden")
    assert "reserved nothing" in detail


# Drafts.


def create(operator: Any, **changes: Any) -> Any:
    from tests.benchmarks.world import DRAFT

    return operator.post(
        "/api/operator/campaigns", DRAFT | changes, content_type="application/json"
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"metrics": [{"key": "speed"}]}, "speed needs unit, lower and upper"),
        ({"metrics": []}, "metrics"),
        ({"epsilon": 11}, "epsilon"),
        ({"epsilon": 0}, "epsilon"),
        ({"schedule": "every monday"}, "schedule"),
        ({"schedule": "0 0 31 2 *"}, "never due"),
        ({"participants": ["lakeside", "nobody", "summit"]}, "nobody has no active site"),
        ({"participants": ["lakeside", "summit"]}, "3 are needed to decrypt"),
        ({"minimum_cohort": 9}, "minimum_cohort"),
        ({"noise": "gaussian"}, "delta"),
        ({"title": ""}, "title"),
        ({"surprise": 1}, "surprise"),
        ({"metrics": [{"key": "latency_ms", "lower": 5, "upper": 5}]}, "lower must be below"),
        ({"metrics": [{"key": "latency_ms", "grid": "log", "lower": 0}]}, "log grid"),
    ],
)
def test_a_campaign_that_makes_no_sense(
    consortium: Consortium, operator: Any, changes: dict[str, Any], told: str
) -> None:
    from apps.benchmarks.models import Campaign

    answer = create(operator, **changes)
    assert answer.status_code == 422, answer.content
    assert told in answer.json()["detail"]
    assert not Campaign.objects.exists()


def test_a_known_metric_needs_its_name_alone(consortium: Consortium, operator: Any) -> None:
    answer = create(operator, metrics=[{"key": "throughput_ops", "points": 8, "bins": 4}])
    assert answer.status_code == 201, answer.content
    listed = operator.get("/api/operator/campaigns").json()["campaigns"]
    assert listed[0]["metrics"] == [{"key": "throughput_ops", "unit": "ops/s", "better": "higher"}]
