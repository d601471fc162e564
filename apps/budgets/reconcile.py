"""Compares a site's ledger report with the receipts that the portal accepted.

The site's ledger counts. The portal knows charges by itself only from the signed receipts that it
accepted; a difference means that a ledger was set back or edited, or that receipts were lost here.
Jobs live above budgets, so whoever knows the attempts registers as the source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from federated.wire.site import Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt that an organization takes part in, as the portal knows it.

    ``cohort`` is the digest that its accepted receipt charges; empty where there is none. ``rho``
    is one attempt's cost by the job's spec.
    """

    job_id: str
    round: int
    attempt: int
    open: bool
    cohort: str
    rho: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """``kind``: charge missing in the report, differing in it, or unknown to the portal."""

    kind: str
    job_id: str
    round: int
    attempt: int
    detail: str

    def dump(self) -> dict[str, object]:
        return asdict(self)


Source = Callable[[str], Iterable[Attempt]]
_sources: list[Source] = []


def attempts_from(source: Source) -> None:
    """Register what knows the attempts of an organization; called when the process starts."""
    if source not in _sources:
        _sources.append(source)


def differences(*, organization: str, charges: Iterable[Charge]) -> list[Difference]:
    """The report's committed charges against the portal's receipts; empty where they agree.

    A charge whose attempt is still open is in flight: its receipt may be on the way.
    """
    known = {
        (one.job_id, one.round, one.attempt): one
        for source in _sources
        for one in source(organization)
    }
    told = {(c.job_id, c.round, c.attempt): c for c in charges if c.state == "committed"}
    found = []
    for key in sorted(known.keys() | told.keys()):
        said = _difference(known.get(key), told.get(key))
        if said is not None:
            job_id, number, attempt = key
            kind, detail = said
            found.append(
                Difference(kind=kind, job_id=job_id, round=number, attempt=attempt, detail=detail)
            )
    return found


def _difference(attempt: Attempt | None, charge: Charge | None) -> tuple[str, str] | None:
    if charge is None:
        if attempt is None or not attempt.cohort:
            return None
        return "missing", "the site signed a receipt for this charge, its ledger does not list it"
    if attempt is None:
        return "unknown", "the site's ledger lists a charge of an attempt that is not known here"
    if not attempt.cohort:
        if attempt.open:
            return None
        return "unknown", "the site's ledger lists a charge, no receipt for it was accepted here"
    if attempt.cohort != charge.cohort:
        return "differs", "the site's ledger and its receipt name different cohorts"
    if not math.isclose(attempt.rho, charge.rho, rel_tol=1e-9):
        return "differs", f"the ledger charges rho {charge.rho:g}, the job costs {attempt.rho:g}"
    return None
