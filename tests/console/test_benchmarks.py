"""The pages of campaigns and schedules, and what their buttons do."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from apps.attempts.models import Participant
from apps.benchmarks.models import Campaign
from apps.common.actor import Actor
from apps.console.shared.box_charts import box_chart, history_chart
from apps.organizations.models import Organization
from apps.schedules.selectors import schedules
from apps.schedules.services import schedules_seed
from federated.wire.campaign import Estimate
from tests.benchmarks.releases import campaign_with_history
from tests.conftest import member_client
from tests.training.world import World

FORM = {
    "title": "Weekly scoring", "metrics": ["latency_ms", "throughput_ops"], "epsilon": "0.5",
    "schedule": "0 6 * * 1", "runs": "10", "hours": "24",
}  # fmt: skip


@pytest.fixture
def world(db: None) -> World:
    made = World()
    made.publish_key()
    made.confirm_key()
    return made


def page(client: Any, path: str) -> str:
    answer = client.get(path, secure=True)
    assert answer.status_code == 200, answer.content[:300]
    return " ".join(answer.content.decode().split())


def test_a_release_is_drawn_with_intervals_and_history(
    world: World, northwind_auditor: Any
) -> None:
    campaign = campaign_with_history()
    assert "Scoring" in page(northwind_auditor, "/o/northwind/benchmarks/")
    shown = page(northwind_auditor, f"/o/northwind/benchmarks/{campaign.pk}/")
    assert shown.count('class="box"') == 2
    assert shown.count('class="series stroke-1"') == 2
    assert "60 organizations" in shown
    assert "Illustrative" not in shown
    assert "virtual" not in shown


def test_small_and_virtual_cohorts_are_labelled(world: World, northwind_auditor: Any) -> None:
    campaign = campaign_with_history(count=12, runs=1)
    Organization.objects.filter(slug="northwind").update(virtual=True)
    shown = page(northwind_auditor, f"/o/northwind/benchmarks/{campaign.pk}/")
    assert "Illustrative: 12 organizations are too few" in shown
    assert 'class="box"' not in shown
    assert "1 of the 12 organizations of this release are <strong>virtual</strong>" in shown


def test_releases_are_exported(world: World, northwind_auditor: Any) -> None:
    campaign = campaign_with_history(runs=2)
    path = f"/o/northwind/api/campaigns/{campaign.pk}/export"
    rows = northwind_auditor.get(path, secure=True).json()["rows"]
    assert {(row["run"], row["metric"]) for row in rows} == {
        (run, metric) for run in (1, 2) for metric in ("latency_ms", "throughput_ops")
    }
    answer = northwind_auditor.get(f"{path}?as=csv", secure=True)
    table = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert len(table) == len(rows)
    assert float(table[0]["lower"]) <= float(table[0]["value"]) <= float(table[0]["upper"])
    assert northwind_auditor.get(f"{path}?as=xml", secure=True).status_code == 422


def test_a_scientist_approves_and_an_auditor_may_not(world: World) -> None:
    campaign = campaign_with_history(runs=0)
    path = f"/o/northwind/benchmarks/{campaign.pk}/"
    scientist = member_client("northwind", "scientist")
    assert "Approve for Northwind" in page(scientist, path)
    assert "Approve for" not in page(member_client("northwind", "auditor"), path)
    for role, status in (("auditor", 403), ("scientist", 302)):
        client = member_client("northwind", role)
        assert client.post(f"{path}approve", secure=True).status_code == status
    own = Participant.objects.get(agreement=campaign, organization="northwind")
    assert own.endorsed_by["name"] == "scientist@northwind.example"


def test_an_operator_creates_a_campaign(world: World, operator: Any) -> None:
    answer = operator.post("/operator/benchmarks/", FORM, secure=True)
    assert answer.status_code == 302, answer.content
    made = Campaign.objects.get()
    assert (made.proposer, made.wire.schedule, made.wire.runs) == ("operator", "0 6 * * 1", 10)
    assert "Weekly scoring" in page(operator, "/operator/benchmarks/")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schedule": "sometimes"}, "schedule"),
        ({"epsilon": "much"}, "is not a number"),
        ({"metrics": []}, "choose at least one"),
        ({"hours": "0"}, "run_seconds"),
        ({"epsilon": "nan"}, "out of range"),
    ],
)
def test_a_form_that_makes_no_sense_is_shown_again_with_why(
    world: World, operator: Any, changes: dict[str, Any], told: str
) -> None:
    answer = operator.post("/operator/benchmarks/", FORM | changes, secure=True)
    assert answer.status_code == 422
    assert told in answer.content.decode()
    assert 'value="Weekly scoring"' in answer.content.decode()
    assert not Campaign.objects.exists()


def test_an_operator_pauses_and_changes_a_schedule(operator: Any) -> None:
    schedules_seed(actor=Actor.system("tests"))
    assert "anchors checkpoints" in page(operator, "/operator/benchmarks/")
    for sent, expected in (
        ({"seconds": "30", "enabled": "on"}, (30, True)),
        ({"seconds": "30", "enabled": ""}, (30, False)),
        ({"seconds": "0", "enabled": "on"}, (30, False)),
        ({"seconds": "soon", "enabled": "on"}, (30, False)),
    ):
        answer = operator.post("/operator/schedules/", {"name": "anchor", **sent}, secure=True)
        assert answer.status_code == 302
        row = schedules().get(name="anchor")
        assert (row.interval.every, row.enabled) == expected
    missing = operator.post("/operator/schedules/", {"name": "x", "seconds": "5"}, secure=True)
    assert missing.status_code == 404


def test_a_box_lies_between_its_whiskers_inside_the_axis() -> None:
    made = {
        name: Estimate(value=v, lower=v / 1.2, upper=v * 1.2)
        for name, v in zip(
            ("p10", "p25", "median", "p75", "p90"), (10, 20, 40, 80, 160), strict=True
        )
    }
    chart = box_chart(made, lower=0.1, upper=1e5, log=True, unit="ms")
    assert chart is not None
    assert chart.box is not None
    box = chart.box
    assert chart.left <= box.low < box.first < box.middle < box.third < box.high <= chart.right
    assert all(chart.left <= row.low <= row.value <= row.high <= chart.right for row in chart.rows)
    assert len(chart.ticks) >= 2
    assert box_chart({}, lower=0, upper=1, log=False, unit="s") is None


def test_one_run_is_no_history() -> None:
    one = Estimate(value=1, lower=0, upper=2)
    assert history_chart([(1, one)], lower=0, upper=10, log=False, what="x") is None
    chart = history_chart([(1, one), (5, one)], lower=0, upper=10, log=False, what="x")
    assert chart is not None
    assert [tick.label for tick in chart.x_ticks] == ["1", "2", "3", "4", "5"]
