"""The offline verifier, run in the portal for its own readers by a worker.

It reads a file, as whoever takes the bundle away does. A portal that verifies itself proves nothing
to an outsider: pages say so beside the result.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django_tenants.utils import schema_context

from apps.attempts.queue import enqueue
from apps.audit.models import Verification
from apps.audit.selectors import bundle_assemble, campaign_bundle_assemble
from apps.benchmarks.selectors.campaigns import campaign_get_for
from apps.common.actor import Actor
from apps.common.blobs import StagedFile
from apps.common.coordinator import as_coordinator
from apps.common.selectors import get_for
from apps.organizations import ca
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from apps.training.selectors.jobs import job_get_for
from apps.training.storage import blob_storage, file_pieces
from federated.errors import Conflict, DomainError, TooLarge
from federated.provenance.bundle import Bundle, load_bundle
from federated.provenance.bundle_file import Parts
from federated.provenance.verify import Check, bundle_checked
from federated.verify import bundle_checks

CONTRIBUTIONS_MOST = 2_000
"""Above it a worker would be taken for an hour: the reader's own machine does it."""
LEASE = timedelta(seconds=45)
BEAT_SECONDS = 10.0
ATTEMPTS_MOST = 3
NOTED_EVERY = 0.5
DETAIL_MOST = 1_000
Kind = Verification.Kind
State = Verification.State


class _Lost(Exception):
    """Another worker has taken the verification over."""


def verifications_of(organization: str) -> QuerySet[Verification]:
    return Verification.objects.filter(organization=organization)


def verification_get_for(*, organization: str, verification_id: Any) -> Verification:
    """Raises NotFound."""
    return get_for(verifications_of(organization), pk=verification_id)


def verification_ask(
    *, kind: Verification.Kind, subject_id: Any, organization: str, actor: Actor
) -> Verification:
    """Queue the verification of a job or campaign, as its bundle would be exported then.

    Raises NotFound for one that is not the organization's, Conflict while it has another open.
    """
    if kind == Kind.JOB:
        job_get_for(organization=organization, job_id=subject_id)
    else:
        campaign_get_for(organization=organization, campaign_id=subject_id)
    return _ask(kind, str(subject_id), organization=organization, actor=actor)


def verification_ask_file(
    *, path: Path, name: str, organization: str, actor: Actor
) -> Verification:
    """Queue the verification of an uploaded bundle, which is deleted once it is verified.

    Raises BundleInvalid or TooLarge at once, and Conflict as `verification_ask`.
    """
    _bounded(load_bundle(path))
    with StagedFile(path) as file:
        key = blob_storage().save(f"verifications/{uuid4()}.json", file)
    try:
        return _ask(
            Kind.FILE, _storable(name)[:200], key=key, organization=organization, actor=actor
        )
    except BaseException:
        blob_storage().delete(key)
        raise


def _ask(
    kind: Verification.Kind, subject: str, *, organization: str, actor: Actor, key: str = ""
) -> Verification:
    try:
        with transaction.atomic():
            with as_coordinator():
                made = Verification.objects.create(
                    organization=organization,
                    kind=kind,
                    subject=subject,
                    key=key,
                    asked_by=actor.name,
                )
            _tell(made, Tag.VERIFICATION_ASKED, actor, {"kind": str(kind), "of": subject})
            enqueue("audit.verify", made.pk)
    except IntegrityError as error:
        raise Conflict(
            "Another verification of your organization is queued or runs; ask again after it."
        ) from error
    return made


def verification_run(verification_id: Any) -> bool:
    """Verify, by the one worker that claims it. True if it ended here, with a result or without."""
    with as_coordinator():
        found = _verification_claim(verification_id)
        if found is None:
            return False
        try:
            with _held(found), TemporaryDirectory() as folder:
                _verify(found, _bundle_file(found, Path(folder) / "bundle.json"))
            return _verification_end(found)
        except DomainError as error:
            return _verification_end(found, error=error.message)
        except _Lost:
            return False


def verifications_tick() -> None:
    """Take up what killed workers left, and what waits while none runs."""
    with as_coordinator():
        now = timezone.now()
        for left in Verification.objects.filter(state=State.RUNNING, leased_until__lt=now):
            if left.attempts >= ATTEMPTS_MOST:
                error = f"{left.attempts} workers ended over it: verify it on your own machine."
                _verification_end(left, error=error)
            else:
                _verification_release(left)
        if not Verification.objects.filter(state=State.RUNNING).exists():
            waiting = Verification.objects.filter(state=State.QUEUED).order_by("created_at").first()
            if waiting is not None:
                enqueue("audit.verify", waiting.pk)


def _verification_claim(verification_id: Any) -> Verification | None:
    """None if it is not queued, or another runs."""
    queued = Verification.objects.filter(pk=verification_id, state=State.QUEUED)
    try:
        with transaction.atomic():
            won = queued.update(
                state=State.RUNNING,
                attempts=F("attempts") + 1,
                leased_until=timezone.now() + LEASE,
                checks=[],
            )
    except IntegrityError:
        return None
    return Verification.objects.get(pk=verification_id) if won else None


