"""FederatedClient on the portal: propose, train by agents, receive; and errors before sending."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from apps.training.models import Job
from federated import FederatedClient, GlobalModel, PrivacyConfig
from federated.errors import Conflict, Forbidden, InvalidInput, NotFound, PrivacyWarning
from federated.protocol.cost import job_cost
from federated.sdk.outcome import JobEnded, TimedOut
from federated.site.folder import SiteHome
from federated.training.data import encode, load_table
from tests.conftest import SITE_KEYS
from tests.federated.client.portal import (
    URL,
    PortalTransport,
    SiteAtWork,
    home_make,
)
from tests.federated.training.saved import read_model
from tests.training.world import CAST, DICTIONARY, World, workers

FEATURES = {feature.name: (feature.lower, feature.upper) for feature in DICTIONARY.features}
ASKED = {"features": FEATURES, "target": "y", "dataset": "ward", "nominal_records": 100}


@pytest.fixture
def world(db: None) -> World:
    made = World()
    made.publish_key()
    made["harbor"].work()
    return made


@pytest.fixture
def sites(world: World, tmp_path: Path) -> dict[str, SiteAtWork]:
    found = {slug: SiteAtWork(home_make(tmp_path, slug, held_out=0.3)) for slug in CAST}
    for site in found.values():
        site.step()
    return found


def client_of(home: SiteHome, slug: str = "northwind", **options: object) -> FederatedClient:
    transport = PortalTransport(SITE_KEYS[home.credentials.organization].der)
    return FederatedClient(
        tenant_id=slug,
        coordinator_url=URL,
        credentials=home.pem,
        progress=False,
        transport=transport,
        **options,
    )


@pytest.fixture
def client(sites: dict[str, SiteAtWork]) -> Iterator[FederatedClient]:
    """Northwind's, beside its agent (which the test steps, and which holds the home)."""
    home = sites["northwind"].home
    with home.lock(), client_of(home) as made:
        yield made


def play(sites: dict[str, SiteAtWork], job_id: str) -> Job:
    job = Job.objects.get(pk=job_id)
    for _ in range(40):
        for site in sites.values():
            site.step()
        workers()
        job.refresh_from_db()
        if job.ended:
            break
    for site in sites.values():
        site.step()
    return job


def module() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 1))


def submit(client: FederatedClient, **changes: object) -> str:
    options = {
        "model": module(),
        "local_data": client.home.path / "ward.csv",
        "epochs": 2,
        "participants": list(CAST),
        **ASKED,
        **changes,
    }
    return client.submit_training(**options)


def test_a_job_is_proposed_trained_and_received(
    sites: dict[str, SiteAtWork], client: FederatedClient, tmp_path: Path
) -> None:
    job_id = submit(client, purpose="to plan beds")
    job = play(sites, job_id)
    assert job.wire.purpose == "to plan beds"
    model = client.receive_update(job_id, timeout=0)
    assert isinstance(model, GlobalModel)
    assert (model.round, model.verified, model.job_id) == (2, True, job_id)
    assert model.metrics["cohorts"] == [3, 3]
    assert 0 < model.metrics["epsilon"]["coordinator"] <= 1.0
    assert 0 <= model.metrics["held_out_auc"] <= 1
    assert job.state == Job.State.FINISHED
    out = model.module()(torch.zeros(2, 3))
    assert out.shape == (2, 1)
    assert torch.sigmoid(out)[0].item() == pytest.approx(
        model.predict(np.zeros((1, 3), dtype=np.float32))[0], abs=1e-6
    )
    spec, parameters = read_model(model.save(tmp_path / "model"))
    assert spec == model.model
    assert np.array_equal(parameters, model.parameters)


def test_every_organization_receives_the_same_model(
    sites: dict[str, SiteAtWork], client: FederatedClient
) -> None:
    job_id = submit(client)
    play(sites, job_id)
    with client_of(sites["summit"].home, "summit") as other:
        theirs = other.receive_update(job_id, timeout=0)
    ours = client.receive_update(job_id, timeout=0)
    assert theirs.verified
    assert np.array_equal(theirs.parameters, ours.parameters)


def test_a_home_that_verified_nothing_says_so(
    sites: dict[str, SiteAtWork], client: FederatedClient, tmp_path: Path
) -> None:
    job_id = submit(client)
    play(sites, job_id)
    fresh = home_make(tmp_path / "laptop", "summit")
    with client_of(fresh, "summit") as other:
        model = other.receive_update(job_id, timeout=0)
    assert not model.verified
    assert np.array_equal(model.parameters, client.receive_update(job_id, timeout=0).parameters)


def test_a_site_whose_agent_stopped_verifies_what_it_receives(
    sites: dict[str, SiteAtWork], client: FederatedClient
) -> None:
    job_id = submit(client)
    job = Job.objects.get(pk=job_id)
    summit = sites["summit"]
    for _ in range(40):
        for site in sites.values():
            site.step()
        workers()
        job.refresh_from_db()
        if job.ended:
            break
    assert summit.home.job(job_id).verified_round() == 1
    with client_of(summit.home, "summit") as other:
        assert other.receive_update(job_id, timeout=0).verified
    assert summit.home.job(job_id).verified_round() == 2


