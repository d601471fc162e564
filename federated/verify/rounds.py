"""Checks jobs and rounds by recomputing them from a bundle's job records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from federated.errors import DomainError, InvalidInput
from federated.protocol.agreement import JobAgreement
from federated.protocol.cost import check_spec_privacy, job_epsilons
from federated.protocol.release import shares_check
from federated.provenance.bundle import Bundle
from federated.provenance.verify import Check
from federated.training.server import ServerState
from federated.verify.evaluations import evaluated_checks
from federated.verify.parts import (
    checked,
    closed_check,
    digests_in_log,
    epoch_check,
    equal,
    gone,
    logged,
    records_of,
    retention_check,
    statements,
)
from federated.verify.reproducibility import ReproducibilityCheck, records_in_log
from federated.verify.states import initial_state, state_absent, state_after
from federated.verify.vectors import VectorFolder
from federated.wire.job import Evaluation, JobSpec
from federated.wire.record import JobRecord
from federated.wire.round import Transcript

EXPIRED_TAG = "federation:contributions:expired"


def round_checks(bundle: Bundle, vectors: VectorFolder | None = None) -> Iterable[Check]:
    """Check every job record of the bundle; one check per job, attempt and kind.

    The sums of masked jobs are recomputed where ``vectors`` holds what their sites sent, releases
    where it holds a large initial state; where it does not, the check says so and what can be
    checked without is.
    """
    rows = bundle.sections.get("jobs", [])
    if isinstance(rows, list) and not rows:
        if "campaigns" not in bundle.sections:
            yield Check("jobs", "skipped", "the bundle holds no job")
        return
    named = digests_in_log(bundle)
    recorded = records_in_log(bundle)
    expiries = frozenset(e.subject.id for _, e in bundle.events() if e.tag == EXPIRED_TAG)
    read: list[JobRecord] = []
    for record in records_of(bundle, "jobs", JobRecord, "job"):
        if isinstance(record, Check):
            yield record
            continue
        yield from _job(record, named, recorded, expiries, vectors)
        read.append(record)
    yield from evaluated_checks(read, vectors)


def _job(
    record: JobRecord,
    named: frozenset[str],
    recorded: Mapping[str, str],
    expiries: frozenset[str],
    vectors: VectorFolder | None,
) -> Iterator[Check]:
    if not record.attempts:
        yield Check("job", "skipped", "no attempt was closed, there is nothing to recompute")
        return
    spec = record.attempts[0].spec.body
    label = f"job {spec.job_id[:8]}"
    yield checked(f"{label} privacy", partial(_privacy, spec))
    yield epoch_check(label, record.key_epoch, spec.key_epoch)
    if record.key_epoch.digest() != spec.key_epoch:
        return
    agreement = JobAgreement(spec, record.key_epoch)
    state: ServerState | None
    try:
        state = initial_state(record, vectors)
    except DomainError as error:
        yield Check(f"{label} initial state", "failed", error.message)
        return
    if state is None:
        yield Check(f"{label} initial state", "skipped", state_absent(record, vectors))
    else:
        yield Check(f"{label} initial state", "ok", f"digest {state.digest()[:16]}")
    claimed = spec.initial_state
    if any(transcript.expired for transcript in record.attempts):
        said = spec.job_id in expiries
        yield checked(f"{label} retention", partial(retention_check, said, "contributions"))
    reproducibility = ReproducibilityCheck(record, spec, recorded)
    for transcript in record.attempts:
        context = transcript.context
        name = f"{label} round {context.round}.{context.attempt}"
        yield checked(f"{name} transcript", partial(closed_check, transcript, agreement))
        if transcript.expired:
            yield Check(f"{name} contributions", "skipped", gone(transcript, agreement))
        if transcript.release is None:
            yield Check(f"{name} release", "skipped", "abandoned after it closed")
            continue
        if unsummed := _unsummed(transcript, state, vectors):
            yield checked(f"{name} shares", partial(_shares, transcript, agreement, claimed))
            yield Check(f"{name} release", "skipped", f"sum not checked: {unsummed}")
            state = None
        else:
            assert state is not None
            try:
                state = state_after(transcript, agreement, state, vectors)
            except DomainError as error:
                yield Check(f"{name} release", "failed", error.message)
                return
            yield Check(f"{name} release", "ok", _recomputed(transcript, spec))
        claimed = transcript.release.state
        yield checked(f"{name} in the log", partial(logged, transcript, agreement, named))
        yield reproducibility.of(transcript, f"{name} reproducibility")
    yield from reproducibility.rest(f"{label} reproducibility")
    groups: dict[str, tuple[Any, ...]] = {
        "verdicts": record.verdicts,
        "refusals": record.refusals,
        "declines": record.declines,
    }
    yield from statements(label, agreement, groups)


def _unsummed(
    transcript: Transcript, state: ServerState | None, vectors: VectorFolder | None
) -> str:
    """Returns why an attempt's sum cannot be recomputed here; empty where it can."""
    if any(left.masked for left in transcript.expired):
        return "its masked vectors expired by retention"
    if any(signed.body.masked is not None for signed in transcript.contributions):
        if vectors is None:
            return "its masked vectors are not in a bundle; give their folder (--vectors)"
        if missing := vectors.missing(transcript):
            return f"the masked vectors of {', '.join(missing)} are not in {vectors.path}"
    return "" if state is not None else "the state before it was not recomputed either"


def _recomputed(transcript: Transcript, spec: JobSpec) -> str:
    what = "sum"
    if transcript.expired:
        return f"{len(transcript.shares)} signed shares combine to the sum, server step recomputed"
    if spec.aggregation == "masked":
        what = f"sum of {len(transcript.contributions)} masked vectors"
    if isinstance(spec.strategy, Evaluation):
        return f"{len(transcript.shares)} share proofs and {what} recomputed; the model is kept"
    return f"{len(transcript.shares)} share proofs, {what} and server step recomputed"


def _shares(transcript: Transcript, agreement: JobAgreement, state: str) -> str:
    """All of a masked release that a bundle can show: its shares, and what it says it follows."""
    cohort, proofs = transcript.cohort(), not transcript.expired
    count = shares_check(transcript, agreement=agreement, proofs=proofs)
    if count < agreement.threshold:
        raise InvalidInput(f"{count} shares, {agreement.threshold} are needed")
    release = transcript.release
    assert release is not None
    if (release.context, release.cohort) != (cohort.context, cohort.digest()):
        raise InvalidInput("the release is of another attempt or cohort")
    equal(transcript.context.model, state, "state before")
    return f"{count} signed shares{', each proven' if proofs else ''}"


def _privacy(spec: JobSpec) -> str:
    check_spec_privacy(spec)
    epsilons = job_epsilons(spec)
    return (
        f"epsilon {epsilons['coordinator']:.4f} against the coordinator with "
        f"{spec.privacy.colluding} colluding, {epsilons['insiders']:.4f} against all other insiders"
    )
