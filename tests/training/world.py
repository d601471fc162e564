"""Sites made from the protocol's own functions, on the portal's HTTP API."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import serialization
from django.conf import settings

from apps.attempts import tasks
from apps.attempts.models import Attempt
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.keys.services import key_epoch_publish
from apps.training.models import Job
from apps.training.services import machine
from federated.crypto.threshold import KeyShare
from federated.privacy.config import PrivacyConfig
from federated.protocol.agreement import JobAgreement
from federated.protocol.checks import charges_check
from federated.protocol.cost import round_cost
from federated.protocol.evaluation import evaluation_make
from federated.protocol.identity import SiteIdentity
from federated.protocol.keys import ceremony, open_share
from federated.protocol.kinds.training import contribution_make
from federated.protocol.masked import total_of
from federated.protocol.propose import spec_make
from federated.protocol.release import release_check
from federated.protocol.share import share_make
from federated.protocol.transcript import transcript_check
from federated.training.server import ServerState
from federated.wire import job as wire_job
from federated.wire import round as wire
from federated.wire.base import Message, Signed, encode_bytes
from federated.wire.key import (
    KeyConfirmation,
    KeyEpoch,
    KeyRetired,
    Roster,
    RosterSite,
    SealedShare,
)
from federated.wire.site import AttemptTask, Inbox, Task, Work
from tests.conftest import ORGANIZATIONS, SITE_KEYS, site_client

KEY_BITS = 768
CAST = ("lakeside", "northwind", "summit")
EVERYBODY = ("harbor", "lakeside", "northwind", "summit")

DICTIONARY = wire_job.DataDictionary(
    dataset="ward",
    features=tuple(wire_job.NumericFeature(name=f"x{i}", lower=-1.0, upper=1.0) for i in range(3)),
    target=wire_job.BinaryTarget(name="y"),
    nominal_records=100,
    max_records=200,
)
MODEL = wire_job.ModelSpec(layers=(wire_job.LinearLayer(in_features=3, out_features=1),))
INITIAL = ServerState.initial(np.zeros(MODEL.parameters))


def identity_of(slug: str) -> SiteIdentity:
    return SiteIdentity(slug, SITE_KEYS[slug].key)


def encryption_key(slug: str) -> bytes:
    return SITE_KEYS[slug].encryption_key.private_bytes(
        serialization.Encoding.Raw,
        serialization.PrivateFormat.Raw,
        serialization.NoEncryption(),
    )


def roster() -> Roster:
    return Roster(
        consortium=settings.FSC_CONSORTIUM,
        sites=tuple(
            RosterSite(
                organization=slug,
                public_key=identity_of(slug).public_key,
                encryption_key=encode_bytes(
                    SITE_KEYS[slug].encryption_key.public_key().public_bytes_raw()
                ),
            )
            for slug in sorted(ORGANIZATIONS)
        ),
    )


def dealt(number: int = 1) -> tuple[KeyEpoch, list[SealedShare]]:
    """A 3-of-4 key for the whole cast; short, because it protects nothing."""
    return _dealt(number)


@cache
def _dealt(number: int) -> tuple[KeyEpoch, list[SealedShare]]:
    return ceremony(roster(), number=number, threshold_of=3, max_colluding=1, bits=KEY_BITS)


@cache
def share_of(slug: str) -> KeyShare:
    epoch, sealed = dealt()
    mine = next(item for item in sealed if item.organization == slug)
    return open_share(mine, epoch, encryption_key(slug))


@dataclass
class Site:
    """An honest site: it does what its inbox asks, through the API alone."""

    slug: str
    gradient: Any = None
    jobs: dict[str, Signed[wire_job.JobSpec]] = field(default_factory=dict)
    sent: dict[tuple[Any, ...], Signed[Any]] = field(default_factory=dict)
    states: dict[str, ServerState] = field(default_factory=dict)
    vectors: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = site_client(self.slug)
        self.identity = identity_of(self.slug)
        rng = np.random.default_rng(len(self.slug))
        self.gradient = rng.integers(-20_000, 20_000, MODEL.parameters, dtype=np.int64)

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(f"/api/{path}", headers=headers)

    def post(self, path: str, message: Message | bytes) -> Any:
        body = message if isinstance(message, bytes) else message.canonical()
        return self.client.post(f"/api/{path}", body, content_type="application/json")

    def sign(self, message: Message) -> Signed[Any]:
        return self.identity.sign(message)

    def inbox(self) -> Inbox:
        answer = self.get("inbox")
        assert answer.status_code == 200, answer.content
        return Inbox.parse(answer.content)

    def work(self, *kinds: Work) -> list[Work]:
        """Do the inbox's tasks (of these kinds); return what was done."""
        done = []
        for task in self.inbox().tasks:
            if not kinds or task.kind in kinds:
                answer = getattr(self, f"do_{task.kind.value}")(task)
                assert answer.status_code in (200, 201), answer.content
                done.append(task.kind)
        return done

    def path(self, task: Task) -> str:
        return f"jobs/{task.job_id}/rounds/{task.round}/{task.attempt}"

    def spec(self, job_id: str) -> wire_job.JobSpec:
        if job_id not in self.jobs:
            answer = self.get(f"jobs/{job_id}").json()
            self.jobs[job_id] = Signed[wire_job.JobSpec].parse(answer["spec"])
        return self.jobs[job_id].body

    def agreement(self, spec: wire_job.JobSpec) -> JobAgreement:
        return JobAgreement(spec, self.epoch(spec.key_epoch))

    def epoch(self, digest: str) -> KeyEpoch:
        if dealt()[0].digest() == digest:
            return dealt()[0]
        return KeyEpoch.parse(self.get(f"keys/{digest}").json()["epoch"])

    def context(self, task: Task) -> wire.RoundContext:
        return wire.RoundContext.parse(self.get(self.path(task)).json()["context"])

    def transcript(self, task: Task) -> wire.Transcript:
        answer = self.get(f"{self.path(task)}/transcript")
        assert answer.status_code == 200, answer.content
        return wire.Transcript.parse(answer.content)

    def do_key(self, task: Task) -> Any:
        confirmation = KeyConfirmation(epoch=task.epoch, organization=self.slug)
        return self.post(f"keys/{task.epoch}/confirmation", self.sign(confirmation))

    def do_retire(self, task: Task) -> Any:
        word = KeyRetired(epoch=task.epoch, organization=self.slug)
        return self.post(f"keys/{task.epoch}/retirement", self.sign(word))

    def approval(self, spec: wire_job.JobSpec) -> Signed[wire_job.Approval]:
        return self.sign(self.agreement(spec).approval(self.slug))

    def do_approve(self, task: Task) -> Any:
        spec = self.spec(task.job_id or "")
        return self.post(f"jobs/{spec.job_id}/approval", self.approval(spec))

    def put(self, task: Task, digest: str, body: bytes, **headers: str) -> Any:
        path = f"/api/{self.path(task)}/vectors/{digest}"
        kind = "application/octet-stream"
        return self.client.put(path, body, content_type=kind, headers=headers)

    def contribution(self, task: Task) -> Signed[wire.Contribution]:
        """Made and, where the job masks, with the vector in ``self.vectors``."""
        spec = self.spec(task.job_id or "")
        body = bytearray()
        signed = contribution_make(
            agreement=self.agreement(spec),
            context=self.context(task),
            identity=self.identity,
            gradient=self.vector(spec),
            sink=body.extend,
        )
        self.sent["contribution", task.job_id, task.round, task.attempt] = signed
        if signed.body.masked is not None:
            self.vectors[signed.body.masked] = bytes(body)
        return signed

    def do_train(self, task: Task) -> Any:
        signed = self.contribution(task)
        digest = signed.body.masked
        if digest is not None:
            assert self.put(task, digest, self.vectors[digest]).status_code == 201
        return self.post(f"{self.path(task)}/contribution", signed)

    def total(self, task: Task, transcript: wire.Transcript) -> Any:
        """The sum of the cohort's vectors, each fetched from the portal."""

        def source(digest: str) -> Any:
            answer = self.get(f"{self.path(task)}/vectors/{digest}")
            assert answer.status_code == 200
            return answer.streaming_content

        spec = self.spec(task.job_id or "")
        return total_of(transcript, agreement=self.agreement(spec), source=source)

    def receipt(self, task: Task) -> Signed[wire.ChargeReceipt]:
        spec = self.spec(task.job_id or "")
        cohort = transcript_check(self.transcript(task), agreement=self.agreement(spec))
        return self.sign(
            wire.ChargeReceipt(
                context=cohort.context,
                cohort=cohort.digest(),
                organization=self.slug,
                cost=round_cost(spec),
            )
        )

    def do_charge(self, task: Task) -> Any:
        return self.post(f"{self.path(task)}/receipt", self.receipt(task))

    def share(self, task: Task) -> Signed[wire.DecryptionShare]:
        spec, transcript = self.spec(task.job_id or ""), self.transcript(task)
        cohort = transcript_check(transcript, agreement=self.agreement(spec))
        charges_check(transcript.receipts, agreement=self.agreement(spec), cohort=cohort)
        return share_make(
            transcript,
            agreement=self.agreement(spec),
            share=share_of(self.slug),
            identity=self.identity,
        )

    def do_decrypt(self, task: Task) -> Any:
        return self.post(f"{self.path(task)}/share", self.share(task))

    def vector(self, spec: wire_job.JobSpec) -> Any:
        """What this site contributes: a gradient of its own, or counts of an evaluation."""
        if not isinstance(spec.strategy, wire_job.Evaluation):
            return self.gradient
        rng = np.random.default_rng(len(self.slug))
        # The lower half of the bins for one class, the upper for the other, mostly.
        likely = np.where(np.arange(spec.dimension) // (spec.strategy.bins // 2) % 3 == 0, 12, 3)
        return rng.poisson(likely).astype(np.int64) * spec.privacy.units

    def verdict(self, task: Task, **changes: Any) -> Signed[wire.Verdict]:
        spec, transcript = self.spec(task.job_id or ""), self.transcript(task)
        of = spec.strategy.job_id if isinstance(spec.strategy, wire_job.Evaluation) else ""
        before = self.states.get(of or spec.job_id, INITIAL)
        after = release_check(
            transcript,
            agreement=self.agreement(spec),
            state=before,
            total=self.total(task, transcript),
        )
        self.states[spec.job_id] = after
        assert transcript.release is not None
        body = wire.Verdict(
            context=transcript.context.digest(),
            cohort=transcript.cohort().digest(),
            release=transcript.release.digest(),
            organization=self.slug,
            agrees=True,
        )
        return self.sign(body.model_copy(update=changes))

    def do_verify(self, task: Task) -> Any:
        return self.post(f"{self.path(task)}/verdict", self.verdict(task))

    def refusal(self, found: Attempt, **changes: Any) -> Signed[wire.Refusal]:
        body = wire.Refusal(
            context=found.context_digest,
            cohort=found.cohort_digest or "0" * 64,
            organization=self.slug,
            reason=wire.Reason.COHORT_ALREADY_SERVED,
            detail="served another cohort",
        )
        return self.sign(body.model_copy(update=changes))


def workers() -> None:
    """What beat and the workers do: a tick, and the heavy tasks that it would enqueue."""
    machine.tick()
    with as_coordinator():
        waiting = Attempt.objects.filter(state=Attempt.State.DECRYPTING).select_related("agreement")
        due = [r for r in waiting if r.messages.filter(name="share").count() >= r.terms.threshold]
    for found in due:
        tasks.release(str(found.pk))


class World:
    """A consortium with a key, and sites to play its jobs."""

    def __init__(self) -> None:
        self.sites = {slug: Site(slug) for slug in EVERYBODY}

    def __getitem__(self, slug: str) -> Site:
        return self.sites[slug]

    def publish_key(self, number: int = 1) -> None:
        epoch, sealed = dealt(number)
        key_epoch_publish(epoch=epoch, shares=sealed, actor=Actor.system("tests"))

    def confirm_key(self) -> None:
        for site in self.sites.values():
            site.work(Work.KEY)

    def spec(self, participants: tuple[str, ...] = CAST, **options: Any) -> wire_job.JobSpec:
        return spec_make(
            **{
                "job_id": str(uuid.uuid4()),
                "consortium": settings.FSC_CONSORTIUM,
                "proposer": "northwind",
                "proposed_at": "2026-01-01T00:00:00Z",
                "data": DICTIONARY,
                "model": MODEL,
                "initial_state": INITIAL.digest(),
                "rounds": 2,
                "participants": [
                    wire_job.Participant(organization=slug, public_key=identity_of(slug).public_key)
                    for slug in participants
                ],
                "privacy": PrivacyConfig(),
                "key_epoch": dealt()[0].digest(),
                **options,
            }
        )

    def proposal(
        self, spec: wire_job.JobSpec, *, by: str = "northwind", state: bytes | None = None
    ) -> bytes:
        content = INITIAL.to_bytes() if state is None else state
        return json.dumps(
            {"spec": self[by].sign(spec).dump(), "state": encode_bytes(content)}
        ).encode()

    def propose(self, participants: tuple[str, ...] = CAST, **options: Any) -> Job:
        spec = self.spec(participants, **options)
        answer = self["northwind"].post("jobs", self.proposal(spec))
        assert answer.status_code == 201, answer.content
        return Job.objects.get(pk=spec.job_id)

    def propose_evaluation(self, job: Job, **options: Any) -> Job:
        """A joint evaluation of the model that a job released last."""
        state = self["northwind"].states[str(job.pk)]
        spec = evaluation_make(
            job.wire,
            state,
            **{
                "job_id": str(uuid.uuid4()),
                "proposer": "northwind",
                "proposed_at": "2026-01-01T00:00:00Z",
                "participants": job.wire.participants,
                "privacy": PrivacyConfig(),
                "key_epoch": dealt()[0].digest(),
                **options,
            },
        )
        answer = self["northwind"].post("jobs", self.proposal(spec, state=state.to_bytes()))
        assert answer.status_code == 201, answer.content
        return Job.objects.get(pk=spec.job_id)

    def start(self, participants: tuple[str, ...] = CAST, **options: Any) -> Job:
        """A running job, its first attempt open."""
        job = self.propose(participants, **options)
        for slug in participants:
            self[slug].work(Work.APPROVE)
        workers()
        job.refresh_from_db()
        assert job.state == Job.State.RUNNING, job.reason
        return job

    def all_work(self, slugs: tuple[str, ...], *kinds: Work) -> None:
        for slug in slugs:
            self[slug].work(*kinds)
        workers()

    def to_charging(self, job: Job, slugs: tuple[str, ...] = CAST) -> Attempt:
        self.all_work(slugs, Work.TRAIN)
        return current(job)

    def to_decrypting(self, job: Job, slugs: tuple[str, ...] = CAST) -> Attempt:
        self.to_charging(job, slugs)
        self.all_work(slugs, Work.CHARGE)
        return current(job)


def current(job: Job) -> Attempt:
    """The job's newest attempt, fresh from the database."""
    found = Attempt.objects.filter(agreement=job).order_by("-number", "-attempt").first()
    assert found is not None
    return found


def pass_deadline(found: Attempt) -> None:
    """Let the attempt's deadline lie in the past, without waiting for it."""
    Attempt.objects.filter(pk=found.pk).update(deadline=found.opened_at)
    workers()


def pass_grace(found: Attempt) -> None:
    """Let the moment lie in the past from which every trustee is asked."""
    Attempt.objects.filter(pk=found.pk).update(charged_at=found.opened_at - timedelta(seconds=60))


def task_for(found: Attempt, kind: Work = Work.TRAIN) -> Task:
    return AttemptTask.of(kind, str(found.agreement_id), found.number, found.attempt)
