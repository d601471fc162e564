"""What an organization's own ledger says of a report's charges; reads its mirror, in its schema."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Count, Q
from django_tenants.utils import schema_context

from apps.audit.reports.values import Balance, Difference
from apps.budgets.models import Account, AllotmentChange, Charge, LedgerReport
from federated.privacy.accountant import Spent
from federated.site.ledger_report import period_start

AccountKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Allotted:
    since: str
    epsilon: float
    delta: float
    period: str


class OwnLedger:
    """The mirror of one organization's ledger; each read is in its schema."""

    def __init__(self, organization: str) -> None:
        self.organization = organization
        self._allotted: dict[AccountKey, list[Allotted]] = defaultdict(list)
        with self._entered():
            newest = LedgerReport.objects.order_by("-sequence").first()
            self._read_allotments()
        self.report_digest = "" if newest is None else newest.digest
        self.reported_at = None if newest is None else newest.created_at
        self._differences = [] if newest is None else newest.differences

    def _entered(self) -> AbstractContextManager[object]:
        entered: AbstractContextManager[object] = schema_context(f"t_{self.organization}")
        return entered

    def _read_allotments(self) -> None:
        for account in Account.objects.all():
            self._allotted[account.dataset, account.unit].append(
                Allotted("", account.allotted_epsilon, account.allotted_delta, account.period)
            )
        for row in AllotmentChange.objects.order_by("at"):
            after = row.message["after"]
            self._allotted[row.dataset, row.unit].append(
                Allotted(row.at, after["epsilon"], after["delta"], after["period"])
            )

    def allotted(self, account: AccountKey, at: str) -> Allotted | None:
        """What the account was granted at a stamp: by the last change until then; where the report
        knows no change, what is granted now."""
        known = self._allotted.get(account, [])
        before = [one for one in known if one.since <= at]
        found = before[-1] if before else None
        return found if found is not None and 0 < found.delta < 1 else None

    def charges(self, jobs: Iterable[str], *, start: str = "", end: str = "") -> list[Charge]:
        """Committed charges: of these jobs, and where a period is given all that were made in it.

        ``jobs`` are as the ledger names them (a campaign's spec by its ledger_id).
        """
        wanted = Q(job_id__in=list(jobs))
        if end:
            wanted |= Q(at__gte=start, at__lt=end)
        with self._entered():
            return list(Charge.objects.filter(wanted, state="committed").order_by("at", "id"))

    def states(self, jobs: Iterable[str]) -> dict[str, dict[str, int]]:
        """``{job: {state: entries}}``."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        rows = Charge.objects.filter(job_id__in=list(jobs)).order_by().values("job_id", "state")
        with self._entered():
            for row in rows.annotate(entries=Count("pk")):
                found[str(row["job_id"])][row["state"]] = row["entries"]
        return found

    def balances(self, charges: Iterable[Charge]) -> dict[UUID, Balance]:
        """For each charge what its account had spent in the period it was made in."""
        wanted: dict[AccountKey, set[UUID]] = defaultdict(set)
        for charge in charges:
            wanted[charge.dataset, charge.unit].add(charge.pk)
        found: dict[UUID, Balance] = {}
        with self._entered():
            for account, of_account in wanted.items():
                found |= self._run_through(account, of_account)
        return found

    def _run_through(self, account: AccountKey, wanted: set[UUID]) -> dict[UUID, Balance]:
        """Added up as the site's ledger adds: in the order of commitment, anew each period."""
        found: dict[UUID, Balance] = {}
        spent: dict[tuple[str, str], Spent] = defaultdict(Spent)
        rows = Charge.objects.filter(dataset=account[0], unit=account[1], state="committed")
        for pk, at, rho, pure in rows.order_by("at", "id").values_list(
            "pk", "at", "rho", "pure_epsilon"
        ):
            granted = self.allotted(account, at)
            if granted is None:
                continue
            key = granted.period, period_start(granted.period, moment_of(at))
            before = spent[key]
            spent[key] = before + Spent(rho, rho if pure > 0 else 0.0, pure)
            if pk in wanted:
                found[pk] = Balance(
                    before=before.epsilon(granted.delta),
                    after=spent[key].epsilon(granted.delta),
                    allotted=granted.epsilon,
                    delta=granted.delta,
                    period=granted.period,
                )
        return found

    def differences(self, jobs: Iterable[str] | None) -> list[Difference]:
        """Of these jobs; of all for None."""
        wanted = None if jobs is None else set(jobs)
        return [
            Difference(
                kind=one["kind"],
                job_id=one["job_id"],
                number=one["round"],
                attempt=one["attempt"],
                detail=one["detail"],
            )
            for one in self._differences
            if wanted is None or one["job_id"] in wanted
        ]


def moment_of(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).astimezone(UTC)
