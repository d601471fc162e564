"""A campaign's report, of a run that real agents took part in."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.audit.reports.assemble import campaign_report, period_report
from tests.benchmarks.conftest import consortium
from tests.benchmarks.world import Consortium
from tests.console.test_job import text_of

__all__ = ["consortium"]


def test_a_campaign_is_reported_with_statistics_and_balances(
    consortium: Consortium, northwind_auditor: Client, harbor_admin: Client
) -> None:
    found = consortium.released()
    consortium.step()
    report = campaign_report(organization="northwind", campaign=found.agreement.campaign)
    (release,) = report.releases
    assert (release.number, release.members, release.agree, release.disagree) == (1, 3, 3, [])
    told = found.wire_release
    assert told is not None
    assert release.release == told.digest()
    assert {(one.name, one.value) for one in release.statistics} == {
        (name, estimate.value)
        for metric in told.metrics
        for name, estimate in metric.statistics.items()
    }
    reserved = {one.organization: one for one in report.reservations}
    assert reserved.keys() == {"lakeside", "northwind", "summit"}
    # Laplace noise is pure: the spec's epsilon, of all runs, at no delta.
    spec = found.wire
    assert reserved["summit"].epsilon == pytest.approx(spec.runs * spec.noise.epsilon)
    assert (reserved["summit"].delta, reserved["summit"].state) == (None, {})
    assert reserved["northwind"].state["committed"] == 1
    (charge,) = report.charges
    assert charge.line is not None
    assert charge.line.where == (str(found.agreement_id), 1, 1)
    assert charge.epsilon == pytest.approx(spec.noise.epsilon)
    assert charge.cohort == found.cohort_digest
    assert charge.balance is not None
    assert (charge.balance.before, charge.state) == (0.0, "committed")
    assert 0 < charge.balance.after <= spec.noise.epsilon

    url = f"benchmarks/{found.agreement_id}/report/"
    text = text_of(northwind_auditor.get(f"/o/northwind/{url}", secure=True))
    assert "Run 1 released" in text
    assert "latency_ms in ms" in text
    assert f"federated bundle {found.agreement_id} --home SITE" in text
    assert harbor_admin.get(f"/o/harbor/{url}", secure=True).status_code == 404
    whole = period_report(organization=None, start=found.opened_at, end=report.made_at)
    assert [one.release for one in whole.releases] == [release.release]
    assert whole.charges == []
