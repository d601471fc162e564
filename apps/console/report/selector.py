"""An auditor's report as its page shows it: words, addresses, whole digests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.audit.reports.lines import LINES_MOST
from apps.audit.reports.values import Line, OwnCharge, Release, Report
from apps.benchmarks.services.campaigns import OPERATOR
from apps.common.urls import organization_url, root_url
from apps.console.report import page as pages
from apps.console.shared.events import anchor_row, event_label
from apps.console.shared.words import TERMS, job_title
from federated.wire.job import Evaluation

#: Of an event's data what a change's row need not repeat, or what only machines read.
PLAIN_AT_MOST = 300


def report_page(report: Report, *, name: str) -> pages.ReportPage:
    """``name`` is the organization's; empty for an operator's report."""
    return _Writer(report).page(name)


class _Writer:
    def __init__(self, report: Report) -> None:
        self.report = report
        self.slug = report.organization
        self.covered = {head.log: head.size for head in report.heads}
        self.names = {head.log: head.origin for head in report.heads}
        self.subjects = {one.id: one for one in self._subjects()}

    def page(self, name: str) -> pages.ReportPage:
        report = self.report
        return pages.ReportPage(
            kind=report.kind,
            organization=name,
            title=self._title(),
            made_at=report.made_at,
            heads=report.heads,
            anchor=None if report.anchor is None else anchor_row(report.anchor),
            anchoring=report.anchoring,
            start=report.start,
            end=report.end,
            running=report.end is not None and report.end > report.made_at,
            cut_at=report.cut_at,
            most=LINES_MOST,
            subjects=list(self.subjects.values()),
            decisions=[
                pages.DecisionRow(
                    **self._row(one.line),
                    organization=one.organization or "the consortium",
                    person=one.person,
                    key=one.key,
                    digest=one.digest,
                    reason=one.reason,
                )
                for one in report.decisions
            ],
            reservations=[
                pages.ReservationRow(
                    **self._row(one.line),
                    organization=one.organization,
                    own=one.own,
                    account=f"{one.dataset}, unit {one.unit}",
                    rho=one.rho,
                    epsilon=one.epsilon,
                    delta=one.delta,
                    states=", ".join(f"{count} {state}" for state, count in one.state.items()),
                )
                for one in report.reservations
            ],
            charges=[self._charge(one) for one in report.charges],
            releases=[self._release(one) for one in report.releases],
            failures=[
                pages.FailureRow(
                    **self._row(one.line),
                    organization=one.organization or "coordinator",
                    name=one.name,
                    reason=one.reason,
                )
                for one in report.failures
            ],
            changes=[self._change(line) for line in report.changes],
            differences=[
                pages.DifferenceRow(
                    kind=one.kind,
                    subject=self._subject(("job", one.job_id)),
                    where=_where(one.number, one.attempt),
                    detail=one.detail,
                )
                for one in report.differences
            ],
            counts=report.counts,
            ledger_report=report.ledger_report,
            reported_at=report.reported_at,
            commands=_commands(report),
        )

    def _title(self) -> str:
        report = self.report
        if report.start is not None and report.end is not None:
            return f"{report.start:%Y-%m-%d} to {report.end:%Y-%m-%d}"
        return next((one.title for one in self.subjects.values()), "")

    def _subjects(self) -> Iterable[pages.Subject]:
        for identifier, job in self.report.jobs.items():
            yield pages.Subject(
                kind="job",
                id=identifier,
                title=job_title(job.wire),
                by=job.proposer,
                state=job.state,
                reason=job.reason,
                url=organization_url(self.slug, "job_report", identifier) if self.slug else "",
            )
        for identifier, campaign in self.report.campaigns.items():
            yield pages.Subject(
                kind="campaign",
                id=identifier,
                title=campaign.title,
                by="the consortium" if campaign.proposer == OPERATOR else campaign.proposer,
                state=campaign.state,
                reason=campaign.reason,
                url=organization_url(self.slug, "campaign_report", identifier) if self.slug else "",
            )

    def _subject(self, subject: tuple[str, str]) -> pages.Subject:
        kind, identifier = subject
        return self.subjects.get(identifier) or pages.Subject(kind=kind, id=identifier)

    def _row(self, line: Line) -> dict[str, Any]:
        _, number, attempt = line.where
        return {
            "what": event_label(line.body.tag, number or None, attempt or None),
            "tag": line.body.tag,
            "subject": self._subject(line.subject),
            "at": line.at,
            "leaf": self._leaf(line),
        }

    def _leaf(self, line: Line) -> pages.Leaf:
        return pages.Leaf(
            log=self.names.get(line.log, line.log),
            index=line.index,
            covered=line.index is not None and line.index < self.covered.get(line.log, 0),
            intact=line.intact,
            url=self._url(line),
        )

    def _url(self, line: Line) -> str:
        """The event's page; keys' and witnesses' events have none for an organization."""
        if not self.slug:
            return root_url("operator_event", line.id)
        if line.log == "own" or line.subject[0] in ("job", "campaign"):
            return organization_url(self.slug, "event", line.log, line.id)
        return ""

    def _charge(self, one: OwnCharge) -> pages.ChargeRow:
        unit = "Run" if one.subject[0] == "campaign" else "Round"
        return pages.ChargeRow(
            what=f"{unit} {_where(one.number, one.attempt)}",
            tag="" if one.line is None else one.line.body.tag,
            subject=self._subject(one.subject),
            at=one.at,
            leaf=None if one.line is None else self._leaf(one.line),
            account=f"{one.dataset}, unit {one.unit}",
            rho=one.rho,
            epsilon=one.epsilon,
            delta=one.delta,
            cohort=one.cohort,
            missing="" if one.state else self._missing(one),
            balance=one.balance,
        )

    def _missing(self, one: OwnCharge) -> str:
        reported = self.report.reported_at
        return "lacking" if reported is not None and reported > one.at else "awaited"

    def _release(self, one: Release) -> pages.ReleaseRow:
        verdicts = f"{one.agree} agree{'s' if one.agree == 1 else ''}"
        if one.disagree:
            verdicts = f"{verdicts}; {', '.join(one.disagree)} disagrees"
        return pages.ReleaseRow(
            **self._row(one.line),
            release=one.release,
            state=one.state,
            cohort=one.cohort,
            members=one.members,
            rho=one.rho,
            verdicts=verdicts,
            disagrees=bool(one.disagree),
            statistics=one.statistics,
        )

    def _change(self, line: Line) -> pages.ChangeRow:
        actor = line.body.actor
        return pages.ChangeRow(
            **self._row(line),
            actor=actor.organization if actor.kind == "site" and actor.organization else actor.name,
            details=[
                *_details(line.body.data),
                *(
                    (name.replace("_", " "), digest)
                    for name, digest in line.body.digests.items()
                    if digest != line.subject[1]
                ),
            ],
        )


