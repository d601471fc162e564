"""A joint evaluation by real agents: proposed, counted, charged, released, read, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from apps.attempts.models import Participant
from apps.training.models import Job, ModelState
from apps.training.storage import state_bytes
from federated import FederatedClient, PrivacyConfig
from federated.command.main import main
from federated.errors import InvalidInput, NotFound
from federated.protocol.cost import job_cost
from federated.protocol.joint_evaluation import JointEvaluation
from federated.provenance.verify import verify_bundle
from federated.site.local_data import LocalData
from federated.site.site import Waiting
from federated.site.work.approve import job_decide
from federated.training.server import ServerState, released_parameters
from federated.training.tally import bounded_counts
from federated.verify.rounds import round_checks
from federated.wire.base import encode_bytes
from federated.wire.job import JobSpec, ModelSpec
from tests import second_verifier
from tests.conftest import SITE_KEYS
from tests.federated.client.portal import URL, PortalTransport, SiteAtWork, home_make
from tests.training.world import CAST, World, workers

LOUD = PrivacyConfig(epsilon=10.0)
FRESH = "00000000-0000-4000-8000-000000000001"
WIDER = ModelSpec.parse(
    {
        "layers": [
            {"kind": "linear", "in_features": 3, "out_features": 2},
            {"kind": "linear", "in_features": 2, "out_features": 1},
        ]
    }
).dump()
GENEROUS = "max_epsilon: 10.0\nallotment: {epsilon: 100.0}\n"


class Sites(dict[str, SiteAtWork]):
    """The cast's agents, one trained model, and Northwind's scientist."""

    world: World
    trained: Job
    client: FederatedClient

    def play(self, job_id: str) -> Job:
        job = Job.objects.get(pk=job_id)
        for _ in range(40):
            for site in self.values():
                site.step()
            workers()
            job.refresh_from_db()
            if job.ended:
                break
        for site in self.values():
            site.step()
        return job

    def evaluate(self, **options: object) -> Job:
        options.setdefault("privacy", LOUD)
        return self.play(self.client.submit_evaluation(str(self.trained.pk), **options))

    def decide(self, slug: str, job: Job) -> None:
        """One site's decision on a proposal."""
        job_decide(self[slug].agent.site, str(job.pk))

    def exact(self, spec: JobSpec) -> np.ndarray:
        """The sum of all sites' tables without noise, from the files."""
        total = np.zeros(spec.dimension)
        for site in self.values():
            folder = site.home.job(str(self.trained.pk))
            state = ServerState.from_bytes(folder.state(1))
            trained = self.trained.wire
            parameters = released_parameters(state, trained.training)
            rows = LocalData(site.home).rows(trained).held_out
            total += bounded_counts(spec, parameters, rows) / spec.privacy.units
        return total


@pytest.fixture
def sites(db: None, tmp_path: Path) -> Iterator[Sites]:
    made = Sites({slug: SiteAtWork(home_make(tmp_path, slug, held_out=0.3)) for slug in CAST})
    made.world = World()
    made.world.publish_key()
    made.world["harbor"].work()
    for site in made.values():
        site.home.policy_path.write_text(GENEROUS + site.home.policy_path.read_text())
        site.step()
    made.trained = made.play(str(made.world.propose(rounds=1).pk))
    assert made.trained.state == Job.State.FINISHED
    home = made["northwind"].home
    with (
        home.lock(),
        FederatedClient(
            "northwind",
            URL,
            home.pem,
            progress=False,
            transport=PortalTransport(SITE_KEYS["northwind"].der),
        ) as client,
    ):
        made.client = client
        yield made


def test_the_sites_count_and_every_one_reads_the_same_results(sites: Sites, tmp_path: Path) -> None:
    before = sites["summit"].home.ledger.report("summit").accounts[0].spent_epsilon
    job = sites.evaluate()
    assert (job.state, job.reason) == (Job.State.FINISHED, "")
    found = sites.client.receive_evaluation(str(job.pk), timeout=0)
    assert (found.verified, found.of_job, found.members) == (True, str(sites.trained.pk), CAST)
    assert found.spec.strategy.bins == 8 and found.spec.dimension == 16

    # The released counts are the sites' held-out rows, each in its cell, with the noise claimed.
    exact = sites.exact(found.spec)
    cells = np.array(job.attempts.get().wire_release.values) / found.spec.privacy.units
    held_out = [LocalData(s.home).rows(sites.trained.wire).held_out for s in sites.values()]
    assert exact.sum() == sum(map(len, held_out))
    # Sixteen Gaussians beyond 7.5 standard deviations: once in 10^12 runs.
    assert np.abs(cells - exact).max() < 7.5 * found.result.noise < 7.5
    assert found.metrics["auc"].low <= found.metrics["auc"].value <= found.metrics["auc"].high

    # The model stays what it was, and each site says what it verified.
    assert job.model_digest == sites.trained.model_digest
    assert not ModelState.objects.filter(job=job).exclude(step=0).exists()
    for site in sites.values():
        assert site.said("joint evaluation of job")
        assert not [line for line in site.lines if "failed" in line or "REFUSED" in line]
    _charged(sites, job, before)
    _told(sites, job, found)
    _shown(sites, job, found)
    _verified(sites, job, found, tmp_path)