def test_another_model_than_the_verified_one_is_refused(
    sites: dict[str, SiteAtWork], client: FederatedClient
) -> None:
    job_id = submit(client)
    play(sites, job_id)
    Job.objects.filter(pk=job_id).update(model_digest="0" * 64)
    with pytest.raises(InvalidInput, match="names model 0000000000000000, this site recomputed"):
        client.receive_update(job_id, timeout=0)


def test_the_seeds_call_with_a_pt_file_and_a_parquet(
    sites: dict[str, SiteAtWork], client: FederatedClient
) -> None:
    folder = client.home.path
    layers = [{"kind": "linear", "in_features": 3, "out_features": 1}]
    content = {
        "spec": {**DICTIONARY.dump(), "learning_rate": 0.5, "privacy": {"epsilon": 0.9}},
        "architecture": {"layers": layers},
        "state_dict": module().state_dict(),
    }
    torch.save(content, folder / "risk_model.pt")
    load_table(folder / "ward.csv").to_parquet(folder / "market_data.parquet")
    job_id = client.submit_training(
        model=str(folder / "risk_model.pt"),
        local_data=str(folder / "market_data.parquet"),
        epochs=2,
        participants=CAST,
    )
    spec = Job.objects.get(pk=job_id).wire
    assert (spec.strategy.server_optimizer.learning_rate, spec.privacy.epsilon) == (0.5, 0.9)
    assert play(sites, job_id).state == Job.State.FINISHED


def test_a_data_frame_stays_in_the_jobs_folder(
    sites: dict[str, SiteAtWork], client: FederatedClient
) -> None:
    table = load_table(client.home.path / "ward.csv")
    job_id = submit(client, local_data=table)
    path = client.home.job(job_id).binding()
    assert path is not None
    assert path.stat().st_mode & 0o077 == 0
    assert load_table(path).equals(table)


def test_a_frame_of_mixed_objects_is_kept_as_it_is_encoded(client: FederatedClient) -> None:
    table = pd.read_csv(client.home.path / "ward.csv").astype(object)
    table.loc[0, "x0"] = " 0.5 "
    table.index = table.index + 7
    path = client.home.job(submit(client, local_data=table)).binding()
    assert path is not None
    kept = load_table(path)
    assert list(kept.columns) == list(table.columns)
    assert encode(kept, DICTIONARY).features.tolist() == encode(table, DICTIONARY).features.tolist()


def test_a_scientist_sees_how_the_rows_fit_and_nothing_of_it_is_sent(
    client: FederatedClient, caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.read_csv(client.home.path / "ward.csv")
    table["x0"] = table["x0"].where(table.index >= 21, 7.5)
    fit = client.check_data(table.assign(y=1), DICTIONARY)
    assert fit.features[0].clamped == 21
    assert fit.target.single == "above 0"
    transport = client.api._transport
    submit(client, local_data=table)
    assert "known to this site alone: the table: 60 rows; x0 35% clamped" in caplog.text
    assert not any(b"clamped" in body or b"35%" in body for _, body in transport.bodies)


def test_defaults_of_privacy_are_the_coordinators(client: FederatedClient) -> None:
    spec = Job.objects.get(pk=submit(client)).wire
    defaults = client.api.site()["defaults"]
    assert (spec.privacy.epsilon, spec.privacy.delta) == (defaults["epsilon"], defaults["delta"])
    assert spec.round_seconds == defaults["round_seconds"]
    own = Job.objects.get(pk=submit(client, privacy=PrivacyConfig(epsilon=0.5))).wire
    assert own.privacy.epsilon == 0.5


def test_the_learning_rate_is_the_noises_unless_it_is_given(client: FederatedClient) -> None:
    def rate(**changes: object) -> float:
        spec = Job.objects.get(pk=submit(client, epochs=20, **changes)).wire
        assert spec.strategy.kind != "evaluation"
        return spec.strategy.server_optimizer.learning_rate

    assert rate() < 0.5
    assert rate(learning_rate=1.0) == 1.0
    assert rate(server_optimizer={"kind": "momentum", "learning_rate": 0.9}) == 0.9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features": {**FEATURES, "x9": (0, 1)}, "model": nn.Linear(4, 1)}, "x9"),
        ({"features": None, "dataset": None}, "no features with public bounds"),
        ({"model": nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.Linear(4, 1))}, "Dropout"),
        ({"participants": ["nobody"]}, "nobody has no admitted site"),
        ({"participants": ["summit"]}, "a job needs at least 3"),
        ({"epochs": 0}, "epochs: 0 is not a whole number"),
        ({"nominal_records": 0}, "nominal_records"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    client: FederatedClient, changes: dict, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        submit(client, **changes)
    assert not Job.objects.exists()
    assert not [path for path, body in client.api._http._transport.bodies if body]


def test_another_organizations_certificate_is_refused(sites: dict[str, SiteAtWork]) -> None:
    with pytest.raises(Forbidden, match="tenant_id is 'summit'.*certificate of 'northwind'"):
        client_of(sites["northwind"].home, "summit")


def test_credentials_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="federated join"):
        FederatedClient("northwind", URL, tmp_path / "none" / "cert.pem")


