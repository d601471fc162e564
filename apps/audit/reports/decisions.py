"""Lists who proposed, approved, declined and cancelled, and the reasons of failures."""

from __future__ import annotations

from collections.abc import Iterable

from apps.audit.reports.lines import DECISIONS, FAILURES, VERDICTS
from apps.audit.reports.specs import Specs
from apps.audit.reports.values import Decision, Failure, Line


def decisions(lines: Iterable[Line], specs: Specs) -> list[Decision]:
    """A person acts in the portal, a site by its signature under the key that the spec pins."""
    return [_decision(line, specs) for line in lines if line.body.tag in DECISIONS]


def _decision(line: Line, specs: Specs) -> Decision:
    body, organization = line.body, line.organization
    signed = body.signature is not None
    return Decision(
        line=line,
        organization=organization,
        person=body.actor.name if body.actor.kind == "user" else "",
        key=specs.pinned(line, organization) if signed else "",
        digest=body.digests.get("message") or body.digests.get("spec", ""),
        reason=str(body.data.get("reason") or ""),
    )


def failures(lines: Iterable[Line]) -> list[Failure]:
    """List refusals, abandoned attempts, failed jobs and verdicts that disagree, in log order."""
    found = [
        _failure(line)
        for line in lines
        if line.body.tag in FAILURES
        or (line.body.tag in VERDICTS and line.body.data.get("agrees") is False)
    ]
    return sorted(found, key=lambda one: one.line.at)


def _failure(line: Line) -> Failure:
    data = line.body.data
    refused = "detail" in data
    _, number, attempt = line.where
    return Failure(
        line=line,
        number=number,
        attempt=attempt,
        organization=line.organization,
        name=str(data.get("reason", "")) if refused else "",
        reason=str(data.get("detail" if refused else "reason") or ""),
    )
