"""Lists the releases: digests, cohort, verdicts, and a campaign's statistics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Count

from apps.attempts.models import Attempt, AttemptMessage
from apps.audit.reports.lines import RELEASES, Where
from apps.audit.reports.specs import Specs
from apps.audit.reports.values import Line, Release, Statistic
from apps.common.coordinator import as_coordinator


class Counted:
    """Cohort sizes and verdicts of released attempts.

    A release has a charge receipt of every member of its cohort, so receipts count the cohort. By
    grouped queries: a cohort may have a thousand members.
    """

    def __init__(self, specs: Specs) -> None:
        self.members: dict[Where, int] = {}
        self.agree: dict[Where, int] = defaultdict(int)
        self.disagree: dict[Where, list[str]] = defaultdict(list)
        with as_coordinator():
            self._count([*specs.jobs, *specs.campaigns])

    def _count(self, agreements: list[str]) -> None:
        released = Attempt.objects.filter(
            agreement_id__in=agreements, state=Attempt.State.RELEASED
        ).order_by()
        rows = released.values_list("pk", "agreement_id", "number", "attempt")
        at = {pk: (str(agreement), number, attempt) for pk, agreement, number, attempt in rows}
        sent = AttemptMessage.objects.filter(attempt__in=released.values("pk")).order_by()
        receipts = sent.filter(name="receipt").values_list("attempt_id")
        for pk, count in receipts.annotate(count=Count("pk")):
            self.members[at[pk]] = count
        verdicts = sent.filter(name="verdict")
        agreeing = verdicts.filter(agrees=True).values_list("attempt_id")
        for pk, count in agreeing.annotate(count=Count("pk")):
            self.agree[at[pk]] = count
        for pk, name in verdicts.filter(agrees=False).values_list("attempt_id", "organization"):
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


def _statistics(run: Attempt) -> list[Statistic]:
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
