"""Agents against the portal: a whole job, restarts, refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from django.utils import timezone
from django_tenants.utils import schema_context

from apps.attempts.models import Attempt as AttemptRow
from apps.attempts.models import ContributionReceipt, Participant
from apps.attempts.services.answers import endorse
from apps.common.actor import Actor
from apps.keys.bell import bell_ring
from apps.training.models import Job
from federated.errors import Unavailable
from federated.protocol.address import Attempt
from federated.protocol.cost import round_cost
from federated.site.local_data import LocalData
from federated.site.work.round import RoundPart
from federated.training.data import load_table
from federated.training.server import ServerState
from federated.wire.base import Signed, encode_bytes
from federated.wire.round import Cohort, Reason, RoundContext
from federated.wire.round import Contribution as WireContribution
from federated.wire.round import Verdict as WireVerdict
from tests.federated.client.portal import SiteAtWork, home_make
from tests.rows import sent
from tests.training.world import CAST, World, current, workers


class Sites(dict[str, SiteAtWork]):
    """The cast's agents on a portal with a published key."""

    world: World

    def play(self, job: Job, *, most: int = 40, until: str = "") -> None:
        """Let every agent work in turn until the job ended (or an attempt reached a state)."""
        for _ in range(most):
            for site in self.values():
                site.step()
                if until and current(job).state == until:
                    return
            workers()
            if until and current(job).state == until:
                return
            job.refresh_from_db()
            if job.ended:
                for site in self.values():
                    site.step()
                return

    def start(self, **options: object) -> Job:
        job = self.world.propose(**options)
        for site in self.values():
            site.step()
        workers()
        job.refresh_from_db()
        return job


@pytest.fixture
def sites(world: World, tmp_path: Path) -> Sites:
    made = Sites({slug: SiteAtWork(home_make(tmp_path, slug, held_out=0.3)) for slug in CAST})
    made.world = world
    return made


@pytest.fixture
def world(db: None) -> World:
    made = World()
    made.publish_key()
    made["harbor"].work()
    return made


def states_of(site: SiteAtWork) -> list[str]:
    return [charge.state for charge in site.home.ledger.report(site.slug).charges]


def test_agents_train_one_model_and_every_site_recomputes_it(sites: Sites) -> None:
    job = sites.start()
    sites.play(job)
    assert (job.state, job.reason) == (Job.State.FINISHED, "")
    for site in sites.values():
        assert not [line for line in site.lines if "failed" in line or "REFUSED" in line]
        state = ServerState.from_bytes(site.home.job(str(job.pk)).state(2))
        assert state.digest() == job.model_digest
        assert states_of(site) == ["committed"] * 2
        assert site.said("share 2 of 4 opened") or site.slug != "lakeside"
        curve = site.home.job(str(job.pk)).curve()
        assert [point["round"] for point in curve] == [1, 2]
        assert all(point["rows"] == curve[0]["rows"] and 8 < point["rows"] < 28 for point in curve)
    assert all(v.agrees for v in _verdicts(job))


def _verdicts(job: Job) -> list:
    rows = sent("verdict").filter(attempt__agreement=job)
    found = [Signed[WireVerdict].parse(bytes(row.content)).body for row in rows]
    assert len(found) == 2 * len(CAST)
    return found


def test_no_held_out_score_and_no_row_is_ever_sent(sites: Sites) -> None:
    job = sites.start()
    sites.play(job)
    for site in sites.values():
        sent = b"".join(body for _, body in site.transport.bodies)
        assert b'"auc"' not in sent  # base64url may well spell the bare letters
        for value in load_table(site.home.path / "ward.csv")["x0"]:
            assert str(value).encode() not in sent


def test_the_portal_mirrors_the_ledger(sites: Sites) -> None:
    job = sites.start()
    sites.play(job)
    for site in sites.values():
        site.step()
        answer = sites.world[site.slug].get("ledger").json()
        charged = [c for c in answer["charges"] if c["state"] == "committed"]
        assert len(charged) == 2
        assert sum(c["rho"] for c in charged) == pytest.approx(2 * round_cost(job.wire).rho)


