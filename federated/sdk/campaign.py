"""Taking part in campaigns from a site: find one, show what would be sent, submit, read."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from federated.api.coordinator import CoordinatorAPI
from federated.errors import Conflict, Forbidden, InvalidInput, NotFound
from federated.protocol.kinds.benchmark import vote_values
from federated.sdk.waiting import wait_until
from federated.site.agent import SiteAgent
from federated.site.campaign_folder import Measurements, RunFolder, measurements_of
from federated.site.folder import AgentRuns, SiteHome
from federated.site.site import Say, Site
from federated.site.work.run import RunPart
from federated.wire.campaign import CampaignRelease, CampaignSpec

AGENT_SECONDS = 60.0
log = logging.getLogger("federated")


@dataclass(frozen=True)
class Preview:
    """What a submission would hold of one metric: the rounded value, encrypted, and no more."""

    key: str
    unit: str
    measured: float
    sent: float


@dataclass(frozen=True)
class Delivered:
    """``run`` is None where the measurement waits for the next run to open."""

    campaign_id: str
    run: int | None
    digest: str | None


class CampaignClient:
    """A site's part in campaigns, by its credentials; ``say`` takes lines for people."""

    def __init__(
        self,
        home: SiteHome,
        *,
        url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        say: Say = log.info,
    ) -> None:
        self.home = home
        self.api = CoordinatorAPI.for_site(
            url or home.about().url, home.credentials, transport=transport
        )
        self.site = Site(home, self.api, say)

    def close(self) -> None:
        self.api.close()

    def choose(
        self, keys: Iterable[str], campaign_id: str | None = None
    ) -> tuple[CampaignSpec, dict[str, Any]]:
        """The campaign of that id, else the one active campaign that these metrics serve.

        Raises NotFound or Conflict saying what there is, where it is none or several.
        """
        if campaign_id is not None:
            found = self.api.campaign(campaign_id)
            return CampaignSpec.parse(found["spec"]), found
        measured = set(keys)
        active = [c for c in self.api.campaigns() if c["state"] == "active"]
        fitting = [c for c in active if {m["key"] for m in c["metrics"]} <= measured]
        if len(fitting) == 1:
            return self.choose(measured, fitting[0]["campaign_id"])
        if fitting:
            listed = ", ".join(f"{c['campaign_id']} ({c['title']})" for c in fitting)
            raise Conflict(f"several campaigns ask for these metrics; name one: {listed}")
        asked = "; ".join(
            f"{c['title']}: {', '.join(m['key'] for m in c['metrics'])}" for c in active
        )
        raise NotFound(
            f"no active campaign asks for these metrics alone ({', '.join(sorted(measured))})"
            + (f"; there are {asked}" if asked else "")
        )

    def measurements(
        self,
        spec: CampaignSpec,
        values: Mapping[str, float],
        *,
        workload: str = "",
        more: bool = False,
    ) -> Measurements:
        """What the campaign asks for of ``values``; ``more`` may hold what it does not ask for.

        Raises InvalidInput for a metric that is missing, or unknown to the campaign.
        """
        unknown = [key for key in values if spec.metric(key) is None]
        if unknown and not more:
            raise InvalidInput(
                f"{', '.join(unknown)}: no metric of {spec.title!r}; allowed: "
                f"{', '.join(metric.key for metric in spec.metrics)}"
            )
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return measurements_of(spec, values, measured_at=now, workload=workload)

    def preview(self, spec: CampaignSpec, measured: Measurements) -> list[Preview]:
        """Raises InvalidInput for a value that the campaign refuses."""
        sent = vote_values(spec, measured.values)
        return [
            Preview(metric.key, metric.unit, measured.values[metric.key].value, sent[metric.key])
            for metric in spec.metrics
        ]

    def deliver(
        self, spec: CampaignSpec, measured: Measurements, *, replace: bool = False
    ) -> Delivered:
        """Submit to the open run; without one, let the measurement wait for the next.

        An agent that runs in this home does it, else this process. Raises Conflict where this site
        has submitted to the run already and ``replace`` is not asked, or has not approved the
        campaign.
        """
        found = self.api.campaign(spec.campaign_id)
        folder = self.home.campaign(spec.campaign_id)
        if folder.spec(str(found["spec_digest"])) is None:
            raise Conflict(
                f"campaign {found['title']!r} is not approved by this site yet"
                + (f": {found['reason']}" if found["reason"] else "; its agent decides")
            )
        number = found["open_run"]
        run = None if number is None else folder.run(int(number))
        if run is None:
            folder.wait(measured)
            return Delivered(spec.campaign_id, None, None)
        standing = run.submission()
        if standing is not None and not replace:
            raise Conflict(
                f"run {number}: this site has submitted already ({standing.digest()[:16]}); "
                "ask to replace it before the run closes"
            )
        folder.wait(measured)
        try:
            with self.home.lock():
                self._send(run, again=standing is not None)
        except AgentRuns:
            self._leave_to_agent(run, before=None if standing is None else standing.digest())
        kept = run.submission()
        return Delivered(spec.campaign_id, run.number, None if kept is None else kept.digest())

    def _send(self, run: RunFolder, *, again: bool) -> None:
        part = RunPart(self.site, run.campaign.campaign_id, run.number)
        part.replace() if again else part.contribute()

    def _leave_to_agent(self, run: RunFolder, *, before: str | None) -> None:
        if before is not None:
            run.replacement_ask()

        def submitted() -> bool:
            kept = run.submission()
            return kept is not None and kept.digest() != before and run.replacement() is None

        deadline = time.monotonic() + AGENT_SECONDS
        if not wait_until(submitted, bool, deadline=deadline, pause=0.2):
            raise Conflict(
                f"run {run.number}: the agent of {self.home.path} has not submitted within "
                f"{AGENT_SECONDS:g} s; see its log. The measurement waits there."
            )

    def latest(self, campaign_id: str) -> tuple[CampaignRelease, int]:
        """The newest release and its run. Raises NotFound before the first."""
        number = self.api.campaign(campaign_id)["latest_release"]
        if number is None:
            raise NotFound("the campaign has released nothing yet")
        return self.api.run_release(campaign_id, int(number)), int(number)


