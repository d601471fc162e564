"""A person at a site: what would be sent, submitting, the seed's API, where the site stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from federated import BenchmarkAggregator
from federated.command.main import main
from federated.errors import Conflict, Forbidden, InvalidInput, NotFound
from federated.sdk.campaign import CampaignClient
from federated.site.standing import standings
from tests.benchmarks.world import CAST, VALUES, Consortium, run_of
from tests.conftest import SITE_KEYS
from tests.federated.client.portal import URL, PortalTransport, SiteAtWork


def client_of(site: SiteAtWork) -> CampaignClient:
    return CampaignClient(site.home, url=URL, transport=PortalTransport(SITE_KEYS[site.slug].der))


@pytest.fixture
def northwind(consortium: Consortium) -> CampaignClient:
    return client_of(consortium["northwind"])


def test_what_would_be_sent_is_shown_first(
    consortium: Consortium, northwind: CampaignClient
) -> None:
    consortium.create()
    spec, _ = northwind.choose({"latency_ms", "cpu_s"})
    measured = northwind.measurements(spec, {"latency_ms": 41.7, "cpu_s": 1.0}, more=True)
    (row,) = northwind.preview(spec, measured)
    assert (row.key, row.unit, row.measured) == ("latency_ms", "ms", 41.7)
    assert row.sent == pytest.approx(300 / 7)


def test_submitting_without_an_agent_does_it_here(
    consortium: Consortium, northwind: CampaignClient
) -> None:
    campaign = consortium.create()
    spec, _ = northwind.choose({"latency_ms"})
    measured = northwind.measurements(spec, {"latency_ms": 40.0})
    with pytest.raises(Conflict, match="not approved by this site yet"):
        northwind.deliver(spec, measured)
    consortium.step()
    done = northwind.deliver(spec, measured)
    assert done.run == 1
    assert run_of(campaign).messages.filter(name="submission").get().digest == done.digest
    with pytest.raises(Conflict, match="ask to replace it"):
        northwind.deliver(spec, measured)
    again = northwind.deliver(spec, measured, replace=True)
    assert (
        run_of(campaign).messages.filter(name="submission").get().digest
        == again.digest
        != done.digest
    )


def test_a_measurement_waits_for_the_next_run(
    consortium: Consortium, northwind: CampaignClient
) -> None:
    campaign = consortium.create(schedule="0 0 1 1 *", runs=2, epsilon=0.5)
    consortium.step()
    spec, _ = northwind.choose({"latency_ms"})
    done = northwind.deliver(spec, northwind.measurements(spec, {"latency_ms": 40.0}))
    assert (done.run, done.digest) == (None, None)
    waiting = consortium["northwind"].home.campaign(str(campaign.pk)).waiting()
    assert waiting is not None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"latency_ms": 40.0, "speed": 1.0}, "speed: no metric of"),
        ({}, "latency_ms: not measured"),
        ({"latency_ms": float("nan")}, "finite"),
    ],
)
def test_values_that_the_campaign_does_not_ask_for(
    consortium: Consortium, northwind: CampaignClient, values: dict[str, float], told: str
) -> None:
    consortium.create()
    spec, _ = northwind.choose({"latency_ms"})
    with pytest.raises(InvalidInput, match=told):
        northwind.measurements(spec, values)


def test_out_of_bounds_is_refused_where_the_campaign_says_so(consortium: Consortium) -> None:
    metric = {
        "key": "latency_ms",
        "unit": "ms",
        "lower": 0.0,
        "upper": 100.0,
        "points": 4,
        "bins": 2,
    }
    campaign = consortium.create(metrics=[metric | {"out_of_bounds": "refuse"}])
    consortium.step()
    consortium.measure(campaign, "lakeside", value=500.0)
    consortium["lakeside"].step()
    assert not run_of(campaign).messages.filter(name="submission").exists()
    assert consortium["lakeside"].said("out of the public bounds 0 to 100")
    # A better one takes its place.
    consortium.measure(campaign, "lakeside", value=90.0)
    consortium["lakeside"].step()
    assert run_of(campaign).messages.filter(name="submission").exists()


def test_several_campaigns_are_told_apart_by_id(
    consortium: Consortium, northwind: CampaignClient
) -> None:
    with pytest.raises(NotFound, match="no active campaign"):
        northwind.choose({"latency_ms"})
    first, second = consortium.create(), consortium.create(title="Other")
    with pytest.raises(Conflict, match=str(first.pk)):
        northwind.choose({"latency_ms"})
    spec, _ = northwind.choose({"latency_ms"}, str(second.pk))
    assert spec.title == "Other"


# The seed's API.


def aggregator(consortium: Consortium, slug: str = "northwind", **options: Any) -> Any:
    return BenchmarkAggregator(
        **{"metrics": ["latency"], "privacy_epsilon": 2.0, **options},
        coordinator_url=URL,
        credentials=consortium[slug].home.pem,
        transport=PortalTransport(SITE_KEYS[slug].der),
    )


def test_the_seeds_api_reads_the_latest_release(consortium: Consortium) -> None:
    found = consortium.released()
    summary = aggregator(consortium).get_summary()
    release = found.wire_release
    assert release is not None
    expected = release.metrics[0].statistics
    assert summary["latency_ms"]["mean"] == expected["mean"].value
    assert summary["latency_ms"]["median"] == expected["median"].value
    assert summary["latency_ms"]["mean_lower"] == expected["mean"].lower
    assert (summary["latency_ms"]["count"], summary["latency_ms"]["run"]) == (3, 1)


def test_the_seeds_api_says_what_is_wrong(consortium: Consortium) -> None:
    consortium.create()
    with pytest.raises(NotFound, match="released nothing yet"):
        aggregator(consortium).get_summary()
    with pytest.raises(Forbidden, match="submits its own"):
        aggregator(consortium).submit("lakeside", {"latency_ms": 1.0})
    with pytest.raises(InvalidInput, match="costs 1, above the 0.5"):
        aggregator(consortium, privacy_epsilon=0.5).get_summary()
    with pytest.raises(InvalidInput, match="not a finite number"):
        aggregator(consortium).submit("northwind", {"latency_ms": float("inf")})
    with pytest.raises(InvalidInput, match="go together"):
        BenchmarkAggregator(["latency"], 2.0, coordinator_url=URL)
    with pytest.raises(InvalidInput, match="bounds"):
        aggregator(consortium, bounds={"latency_ms": (0.0, 1.0)})


# Where the site stands.


def test_where_a_site_stands_is_computed_without_a_request(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    metric = {
        "key": "latency_ms", "unit": "ms", "lower": 0.0, "upper": 100.0, "grid": "linear",
        "points": 8, "bins": 4, "statistics": ["mean", "median"],
    }  # fmt: skip
    found = consortium.released(metrics=[metric])
    consortium.step()
    before = {slug: len(site.transport.bodies) for slug, site in consortium.items()}

    def no_request(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a request was made")

    monkeypatch.setattr(httpx.Client, "send", no_request)
    monkeypatch.setattr("socket.socket.connect", no_request)
    for slug in CAST:
        home = consortium[slug].home
        told = CliRunner().invoke(main, ["bench", "standing", "--home", str(home.path), "--json"])
        assert told.exit_code == 0, told.output
        (row,) = json.loads(told.stdout)
        assert row["value"] == VALUES[slug]
        assert 0 <= row["ahead_least"] <= row["ahead"] <= row["ahead_most"] <= 1
        assert row["illustrative"]
        shown = CliRunner().invoke(main, ["bench", "standing", "--home", str(home.path)])
        assert "known to this site alone" in shown.output
    assert {slug: len(site.transport.bodies) for slug, site in consortium.items()} == before
    # It does better than more of them, the less it takes.
    ahead = {
        slug: standings(consortium[slug].home.campaign(str(found.agreement_id)))[0].ahead
        for slug in CAST
    }
    assert ahead["lakeside"] >= ahead["northwind"] >= ahead["summit"]


def test_without_a_release_there_is_no_standing(consortium: Consortium) -> None:
    home = consortium["northwind"].home
    told = CliRunner().invoke(main, ["bench", "standing", "--home", str(home.path)])
    assert told.exit_code == 1
    assert "no verified release" in told.output