def _where(number: int, attempt: int) -> str:
    return f"{number}.{attempt}" if attempt > 1 else f"{number}"


def _details(data: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """An event's data in words: an allotment by what became of each term."""
    before, after = data.get("before"), data.get("after")
    if isinstance(after, dict):
        for field, words in TERMS.items():
            old = before.get(field) if isinstance(before, dict) else None
            if field in after and old != after[field]:
                yield (
                    words,
                    _plain(after[field])
                    if old is None
                    else (f"{_plain(old)} to {_plain(after[field])}"),
                )
    for field, value in data.items():
        if field not in ("before", "after") and value not in (None, "", []):
            yield field.replace("_", " "), _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)[:PLAIN_AT_MOST]
    if isinstance(value, dict):
        return " ".join(f"{key} {_plain(one)}" for key, one in value.items())[:PLAIN_AT_MOST]
    return str(value)[:PLAIN_AT_MOST]


def _commands(report: Report) -> str:
    """What a reader runs on a machine of their own, with what this report tells to compare."""
    ids = [*report.jobs, *report.campaigns]
    which = ids[0] if report.kind != "period" and ids else "ID"
    bundle = f"bundle-{which}.json"
    pins = [f"--log-key '{head.verifier_key}'" for head in report.heads]
    pins.append("--trust ca.pem")
    if report.anchor is not None:
        pins.append(f"--rpc URL --contract {report.anchor.contract}")
    commands = [f"federated bundle {which} --home SITE -o {bundle}"]
    commands.append(" \\\n  ".join([f"federated verify {bundle}", *pins]))
    if report.kind == "job" and report.releases:
        counts = any(isinstance(job.wire.strategy, Evaluation) for job in report.jobs.values())
        kept = "results.json" if counts else "model.safetensors"
        commands.append(f"federated replay {bundle} -o {kept}")
        if not counts:
            commands.append(f"federated card {bundle} -o card.html")
    return "\n".join(commands)