class RemoteBenchmark:
    """BenchmarkAggregator's part where a coordinator and credentials are given."""

    def __init__(
        self,
        *,
        keys: tuple[str, ...],
        privacy_epsilon: float,
        coordinator_url: str,
        credentials: str | os.PathLike[str],
        campaign: str | None,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.keys = keys
        self.privacy_epsilon = privacy_epsilon
        self.campaign_id = campaign
        self.run: int | None = None
        self._agent: SiteAgent | None = None
        self.client = CampaignClient(
            SiteHome.of(credentials), url=coordinator_url, transport=transport
        )

    def submit(self, tenant_id: str, values: Mapping[str, float]) -> None:
        own = self.client.home.credentials.organization
        if tenant_id != own:
            raise Forbidden(
                f"tenant_id is {tenant_id!r}, but the credentials are of {own!r}; each "
                "organization submits its own"
            )
        spec, _ = self._campaign()
        measured = self.client.measurements(spec, values)
        self.client.preview(spec, measured)
        self._ensure_agent()
        self._wait_for_approval(spec)
        self.run = self.client.deliver(spec, measured).run

    def summary(self, *, timeout: float) -> dict[str, dict[str, float]]:
        """``{metric: {statistic: value, statistic_lower, statistic_upper, "count", "run"}}``."""
        spec, _ = self._campaign()
        wait_until(
            lambda: self.client.api.campaign(spec.campaign_id)["latest_release"],
            lambda newest: newest is not None and int(newest) >= (self.run or 1),
            deadline=time.monotonic() + timeout,
            pause=0.5,
        )
        release, number = self.client.latest(spec.campaign_id)
        out: dict[str, dict[str, float]] = {}
        for metric in release.metrics:
            row: dict[str, float] = {}
            for name, estimate in metric.statistics.items():
                row[name] = estimate.value
                row[f"{name}_lower"], row[f"{name}_upper"] = estimate.lower, estimate.upper
            out[metric.key] = {**row, "count": release.count, "run": number}
        return out

    def close(self) -> None:
        if self._agent is not None:
            self._agent.stop()
            self._agent.api.close()
            self._agent = None
        self.client.close()

    def _ensure_agent(self) -> None:
        """An agent in this process, unless one runs in this home already."""
        if self._agent is not None or self.client.home.agent_runs():
            return
        agent = SiteAgent(self.client.home, self.client.api.url, say=log.info)
        with contextlib.suppress(AgentRuns):
            agent.start()
            self._agent = agent

    def _wait_for_approval(self, spec: CampaignSpec) -> None:
        """Until the agent approves the campaign; `deliver` says what holds where it does not."""
        folder = self.client.home.campaign(spec.campaign_id)
        own = self.client.home.credentials.organization

        def approved() -> bool:
            if folder.spec(spec.digest()) is not None:
                return True
            found = self.client.api.campaign(spec.campaign_id)
            mine = next((p for p in found["participants"] if p["organization"] == own), None)
            if mine is not None and mine["state"] == "declined":
                raise Conflict(f"this site has declined the campaign: {mine['reason']}")
            return False

        wait_until(approved, bool, deadline=time.monotonic() + AGENT_SECONDS, pause=0.2)

    def _campaign(self) -> tuple[CampaignSpec, dict[str, Any]]:
        if self.campaign_id is None:
            with contextlib.suppress(NotFound):
                self.campaign_id = self._ended()
        spec, found = self.client.choose(self.keys, self.campaign_id)
        self.campaign_id = spec.campaign_id
        others = [m.key for m in spec.metrics if m.key not in self.keys]
        if others:
            raise InvalidInput(f"metrics: the campaign also asks for {', '.join(others)}")
        if spec.noise.epsilon > self.privacy_epsilon:
            raise InvalidInput(
                f"privacy_epsilon: a run of {spec.title!r} costs {spec.noise.epsilon:g}, above the "
                f"{self.privacy_epsilon:g} given"
            )
        return spec, found

    def _ended(self) -> str | None:
        """Where no campaign is active: the newest that has asked for just these metrics."""
        listed = self.client.api.campaigns()
        same = [c for c in listed if {m["key"] for m in c["metrics"]} == set(self.keys)]
        if any(c["state"] == "active" for c in same) or not same:
            return None
        return str(same[0]["campaign_id"])