@pytest.mark.parametrize("name", ["contribution", "receipt", "share", "verdict"])
def test_an_answer_that_is_lost_is_sent_again_as_the_same_bytes(sites: Sites, name: str) -> None:
    job = sites.start()
    site = sites["summit"]
    lost: list[str] = []

    def lose_once(request: httpx.Request) -> None:
        if request.url.path.endswith(name) and not lost:
            lost.append(request.url.path)
            raise httpx.ReadError("the connection broke")

    site.transport.before = lose_once
    for _ in range(20):
        for each in sites.values():
            each.step()
        workers()
        if lost:
            break
    assert site.said("does not answer")
    site.restart()
    sites.play(job)
    assert job.state == Job.State.FINISHED
    assert states_of(site) == ["committed"] * 2


def test_a_site_killed_after_sending_resends_the_bytes_it_kept(sites: Sites) -> None:
    job = sites.start()
    site = sites["summit"]
    site.step()
    (first,) = site.sent("contribution")
    # The coordinator lost the row: it asks again.
    sent("contribution").filter(organization="summit").delete()
    with schema_context("t_summit"):
        ContributionReceipt.objects.all().delete()
    site.restart()
    site.step()
    assert site.sent("contribution") == [first]
    sites.play(job)
    assert job.state == Job.State.FINISHED


def test_a_site_killed_before_sending_makes_no_second_noise(sites: Sites) -> None:
    job = sites.start()
    site = sites["summit"]

    def die(request: httpx.Request) -> None:
        if request.url.path.endswith("/contribution"):
            raise KeyboardInterrupt

    site.transport.before = die
    with pytest.raises(KeyboardInterrupt):
        site.step()
    kept = site.home.job(str(job.pk)).signed(WireContribution, "attempts/1-1/contribution")
    site.restart()
    site.step()
    assert kept is not None
    assert site.sent("contribution") == [kept.canonical()]


def test_a_job_over_the_allotment_is_declined_saying_by_how_much(sites: Sites) -> None:
    policy = sites["summit"].home.policy_path
    policy.write_text(policy.read_text() + "allotment: {epsilon: 0.5, delta: 1e-5}\n")
    job = sites.start()
    assert job.state == Job.State.DECLINED
    part = Participant.objects.get(agreement=job, organization="summit")
    assert "above the allotment of 0.5" in part.reason
    assert states_of(sites["summit"]) == []


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"max_epsilon": 0.1}, "max_epsilon: the job asks 1, allowed 0.1"),
        ({"approve": "never"}, "takes no jobs"),
        ({"minimum_colluding": 2}, "at least 2"),
    ],
)
def test_a_job_against_the_policy_is_declined_by_its_line(
    sites: Sites, edit: dict, reason: str
) -> None:
    policy = sites["lakeside"].home.policy_path
    text = policy.read_text().replace("approve: auto", "")
    values = {"approve": "auto", **edit}
    policy.write_text(text + "".join(f"{key}: {value}\n" for key, value in values.items()))
    job = sites.start()
    assert job.state == Job.State.DECLINED
    assert reason in Participant.objects.get(agreement=job, organization="lakeside").reason


def test_a_missing_column_is_declined_and_named_to_this_sites_people_alone(sites: Sites) -> None:
    site = sites["lakeside"]
    path = site.home.path / "ward.csv"
    load_table(path).drop(columns=["x1"]).to_csv(path, index=False)
    job = sites.start()
    assert job.state == Job.State.DECLINED
    told = Participant.objects.get(agreement=job, organization="lakeside").reason
    assert told == "the site's data does not fit the dictionary of ward"
    assert site.said("x1")