def _charged(sites: Sites, job: Job, before: float) -> None:
    """On the account of the data set's records, as training is."""
    report = sites["summit"].home.ledger.report("summit")
    (account,) = report.accounts
    (charge,) = [c for c in report.charges if c.job_id == str(job.pk)]
    assert (account.dataset, account.unit) == ("ward", "record")
    assert (charge.state, charge.rho) == ("committed", job_cost(job.wire).rho)
    assert account.spent_epsilon > before


def _told(sites: Sites, job: Job, found: JointEvaluation) -> None:
    """By the portal, and by the model that the evaluation is of."""
    asked = sites.world["lakeside"].get(f"jobs/{job.pk}").json()
    assert (asked["kind"], asked["evaluates"]["round"]) == ("evaluation", 1)
    assert asked["result"]["metrics"]["auc"]["value"] == found.metrics["auc"].value
    of_model = sites.world["lakeside"].get(f"jobs/{sites.trained.pk}").json()
    assert (of_model["kind"], of_model["evaluations"]) == ("training", [str(job.pk)])
    model = sites.client.receive_update(str(sites.trained.pk), timeout=0)
    assert model.metrics["joint"] == found.dump()
    with pytest.raises(InvalidInput, match="trains no model"):
        sites.client.receive_update(str(job.pk), timeout=0)
    with pytest.raises(InvalidInput, match="receive_update"):
        sites.client.receive_evaluation(str(sites.trained.pk), timeout=0)


def _shown(sites: Sites, job: Job, found: JointEvaluation) -> None:
    """At the terminal of any site that verified it, under either job's id."""
    home = ["--home", str(sites["summit"].home.path)]
    for job_id in (str(job.pk), str(sites.trained.pk)):
        shown = CliRunner().invoke(main, ["evaluations", job_id, *home])
        assert shown.exit_code == 0, shown.output
        assert "Joint evaluation of job" in shown.output and "Calibration" in shown.output
        told = CliRunner().invoke(main, ["evaluations", job_id, *home, "--json"])
        assert json.loads(told.output) == [found.dump()]


def _verified(sites: Sites, job: Job, found: JointEvaluation, folder: Path) -> None:
    """By whoever holds the portal's bundle, twice; a replay finds the same results."""
    content = sites.client.api.bundle(str(job.pk))
    path = folder / "bundle.json"
    path.write_bytes(content if isinstance(content, bytes) else Path(content).read_bytes())
    report = verify_bundle(path, checks=[round_checks])
    assert report.ok, report.failures
    second_verifier.verify(path.read_bytes())
    replayed = folder / "results.json"
    done = CliRunner().invoke(main, ["replay", str(path), "-o", str(replayed)])
    assert done.exit_code == 0, done.output
    assert json.loads(replayed.read_text()) == found.dump()


