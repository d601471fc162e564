"""Lists the releases: digests, cohort, verdicts, and a campaign's statistics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Count

from apps.audit.reports.lines import RELEASES, Where
from apps.audit.reports.specs import Specs
from apps.audit.reports.values import Line, Release, Statistic
from apps.benchmarks.models import Run, RunReceipt, RunVerdict
from apps.common.coordinator import as_coordinator
from apps.training.models import Receipt, Round, Verdict


class Counted:
    """Cohort sizes and verdicts of released attempts and runs, by attempt or run.

    A release has a charge receipt of every member of its cohort, so receipts count the cohort. By
    grouped queries: a cohort may have a thousand members.
    """

    def __init__(self, specs: Specs) -> None:
        self.members: dict[Where, int] = {}
        self.agree: dict[Where, int] = defaultdict(int)
        self.disagree: dict[Where, list[str]] = defaultdict(list)
        with as_coordinator():
            self._rounds(list(specs.jobs))
            self._runs(list(specs.campaigns))

    def _rounds(self, jobs: list[str]) -> None:
        rounds = Round.objects.filter(job_id__in=jobs, state=Round.State.RELEASED).order_by()
        at = {
            pk: (str(job), number, attempt)
            for pk, job, number, attempt in rounds.values_list("pk", "job_id", "number", "attempt")
        }
        counted = Receipt.objects.filter(round__in=rounds.values("pk")).order_by()
        for pk, count in counted.values_list("round_id").annotate(count=Count("pk")):
            self.members[at[pk]] = count
        verdicts = Verdict.objects.filter(round__in=rounds.values("pk")).order_by()
        agreeing = verdicts.filter(agrees=True).values_list("round_id")
        for pk, count in agreeing.annotate(count=Count("pk")):
            self.agree[at[pk]] = count
        for pk, name in verdicts.filter(agrees=False).values_list("round_id", "organization"):
            self.disagree[at[pk]].append(name)

    def _runs(self, campaigns: list[str]) -> None:
        runs = Run.objects.filter(campaign_id__in=campaigns, state=Run.State.RELEASED).order_by()
        at = {
            pk: (str(campaign), number, 1)
            for pk, campaign, number in runs.values_list("pk", "campaign_id", "number")
        }
        counted = RunReceipt.objects.filter(run__in=runs.values("pk")).order_by()
        for pk, count in counted.values_list("run_id").annotate(count=Count("pk")):
            self.members[at[pk]] = count
        verdicts = RunVerdict.objects.filter(run__in=runs.values("pk")).order_by()
        agreeing = verdicts.filter(agrees=True).values_list("run_id")
        for pk, count in agreeing.annotate(count=Count("pk")):
            self.agree[at[pk]] = count
        for pk, name in verdicts.filter(agrees=False).values_list("run_id", "organization"):
            self.disagree[at[pk]].append(name)


def releases(lines: Iterable[Line], specs: Specs) -> tuple[list[Release], dict[Where, list[str]]]:
    """The releases, and whose verdicts disagree where they do."""
    released = [line for line in lines if line.body.tag in RELEASES]
    if not released:
        return [], {}
    counted = Counted(specs)
    found = [_release(line, specs, counted) for line in released]
    return found, dict(counted.disagree)


def _release(line: Line, specs: Specs, counted: Counted) -> Release:
    where, digests = line.where, line.body.digests
    identifier, number, attempt = where
    cost = specs.cost(where)
    run = specs.runs.get((identifier, number))
    return Release(
        line=line,
        number=number,
        attempt=attempt,
        release=digests.get("release", ""),
        state=digests.get("model", ""),
        cohort=digests.get("noised") or digests.get("cohort", ""),
        members=counted.members.get(where, 0),
        rho=None if cost is None else cost[0].rho,
        agree=counted.agree.get(where, 0),
        disagree=counted.disagree.get(where, []),
        statistics=[] if run is None else _statistics(run),
    )


def _statistics(run: Run) -> list[Statistic]:
    release, spec = run.wire_release, run.wire
    if release is None:
        return []
    found = []
    for one in release.metrics:
        metric = spec.metric(one.key)
        for name, estimate in one.statistics.items():
            found.append(
                Statistic(
                    metric=one.key,
                    unit="" if metric is None else metric.unit,
                    name=name,
                    value=estimate.value,
                    lower=estimate.lower,
                    upper=estimate.upper,
                    illustrative=one.illustrative,
                )
            )
    return found
