"""Proposals: what is wrong is said by name before anything is stored."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from django_tenants.utils import schema_context

from apps.budgets.models import Account
from apps.keys.models import KeyEpoch
from apps.provenance.models import Event
from apps.training.models import Job, ModelState
from federated.privacy.config import PrivacyConfig
from federated.protocol.cost import job_cost
from federated.training.server import ServerState
from federated.wire import job as wire
from federated.wire.base import canonical, encode_bytes
from federated.wire.site import Work
from tests.training.world import CAST, INITIAL, World, identity_of


def refused(world: World, body: bytes, *, by: str = "northwind") -> tuple[int, str, str]:
    answer = world[by].post("jobs", body)
    assert not Job.objects.exists()
    assert not ModelState.objects.exists()
    told = answer.json()
    return answer.status_code, told["code"], told["detail"]


def changed(spec: wire.JobSpec, **changes: Any) -> wire.JobSpec:
    return spec.model_copy(update=changes)


def test_the_same_proposal_again_is_the_same_job(world: World) -> None:
    spec = world.spec()
    body = world.proposal(spec)
    first, second = (world["northwind"].post("jobs", body) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json() == {"job_id": spec.job_id}
    assert ModelState.objects.count() == 1


def test_the_id_of_a_job_stands_for_one_spec(world: World) -> None:
    spec = world.spec()
    world["northwind"].post("jobs", world.proposal(spec))
    answer = world["northwind"].post("jobs", world.proposal(changed(spec, round_seconds=99)))
    assert (answer.status_code, answer.json()["code"]) == (409, "already_sent")


def test_waits_for_the_approvals_by_name(world: World) -> None:
    job = world.propose()
    assert job.reason == "waits for approval of lakeside, northwind, summit"
    world["lakeside"].work(Work.APPROVE)
    job.refresh_from_db()
    assert job.reason == "waits for approval of northwind, summit"


def test_another_organizations_proposal(world: World) -> None:
    assert refused(world, world.proposal(world.spec()), by="summit")[:2] == (403, "forbidden")


def test_signed_by_another_key(world: World) -> None:
    assert refused(world, world.proposal(world.spec(), by="summit"))[1] == "signature_invalid"


def test_another_consortium(world: World) -> None:
    _, code, detail = refused(world, world.proposal(changed(world.spec(), consortium="elsewhere")))
    assert code == "invalid_input"
    assert "consortium: elsewhere" in detail


def test_a_key_of_its_own_for_a_participant(world: World) -> None:
    """A pinned key that is nobody's site key would mint a cohort member."""
    parts = world.spec().participants
    forged = wire.Participant(organization="summit", public_key=identity_of("harbor").public_key)
    spec = changed(world.spec(), participants=(*parts[:2], forged))
    assert "the key pinned for summit is not its site's" in refused(world, world.proposal(spec))[2]


def test_an_organization_without_a_site(world: World) -> None:
    parts = list(world.spec().participants[:2])
    stranger = wire.Participant(organization="zenith", public_key=identity_of("summit").public_key)
    spec = changed(world.spec(), participants=(*parts, stranger))
    assert "zenith has no active site" in refused(world, world.proposal(spec))[2]


def test_a_raised_epsilon_claim(world: World) -> None:
    spec = world.spec()
    loud = changed(spec, privacy=spec.privacy.model_copy(update={"epsilon": 0.1}))
    detail = refused(world, world.proposal(loud))[2]
    assert "the spec claims 0.1" in detail


def test_no_noise_is_refused(world: World) -> None:
    spec = world.spec(privacy=PrivacyConfig(mechanism="none", allow_no_noise=True))
    detail = refused(world, world.proposal(spec))[2]
    assert '"none" is not allowed here' in detail


def test_a_delta_that_one_record_in_all_would_meet(world: World) -> None:
    spec = world.spec(privacy=PrivacyConfig(delta=0.01))
    detail = refused(world, world.proposal(spec))[2]
    assert "0.01 is not below 1 / 100 records" in detail


def test_an_epsilon_above_10_is_an_event_with_its_reason(world: World, summit_admin: Any) -> None:
    privacy = PrivacyConfig(epsilon=12.0, allow_high_epsilon="a public data set")
    bare = world.spec(privacy=privacy).dump()
    bare["privacy"]["high_epsilon_reason"] = None
    body = canonical({"spec": {"body": bare, "signer": "0" * 64, "signature": ""}, "state": ""})
    assert "above 10" in refused(world, body)[2]
    job = world.propose(privacy=privacy)
    (event,) = Event.objects.filter(tag="federation:epsilon:overridden")
    data = json.loads(bytes(event.canonical))["data"]
    assert data == {"epsilon": 12, "reason": "a public data set"}
    page = summit_admin.get(f"/o/summit/jobs/{job.pk}/", secure=True).content.decode()
    assert "is above 10 and protects next to nothing" in page
    assert "a public data set" in page


def test_sums_that_do_not_fit_a_mask(world: World) -> None:
    wide = world.spec(aggregation="masked")
    privacy = changed(wide.privacy, noise_sigma=1e15)
    detail = refused(world, world.proposal(changed(wide, privacy=privacy)))[2]
    assert "bits" in detail