def _mine(found: Verification) -> QuerySet[Verification]:
    return Verification.objects.filter(pk=found.pk, state=State.RUNNING, attempts=found.attempts)


def _verification_release(left: Verification) -> None:
    _mine(left).filter(leased_until__lt=timezone.now()).update(state=State.QUEUED)


@contextmanager
def _held(found: Verification) -> Iterator[None]:
    """Renew the lease from a thread: a single check may take minutes."""
    done = threading.Event()

    def beat() -> None:
        try:
            while not done.wait(BEAT_SECONDS):
                with suppress(DatabaseError):  # The next beat may reach it.
                    _verification_beat(found)
        finally:
            connection.close()  # The thread's own.

    thread = threading.Thread(target=beat, name="verification lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _verification_beat(found: Verification) -> None:
    _mine(found).update(leased_until=timezone.now() + LEASE)


def _bundle_file(found: Verification, path: Path) -> Path:
    """The bundle as a file, as its reader would get it."""
    slug = found.organization
    with path.open("wb") as file:
        if found.kind == Kind.FILE:
            for piece in file_pieces(blob_storage().open(found.key)):
                file.write(piece)
        else:
            file.write(_bundle(found.kind, found.subject, slug).to_bytes())
    with path.open("rb") as file:
        found.digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path


def _bundle(kind: str, subject: str, organization: str) -> Bundle:
    if kind == Kind.JOB:
        job = job_get_for(organization=organization, job_id=subject)
        return bundle_assemble(job=job, organization=organization)
    campaign = campaign_get_for(organization=organization, campaign_id=subject)
    return campaign_bundle_assemble(campaign=campaign, organization=organization)


def _verify(found: Verification, path: Path) -> None:
    """Fill ``found.checks``; the row follows at most twice a second."""
    bundle = load_bundle(path)
    _bounded(bundle)
    # An uploaded bundle may be another consortium's.
    authorities = () if found.kind == Kind.FILE else (ca.certificate(),)
    noted = time.monotonic()
    for check in bundle_checked(bundle, checks=bundle_checks(authorities=authorities)):
        found.checks.append(_row(check))
        if time.monotonic() - noted >= NOTED_EVERY:
            _verification_note(found)
            noted = time.monotonic()


def _row(check: Check) -> dict[str, str]:
    detail = _storable(check.detail)[:DETAIL_MOST]
    return {"name": _storable(check.name)[:DETAIL_MOST], "status": check.status, "detail": detail}


def _storable(text: str) -> str:
    """PostgreSQL keeps neither a null character nor half of a surrogate pair."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _verification_note(found: Verification) -> None:
    if not _mine(found).update(checks=found.checks, leased_until=timezone.now() + LEASE):
        raise _Lost


def _verification_end(found: Verification, *, error: str = "") -> bool:
    """Keep the result, tell it in the organization's log, forget the file."""
    state = State.FAILED if error else State.DONE
    with transaction.atomic():
        won = _mine(found).update(
            state=state,
            checks=found.checks,
            failed=found.count("failed"),
            error=error,
            digest=found.digest,
            ended_at=timezone.now(),
            leased_until=None,
            key="",
        )
        if not won:
            return False
        counts = {status: found.count(status) for status in ("ok", "failed", "skipped")}
        data = {"kind": found.kind, "of": found.subject, "result": state.value, **counts}
        digests = {"bundle": found.digest} if found.digest else {}
        _tell(found, Tag.VERIFICATION_ENDED, Actor.system("verifier"), data, digests)
    if found.key:
        blob_storage().delete(found.key)
    return True


def _tell(
    found: Verification,
    tag: Tag,
    actor: Actor,
    data: dict[str, Any],
    digests: dict[str, str] | None = None,
) -> None:
    with schema_context(f"t_{found.organization}"):
        event_record(
            tag=tag, actor=actor, subject=("verification", found.pk), data=data, digests=digests
        )


def _bounded(bundle: Bundle) -> None:
    """Raises TooLarge before any of the costly checks."""
    found = sum(_contributions(bundle))
    if found > CONTRIBUTIONS_MOST:
        raise TooLarge(
            f"The bundle holds {found} contributions; here at most {CONTRIBUTIONS_MOST} are "
            "checked. Verify it on your own machine: federated verify FILE"
        )


def _contributions(bundle: Bundle) -> Iterable[int]:
    """Yield the number of proofs of each attempt and run; malformed records fail elsewhere."""
    for kind, rows, items in (
        ("jobs", "attempts", "contributions"),
        ("campaigns", "runs", "submissions"),
    ):
        records = bundle.sections.get(kind)
        for record in records if isinstance(records, list) else []:
            listed = record.get(rows) if isinstance(record, dict) else None
            for attempt in listed if isinstance(listed, list | Parts) else []:
                found = attempt.get(items) if isinstance(attempt, dict) else None
                yield len(found) if isinstance(found, list) else 0