def test_a_person_proposes_one_at_the_terminal(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "federated.sdk.client.FederatedClient",
        partial(FederatedClient, transport=PortalTransport(SITE_KEYS["northwind"].der)),
    )
    home = ["--home", str(sites["northwind"].home.path), "--no-wait"]
    asked = ["evaluate", str(sites.trained.pk), *home, "--epsilon", "0.5", "--bins", "4"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    job = Job.objects.get(state=Job.State.PROPOSED)
    assert f"evaluation {job.pk} proposed" in done.output
    assert (job.wire.privacy.epsilon, job.wire.strategy.bins) == (0.5, 4)
    done = CliRunner().invoke(main, ["evaluate", str(sites.trained.pk), *home, "--bins", "9"])
    assert done.exit_code == 1 and "at most 8" in done.output


def test_the_split_is_the_one_of_training_and_a_site_without_one_says_so(sites: Sites) -> None:
    policy = sites["summit"].home.policy_path
    policy.write_text(policy.read_text().replace(", held_out: 0.3", ""))
    # The job was approved with the split, whatever the policy says now.
    sites.decide("summit", _made(sites))
    assert sites["summit"].said("approved")
    sites.trained = sites.play(str(sites.world.propose(rounds=1).pk))
    sites.decide("summit", _made(sites))
    assert sites["summit"].said("this site holds no rows of ward out of training")


def test_it_is_reserved_before_it_opens_and_only_what_fits_is(sites: Sites) -> None:
    policy = sites["summit"].home.policy_path
    policy.write_text(policy.read_text().replace("epsilon: 100.0", "epsilon: 11.0"))
    first, second = _made(sites), _made(sites)
    sites.decide("summit", first)
    ledger = sites["summit"].home.ledger
    (charge,) = [c for c in ledger.report("summit").charges if c.job_id == str(first.pk)]
    assert (charge.state, charge.cohort) == ("reserved", None)
    assert not first.attempts.exists()
    sites.decide("summit", second)
    assert sites["summit"].said("above the allotment of 11")
    assert [j for j in ledger.open_jobs() if j in {str(first.pk), str(second.pk)}] == [
        str(first.pk)
    ]
    sites.decide("summit", first)
    assert len([c for c in ledger.report("summit").charges if c.job_id == str(first.pk)]) == 1


def test_the_policy_file_decides_on_evaluations(sites: Sites) -> None:
    policy = sites["summit"].home.policy_path
    usual = policy.read_text()
    policy.write_text("evaluations: portal\n" + usual)
    job = _made(sites)
    with pytest.raises(Waiting, match="waits for a person"):
        sites.decide("summit", job)
    policy.write_text("evaluations: never\n" + usual)
    sites.decide("summit", job)
    assert sites["summit"].said("policy evaluations: never; this site takes no joint evaluations")


def test_rows_that_do_not_fit_an_evaluation_are_named_to_this_sites_people_alone(
    sites: Sites,
) -> None:
    job = _made(sites)
    site = sites["summit"]
    path = site.home.path / "ward.csv"
    path.write_text(path.read_text().replace("x1", "unlisted_column", 1))
    before = len(site.transport.bodies)
    sites.decide("summit", job)
    part = Participant.objects.get(agreement=job, organization="summit")
    assert part.reason == "the site's data does not fit the dictionary of ward"
    assert site.said("ward.csv: no column x1")
    assert not any(b"unlisted_column" in body for _, body in site.transport.bodies[before:])


def _made(sites: Sites) -> Job:
    job_id = sites.client.submit_evaluation(str(sites.trained.pk), privacy=LOUD)
    return Job.objects.get(pk=job_id)


def test_what_the_portal_refuses(sites: Sites) -> None:
    job = _made(sites)
    _refuses_strangers(sites, job)
    content = state_bytes(job.states.get(step=0))
    other = state_bytes(sites.trained.states.get(step=0))
    swapped = {"initial_state": ServerState.from_bytes(other).digest()}
    for changes, strategy, state, said in (
        (swapped, {}, other, "initial_state"),
        ({}, {"bins": 10}, content, "at most 8"),
        ({}, {"bins": 7}, content, "even number"),
        ({}, {"round": 9}, content, "released no round 9"),
        ({}, {"spec": "0" * 64}, content, "strategy.spec"),
        ({"round_seconds": 7, "model": WIDER}, {}, content, "model"),
    ):
        body = job.wire.dump() | {"job_id": FRESH} | changes
        body["strategy"] |= strategy
        try:
            raw = sites.world["northwind"].sign(JobSpec.parse(body)).dump()
        except InvalidInput as error:
            assert said in error.message
            raw = job.spec | {"body": body}
        proposal = {"spec": raw, "state": encode_bytes(state)}
        answer = sites.world["northwind"].post("jobs", json.dumps(proposal).encode())
        assert (answer.status_code, said in answer.json()["detail"]) == (422, True)


def _refuses_strangers(sites: Sites, job: Job) -> None:
    """Who takes no part sees no evaluation, and has no model evaluated that it did not train."""
    harbor = sites.world["harbor"]
    assert harbor.get(f"jobs/{job.pk}").status_code == 404
    own = job.wire.model_copy(
        update={
            "job_id": FRESH,
            "proposer": "harbor",
            "participants": sites.world.spec(("harbor", "lakeside", "northwind")).participants,
        }
    )
    content = state_bytes(sites.trained.states.get(step=1))
    answer = harbor.post("jobs", sites.world.proposal(own, by="harbor", state=content))
    assert answer.status_code == 404
    with pytest.raises(NotFound):
        sites.client.submit_evaluation(FRESH)


def test_a_site_refuses_a_model_that_it_never_verified(sites: Sites) -> None:
    """A lying portal shows a signed evaluation, and the state that it names, of another model."""
    job, site = _made(sites), sites["summit"]
    good = ServerState.from_bytes(site.home.job(str(sites.trained.pk)).state(1))
    swapped = replace(good, parameters=good.parameters + 1, average=good.average + 1)
    spec = job.wire.model_copy(update={"job_id": FRESH, "initial_state": swapped.digest()})
    api = site.agent.site.api
    shown = api.job(str(job.pk)) | {"spec": sites.world["northwind"].sign(spec).dump()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "job", lambda job_id: shown)
        patch.setattr(api, "model", lambda digest: swapped.to_bytes())
        patch.setattr(api, "job_decline", lambda declined: None)
        job_decide(site.agent.site, FRESH)
    assert site.said("declined: initial_state")
    assert site.home.job(FRESH).spec() is None
    assert FRESH not in site.home.ledger.open_jobs()