def test_noise_that_swamps_the_signal_is_told_before_anyone_approves(
    world: World, summit_admin: Any
) -> None:
    job = world.propose(privacy=PrivacyConfig(epsilon=0.05))
    (warning,) = world["summit"].get(f"jobs/{job.pk}").json()["warnings"]
    assert "noise swamps the signal" in warning
    page = summit_admin.get(f"/o/summit/jobs/{job.pk}/", secure=True).content.decode()
    assert "noise swamps the signal" in page
    calm = world.propose(privacy=PrivacyConfig(epsilon=9.0))
    assert world["summit"].get(f"jobs/{calm.pk}").json()["warnings"] == []


def test_a_key_that_is_unknown_or_retired(world: World) -> None:
    unknown = changed(world.spec(), key_epoch="0" * 64)
    assert "is not known" in refused(world, world.proposal(unknown))[2]
    KeyEpoch.objects.update(state=KeyEpoch.State.RETIRED)
    assert "is retired" in refused(world, world.proposal(world.spec()))[2]


@pytest.mark.parametrize("sigma", [1e240, -1.0, 2.9])
def test_an_impossible_noise(world: World, sigma: float) -> None:
    body = json.loads(world.proposal(world.spec()))
    body["spec"]["body"]["privacy"]["noise_sigma"] = sigma
    status, code, detail = refused(world, json.dumps(body).encode())
    assert (status, code) == (422, "invalid_input")
    assert "noise_sigma" in detail


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (b"", "server state"),
        (b"not safetensors at all", "server state"),
        (ServerState.initial(np.ones(4)).to_bytes(), "digest"),
        (INITIAL.to_bytes()[:-8], "server state"),
    ],
)
def test_a_state_that_is_not_the_specs(world: World, state: bytes, said: str) -> None:
    assert said in refused(world, world.proposal(world.spec(), state=state))[2]


def test_a_state_of_another_shape(world: World) -> None:
    other = ServerState.initial(np.zeros(7))
    spec = world.spec(initial_state=other.digest())
    detail = refused(world, world.proposal(spec, state=other.to_bytes()))[2]
    assert "step 0 with 7 parameters; step 0 with 4 is needed" in detail


def test_bounds_are_needed(world: World) -> None:
    body = json.loads(world.proposal(world.spec()))
    del body["spec"]["body"]["data"]["features"][0]["lower"]
    status, code, detail = refused(world, json.dumps(body).encode())
    assert (status, code) == (422, "invalid_input")
    assert "features.0.numeric.lower" in detail


def test_a_nan_bound(world: World) -> None:
    body = json.loads(world.proposal(world.spec()))
    body["spec"]["body"]["data"]["features"][0]["lower"] = float("nan")
    assert refused(world, json.dumps(body).encode())[:2] == (422, "invalid_input")


def test_over_the_size_limit(world: World) -> None:
    body = {"spec": {}, "state": encode_bytes(b"x" * 100)}
    answer = world["northwind"].client.post(
        "/api/jobs",
        json.dumps(body),
        content_type="application/json",
        headers={"content-length": str(2**40)},
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_over_the_allotment_says_by_how_much(world: World) -> None:
    spec = world.spec()
    with schema_context("t_northwind"):
        Account.objects.create(
            dataset="ward",
            unit="record",
            allotted_epsilon=0.5,
            allotted_delta=1e-5,
            period="year",
            max_queries=100,
            reserved_rho=0.0,
            committed_rho=job_cost(spec).rho,
            spent_epsilon=0.9,
        )
    status, code, detail = refused(world, world.proposal(spec))
    assert (status, code) == (409, "budget_exceeded")
    assert detail.startswith("ward: epsilon would reach 1.")
    assert " too much; it renews on " in detail


def test_a_decline_ends_the_job(world: World) -> None:
    job = world.propose()
    no = wire.Decline(
        job_id=str(job.pk), spec=job.spec_digest, organization="summit", reason="epsilon over 0.5"
    )
    answer = world["summit"].post(f"jobs/{job.pk}/decline", world["summit"].sign(no))
    assert answer.status_code == 201
    job.refresh_from_db()
    assert (job.state, job.reason) == (
        Job.State.DECLINED,
        "declined by summit: epsilon over 0.5",
    )
    late = world["lakeside"].post(f"jobs/{job.pk}/approval", world["lakeside"].approval(job.wire))
    assert (late.status_code, late.json()["code"]) == (409, "closed")


@pytest.mark.parametrize("change", ["spec", "cost", "rounds"])
def test_an_approval_of_something_else(world: World, change: str) -> None:
    job = world.propose()
    site = world["summit"]
    good = site.approval(job.wire).body
    other: dict[str, Any] = {
        "spec": "0" * 64,
        "cost": good.cost.model_copy(update={"rho": good.cost.rho / 10}),
        "rounds": 1,
    }
    wrong = site.sign(good.model_copy(update={change: other[change]}))
    answer = site.post(f"jobs/{job.pk}/approval", wrong)
    assert (answer.status_code, answer.json()["fields"]["reason"]) == (422, "approval_missing")
    assert not job.participants.exclude(state="pending").exists()


def test_nobody_approves_for_another(world: World) -> None:
    job = world.propose()
    theirs = world["lakeside"].approval(job.wire)
    answer = world["summit"].post(f"jobs/{job.pk}/approval", theirs)
    assert answer.status_code == 403
    forged = world["summit"].sign(theirs.body)
    assert world["lakeside"].post(f"jobs/{job.pk}/approval", forged).status_code == 422
    assert not job.participants.exclude(state="pending").exists()


def test_all_participants_are_asked(world: World) -> None:
    world.propose()
    for slug in CAST:
        assert [task.kind for task in world[slug].inbox().tasks] == [Work.APPROVE]
    assert world["harbor"].inbox().tasks == ()
