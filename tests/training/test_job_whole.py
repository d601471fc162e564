"""A job from proposal to model, by honest sites on the HTTP API."""

from __future__ import annotations

from django_tenants.utils import schema_context

from apps.attempts.models import Attempt, ContributionReceipt
from apps.provenance.models import Event
from apps.training.models import Job
from federated.training.server import ServerState
from tests.training.world import CAST, INITIAL, World, current, workers


def play(world: World, job: Job, *, most: int = 40) -> None:
    for _ in range(most):
        for slug in CAST:
            world[slug].work()
        workers()
        job.refresh_from_db()
        if job.ended and not any(world[slug].inbox().tasks for slug in CAST):
            return


def test_three_sites_train_one_model(world: World) -> None:
    job = world.start()
    play(world, job)
    assert (job.state, job.reason) == (Job.State.FINISHED, "")
    assert job.attempts.filter(state=Attempt.State.RELEASED).count() == 2
    answer = world["summit"].get(f"models/{job.model_digest}")
    assert answer["Content-Type"] == "application/octet-stream"
    state = ServerState.from_bytes(answer.getvalue())
    assert (state.step, state.digest()) == (2, job.model_digest)
    # Every site recomputed the same model, from ciphertexts and shares alone.
    assert {world[slug].states[str(job.pk)].digest() for slug in CAST} == {job.model_digest}
    # The noise is a few hundred grid units a site; the sum itself is two orders larger.
    first = job.attempts.get(number=1).wire_release
    assert first is not None
    exact = sum(world[slug].gradient for slug in CAST)
    noise = job.wire.privacy.noise_sigma * 3**0.5
    assert all(abs(a - b) < 12 * noise for a, b in zip(first.values, exact, strict=True))


def test_every_step_is_one_event(world: World) -> None:
    job = world.start()
    play(world, job)
    events = Event.objects.filter(subject_kind="job", subject_id=str(job.pk))
    tags = list(events.order_by("created_at").values_list("tag", flat=True))
    assert tags[:6] == [
        "federation:job:proposed",
        *["federation:job:approved"] * 3,
        "federation:job:queued",
        "federation:job:started",
    ]
    for tag, count in {
        "federation:round:opened": 2,
        "federation:contribution:accepted": 6,
        "federation:round:closed": 2,
        "federation:receipt:accepted": 6,
        "federation:round:charged": 2,
        "federation:round:released": 2,
        "federation:verdict:accepted": 6,
        "federation:job:finished": 1,
    }.items():
        assert tags.count(tag) == count, tag
    # Three of four trustees take part, and all three are needed.
    assert tags.count("federation:share:accepted") == 6


def test_the_job_tells_what_it_cost(world: World) -> None:
    job = world.start()
    play(world, job)
    told = world["lakeside"].get(f"jobs/{job.pk}").json()
    assert told["epsilons"]["attempts_charged"] == 2
    assert told["epsilons"]["charged"] == told["epsilons"]["whole"]
    assert 0 < told["epsilons"]["whole"]["coordinator"] <= told["epsilons"]["target"] == 1.0
    assert told["epsilons"]["whole"]["insiders"] > told["epsilons"]["whole"]["coordinator"]
    assert [r["cohort"] for r in told["rounds"]] == [list(CAST)] * 2


def test_an_organization_keeps_receipts_of_its_own_contributions(world: World) -> None:
    job = world.start()
    play(world, job)
    with schema_context("t_summit"):
        rows = list(ContributionReceipt.objects.order_by("number"))
    assert [(r.agreement_id, r.number, r.attempt) for r in rows] == [(job.pk, 1, 1), (job.pk, 2, 1)]
    with schema_context("t_harbor"):
        assert not ContributionReceipt.objects.exists()


def test_the_first_round_starts_from_the_proposed_state(world: World) -> None:
    job = world.start()
    context = current(job).wire_context
    assert context.model == INITIAL.digest() == job.wire.initial_state
    assert (context.round, context.attempt, context.spec) == (1, 1, job.wire.digest())