def test_a_running_job_times_out_and_can_be_waited_for_again(client: FederatedClient) -> None:
    job_id = submit(client)
    for _ in range(2):
        with pytest.raises(TimedOut, match="is proposed .waits for approval"):
            client.receive_update(job_id, timeout=0)


def test_a_declined_job_is_said_with_its_reason(
    sites: dict[str, SiteAtWork], client: FederatedClient
) -> None:
    policy = sites["summit"].home.policy_path
    policy.write_text(policy.read_text() + "max_epsilon: 0.5\n")
    job_id = submit(client)
    sites["summit"].step()
    with pytest.raises(JobEnded, match="declined.*max_epsilon"):
        client.receive_update(job_id)


def test_a_cancelled_job_is_said(client: FederatedClient) -> None:
    job_id = submit(client)
    client.cancel(job_id, "wrong data")
    with pytest.raises(JobEnded, match="cancelled.*wrong data"):
        client.receive_update(job_id)


def test_a_foreign_job_is_not_found(client: FederatedClient, tmp_path: Path) -> None:
    job_id = submit(client)
    with client_of(home_make(tmp_path, "harbor"), "harbor") as outsider, pytest.raises(NotFound):
        outsider.receive_update(job_id)


def test_an_agent_on_another_machine_is_said(
    sites: dict[str, SiteAtWork], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from federated.sdk import client as module

    monkeypatch.setattr(module, "ELSEWHERE_SECONDS", 0.0)
    laptop = home_make(tmp_path / "laptop", "northwind")
    with client_of(laptop) as other, pytest.raises(Conflict, match="runs elsewhere"):
        submit(other)
    assert not Job.objects.exists()


ORGANIZATION = PrivacyConfig(unit="organization", epsilon=1.0, delta=1e-5)


def test_fedavg_protects_organizations_and_charges_an_account_of_its_own(
    sites: dict[str, SiteAtWork], client: FederatedClient
) -> None:
    with pytest.warns(PrivacyWarning, match=r"noise swamps the signal.* about \d+ organizations"):
        job_id = submit(
            client,
            epochs=4,
            strategy="fedavg",
            local_epochs=2,
            server_optimizer="adam",
            privacy=ORGANIZATION,
        )
    job = play(sites, job_id)
    assert job.state == Job.State.FINISHED, job.reason
    spec = job.wire
    assert (spec.strategy.kind, spec.strategy.rounds, spec.denominator) == ("fedavg", 2, 3)
    model = client.receive_update(job_id, timeout=0)
    assert model.verified
    for site in sites.values():
        accounts = {
            account.unit: account for account in site.home.ledger.report("northwind").accounts
        }
        assert set(accounts) == {"organization"}
        assert accounts["organization"].committed_rho == pytest.approx(job_cost(spec).rho)
    recorded = play(sites, submit(client))
    assert recorded.state == Job.State.FINISHED
    home = sites["northwind"].home
    assert {a.unit for a in home.ledger.report("northwind").accounts} == {"organization", "record"}


def test_classes_are_told_apart_and_scored_at_the_site(
    sites: dict[str, SiteAtWork], client: FederatedClient
) -> None:
    model = nn.Sequential(
        nn.Unflatten(1, (1, 1, 3)),
        nn.Conv2d(1, 2, (1, 2)),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    target = {"name": "y", "classes": ["0", "1"]}
    job_id = submit(client, model=model, target=target)
    assert play(sites, job_id).state == Job.State.FINISHED
    released = client.receive_update(job_id, timeout=0)
    assert {"held_out_accuracy", "held_out_macro_auc"} <= set(released.metrics)
    assert released.predict(np.zeros((2, 3))).shape == (2, 2)
    assert released.module()(torch.zeros(2, 3)).shape == (2, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategy": "fedavg"}, "fedavg needs privacy.unit organization.*use fedsgd"),
        ({"strategy": "fedprox", "privacy": PrivacyConfig()}, "fedprox needs privacy.unit"),
        ({"local_epochs": 2}, "local_epochs: belongs to strategy fedavg and fedprox"),
        ({"server_optimizer": "adam", "momentum": 0.9}, "momentum: belongs to server_optimizer"),
        ({"target": {"name": "y", "classes": ["0", "1"]}}, "model has 1 outputs, the multiclass"),
        ({"target": {"name": "y", "lower": 1, "upper": 0}}, "lower must be below upper"),
        (
            {"target": {"name": "y", "classes": ["7", "8"]}, "model": nn.Linear(3, 2)},
            "listed class",
        ),
        ({"target": ["y"]}, "target: must be a column's name"),
    ],
)
def test_wrong_combinations_are_said(client: FederatedClient, changes: dict, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        submit(client, **changes)
    assert not Job.objects.exists()
