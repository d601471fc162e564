"""Lists what approvals reserved and what the organization's ledger was charged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from apps.audit.reports.ledger import OwnLedger, moment_of
from apps.audit.reports.lines import APPROVALS, RECEIPTS, Where
from apps.audit.reports.specs import Specs, campaign_cost, epsilon_of
from apps.audit.reports.values import Balance, Line, OwnCharge, Reservation
from apps.budgets.models import Charge
from federated.protocol.cost import job_cost


def reservations(
    lines: Iterable[Line], specs: Specs, ledger: OwnLedger | None
) -> list[Reservation]:
    """One an approval, by what the approved spec costs; of the organization's own what its ledger
    made of it."""
    states = {} if ledger is None else ledger.states(specs.ledger_ids())
    found = (_reservation(line, specs) for line in lines if line.body.tag in APPROVALS)
    return [
        _with_states(one, name, ledger, states)
        for one, name in (made for made in found if made is not None)
    ]


def _reservation(line: Line, specs: Specs) -> tuple[Reservation, str] | None:
    """With its name in a ledger. None for a spec that is no longer stored."""
    kind, identifier = line.subject
    if kind == "job" and identifier in specs.jobs:
        spec = specs.jobs[identifier].wire
        # By the spec: a number in the event may have been edited, and the report opens still.
        rho, delta, pure = job_cost(spec).rho, spec.privacy.delta, 0.0
        dataset, unit, name = spec.data.dataset, str(spec.privacy.unit), identifier
    else:
        approved = specs.campaign(line)
        if approved is None:
            return None
        cost, once = campaign_cost(approved)
        times, delta = approved.releases, approved.spec.noise.delta
        rho, pure = cost.rho * times, once * times
        dataset, unit, name = cost.dataset, str(cost.unit), approved.ledger_id
    made = Reservation(
        line=line,
        organization=line.organization,
        own=False,
        dataset=dataset,
        unit=unit,
        rho=rho,
        epsilon=epsilon_of(rho, pure, delta),
        delta=delta,
    )
    return made, name


def _with_states(
    made: Reservation, name: str, ledger: OwnLedger | None, states: dict[str, dict[str, int]]
) -> Reservation:
    if ledger is None or made.organization != ledger.organization:
        return made
    return replace(made, own=True, state=states.get(name, {}))


def charges_own(
    lines: Iterable[Line],
    specs: Specs,
    ledger: OwnLedger,
    period: tuple[str, str] | None,
) -> list[OwnCharge]:
    """The receipts of the report with the ledger's charges, and charges that have no receipt here.

    ``period`` is [start, end) as the ledger stamps: charges that were made in it belong too.
    """
    receipts = {
        line.where: line
        for line in lines
        if line.body.tag in RECEIPTS and line.organization == ledger.organization
    }
    subjects = specs.ledger_ids()
    start, end = period or ("", "")
    charges = {
        where: charge
        for charge in ledger.charges(subjects, start=start, end=end)
        if (where := _where(charge, subjects)) in receipts
        or period is None
        or start <= charge.at < end
    }
    balances = ledger.balances(list(charges.values()))
    found = [
        _charged(where, charge, receipts.get(where), subjects, balances.get(charge.pk))
        for where, charge in charges.items()
    ]
    for where, line in receipts.items():
        if where not in charges:
            found.append(_receipted(where, line, specs))
    return sorted(found, key=lambda one: one.at)


def _where(charge: Charge, subjects: dict[str, tuple[str, str]]) -> Where:
    _, identifier = subjects.get(str(charge.job_id), ("", str(charge.job_id)))
    return identifier, charge.round, charge.attempt


def _charged(
    where: Where,
    charge: Charge,
    line: Line | None,
    subjects: dict[str, tuple[str, str]],
    balance: Balance | None,
) -> OwnCharge:
    identifier, number, attempt = where
    kind, _ = subjects.get(str(charge.job_id), ("", ""))
    delta = None if balance is None else balance.delta
    return OwnCharge(
        line=line,
        subject=(kind, identifier),
        number=number,
        attempt=attempt,
        dataset=charge.dataset,
        unit=charge.unit,
        rho=charge.rho,
        epsilon=epsilon_of(charge.rho, charge.pure_epsilon, delta),
        delta=delta,
        cohort=charge.cohort,
        at=moment_of(charge.at),
        state=charge.state,
        balance=balance,
    )


def _receipted(where: Where, line: Line, specs: Specs) -> OwnCharge:
    """A receipt whose charge the mirror does not hold: by what the spec costs."""
    identifier, number, attempt = where
    cost, delta = specs.cost(where), specs.delta(where)
    return OwnCharge(
        line=line,
        subject=(line.subject[0], identifier),
        number=number,
        attempt=attempt,
        dataset="" if cost is None else cost[0].dataset,
        unit="" if cost is None else str(cost[0].unit),
        rho=0.0 if cost is None else cost[0].rho,
        epsilon=None if cost is None else epsilon_of(cost[0].rho, cost[1], delta),
        delta=delta,
        cohort=line.body.digests.get("cohort", ""),
        at=line.at,
        state="",
        balance=None,
    )