def test_a_job_waits_for_a_package_that_is_not_installed(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = sites["lakeside"]
    with monkeypatch.context() as absent:
        absent.setitem(sys.modules, "pandas", None)  # as where it is not installed
        job = sites.start()
    assert job.state == Job.State.PROPOSED
    assert site.said("pip install 'federated-simulation-cloud[train]'")
    assert states_of(site) == []
    for each in sites.values():
        each.step()
    workers()
    job.refresh_from_db()
    assert job.state == Job.State.RUNNING


def test_a_policy_of_portal_waits_for_a_person(sites: Sites) -> None:
    site = sites["summit"]
    text = site.home.policy_path.read_text()
    site.home.policy_path.write_text(text.replace("approve: auto", "approve: portal"))
    job = sites.start()
    assert job.state == Job.State.PROPOSED
    assert site.said("waits for a person's approval")
    assert states_of(site) == []
    endorse(job, organization="summit", actor=Actor("user", "1", "Ada", "summit"))
    site.step()
    workers()
    job.refresh_from_db()
    assert job.state == Job.State.RUNNING


def test_people_see_how_their_rows_fit_before_they_approve_and_nobody_else_does(
    sites: Sites,
) -> None:
    site = sites["summit"]
    text = site.home.policy_path.read_text()
    site.home.policy_path.write_text(text.replace("approve: auto", "approve: portal"))
    path = site.home.path / "ward.csv"
    table = pd.read_csv(path)
    table["x0"] = table["x0"].where(table.index >= 21, 7.5)  # out of bounds
    table["x1"] = table["x1"].where(table.index >= 9)
    table.assign(y=1).to_csv(path, index=False)
    job = sites.start()
    line = "ward.csv: 60 rows; all targets (y) are above 0; x0 35% clamped; x1 15% missing"
    assert site.said(f"the data here, known to this site alone: {line}")
    assert site.said(f"federated data check {job.pk} --home {site.home.path}")
    endorse(job, organization="summit", actor=Actor("user", "1", "Ada", "summit"))
    sites.play(job)
    assert job.state == Job.State.FINISHED
    # The others approve by themselves, and their rows fit.
    assert not sites["lakeside"].said("known to this site alone: ward.csv")
    for each in sites.values():
        for _, body in each.transport.bodies:
            assert not any(word in body for word in (b"clamped", b"35%", b"15%", b"ward.csv"))


def test_a_table_mended_before_a_person_approves_is_the_one_that_trains(sites: Sites) -> None:
    site = sites["summit"]
    text = site.home.policy_path.read_text()
    site.home.policy_path.write_text(text.replace("approve: auto", "approve: portal"))
    path = site.home.path / "ward.csv"
    good = path.read_bytes()
    pd.read_csv(path).assign(x0=7.5).to_csv(path, index=False)
    job = sites.start()
    assert site.said("x0 100% clamped")
    path.write_bytes(good)
    endorse(job, organization="summit", actor=Actor("user", "1", "Ada", "summit"))
    site.step()
    spec = site.agent.site.spec(str(job.pk))
    used, wanted = (
        each.rows(spec).training for each in (site.agent.site.data, LocalData(site.home))
    )
    assert np.array_equal(used.features, wanted.features)
    assert not site.agent.site.data.fit(spec).notable


def test_rows_that_fit_badly_are_said_where_nobody_is_asked(sites: Sites) -> None:
    site = sites["lakeside"]
    path = site.home.path / "ward.csv"
    pd.read_csv(path).assign(x0=7.5).to_csv(path, index=False)
    sites.start()
    assert site.said("approved: ")
    assert site.said("the data here, known to this site alone: ward.csv: 60 rows; x0 100% clamped")


def test_what_a_cancelled_job_did_not_use_comes_back(sites: Sites) -> None:
    job = sites.start()
    sites.play(job, until=AttemptRow.State.DECRYPTING)
    Job.objects.filter(pk=job.pk).update(state=Job.State.CANCELLED, ended_at=timezone.now())
    for site in sites.values():
        site.step()
        assert states_of(site) == ["committed", "returned"]


def test_a_site_that_missed_a_release_verifies_it_before_it_trains_on(sites: Sites) -> None:
    job = sites.start(rounds=3)
    site = sites["summit"]
    folder = site.home.job(str(job.pk))
    sites.play(job, until=AttemptRow.State.DECRYPTING)
    for each in sites.values():
        each.step()
    workers()
    second = current(job)
    assert (second.number, second.state) == (2, AttemptRow.State.COLLECTING)
    assert folder.verified_round() == 0
    RoundPart(site.agent.site, Attempt(str(job.pk), 2, 1)).contribute()
    assert folder.verified_round() == 1
    assert site.said("missed release verified")


def test_a_model_that_the_site_did_not_recompute_is_not_trained_on(sites: Sites) -> None:
    job = sites.start()
    found = current(job)
    other = ServerState.initial(np.ones(job.wire.model.parameters))
    body = found.context | {"model": other.digest()}
    context = RoundContext.parse(body)
    AttemptRow.objects.filter(pk=found.pk).update(context=body, context_digest=context.digest())
    site = sites["summit"]
    site.step()
    assert site.said("this site recomputed")
    assert site.sent("contribution") == []


def refusals(job: Job) -> list[tuple[str, str]]:
    rows = sent("refusal").filter(attempt__agreement=job).order_by("organization")
    return [(row.organization, row.reason) for row in rows]


def present(found: AttemptRow, state: str, *, without: str = "") -> None:
    """Close an attempt over fewer contributions, as an evil coordinator does in its tables."""
    found.messages.filter(name="contribution").filter(organization=without).delete()
    found.messages.filter(name="share").delete()
    if state == AttemptRow.State.CHARGING:
        found.messages.filter(name="receipt").delete()
    members = dict(found.messages.filter(name="contribution").values_list("organization", "digest"))
    cohort = Cohort(context=found.context_digest, members=members)
    AttemptRow.objects.filter(pk=found.pk).update(
        state=state, cohort=cohort.dump(), cohort_digest=cohort.digest(), product=None
    )
    bell_ring(list(CAST))


def test_a_cohort_below_the_minimum_is_refused(sites: Sites) -> None:
    job = sites.start()
    sites.play(job, until=AttemptRow.State.DECRYPTING)
    present(current(job), AttemptRow.State.DECRYPTING, without="summit")
    sites["lakeside"].step()
    assert ("lakeside", Reason.COHORT_BELOW_MINIMUM.value) in refusals(job)
    assert sites["lakeside"].said("REFUSED cohort_below_minimum")
    assert sites["lakeside"].sent("share") == []


def test_a_changed_spec_is_refused(sites: Sites) -> None:
    job = sites.start()
    sites.play(job, until=AttemptRow.State.DECRYPTING)
    spec = job.spec
    spec["body"]["privacy"]["epsilon"] = 8.0
    Job.objects.filter(pk=job.pk).update(spec=spec)
    bell_ring(list(CAST))
    sites["lakeside"].step()
    assert sites["lakeside"].said("REFUSED spec_changed")
    assert sites["lakeside"].sent("share") == []


def test_another_contribution_in_this_sites_name_is_refused(sites: Sites) -> None:
    job = sites.start()
    sites.play(job, until=AttemptRow.State.CHARGING)
    site = sites["summit"]
    kept = site.home.path / "jobs" / str(job.pk) / "attempts/1-1/contribution.json"
    sent = Signed[WireContribution].parse(kept.read_bytes()).body
    other = sent.model_copy(update={"proof": encode_bytes(b"of another contribution")})
    kept.write_bytes(site.agent.site.identity.sign(other).canonical())
    site.step()
    assert site.said("REFUSED own_contribution_changed")
    assert states_of(site) == ["reserved", "reserved"]


def test_no_share_leaves_before_all_charges_are_in(sites: Sites) -> None:
    job = sites.start()
    sites.play(job, until=AttemptRow.State.DECRYPTING)
    found = current(job)
    found.messages.filter(name="receipt").filter(organization="summit").delete()
    bell_ring(list(CAST))
    sites["lakeside"].step()
    assert sites["lakeside"].said("REFUSED charge_missing: no charge by summit")
    assert sites["lakeside"].sent("share") == []


def test_an_unreachable_coordinator_stops_no_agent(sites: Sites) -> None:
    site = sites["summit"]

    def down(request: httpx.Request) -> None:
        raise httpx.ConnectError("refused")

    site.transport.before = down
    with pytest.raises(Unavailable, match="does not answer"):
        site.agent.step()
    site.transport.before = lambda request: None
    site.step()
    assert site.said("share")


def test_one_failing_task_keeps_no_other_from_being_done(sites: Sites) -> None:
    first = sites.world.propose()
    second = sites.world.propose()
    site = sites["summit"]

    def broken(request: httpx.Request) -> None:
        if request.url.path == f"/api/jobs/{first.pk}":
            raise httpx.ReadError("broken")

    site.transport.before = broken
    site.step()
    states = dict(
        Participant.objects.filter(organization="summit").values_list("agreement_id", "state")
    )
    assert states == {first.pk: "pending", second.pk: "approved"}
    assert site.said("approve")
