"""Summing a cohort's stored vectors over Celery workers: masked ones against plain int64.

A portal of its own with its two worker processes, real rows, real storage. A masked vector of
26-bit values is 4 bytes a parameter; one of 52-bit values is a 64-bit word a parameter, which is
what a plain int64 vector is, and adding it modulo 2^64 is the same addition: it stands for that.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from typing import Any

import django
import psutil
from django.utils import timezone

from federated.crypto import envelope, signatures
from federated.privacy.config import PrivacyConfig
from federated.protocol.identity import SiteIdentity
from federated.protocol.keys import ceremony
from federated.protocol.propose import spec_make
from federated.wire.base import encode_bytes
from federated.wire.job import (
    BinaryTarget,
    DataDictionary,
    JobSpec,
    NumericFeature,
    Participant,
)
from federated.wire.key import KeyEpoch, Roster, RosterSite
from portal.config import Config
from portal.demo.stage import Stage, wait_for
from tests.bench.frame import OURS, VAR, Row, spread
from tests.bench.own import playing
from tests.bench.processes import family, peak_mib
from tests.bench.round_large import columns, model
from tests.ports import free_port

REPEATS = 3
METRIC = "sum stored vectors over workers"
PLAIN = "plain int64 vectors"
CONSORTIUM = "sums.bench"
# Slots of 26 bits, and of 52.
GRIDS = {OURS: (1024, 100), PLAIN: (2**20, 20_000)}
FEW = 20


def celery_rows(params: int, sites: int = 100) -> list[Row]:
    """Start a portal, sum a few and then ``sites`` stored vectors of each kind, stop it."""
    folder = VAR / "sums"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    address = f"127.0.0.1:{free_port()}"
    sections: dict[str, Any] = {"consortium": CONSORTIUM, "bind_address": address}
    config = Config.load(None, folder / "state", coordinator=sections)
    try:
        with playing(Stage(folder, config)) as stage:
            stage.portal_start()
            os.environ.update(config.environment("owner"))
            django.setup()
            logging.getLogger("httpx").setLevel(logging.WARNING)
            return _measured(stage, params, sites)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(stage: Stage, params: int, sites: int) -> list[Row]:
    identities = [
        SiteIdentity(f"site{number:03}", signatures.generate_private_key())
        for number in range(sites)
    ]
    epoch = _epoch(identities[:4])
    rows: list[Row] = []
    for count in (FEW, sites):
        for system, (units, records) in GRIDS.items():
            spec = _spec(identities, epoch, params, units=units, records=records)
            found = _stored(spec, epoch, [each.organization for each in identities[:count]])
            seconds = [_sum_once(found) for _ in range(REPEATS)]
            case = f"{count} stored vectors of {params:,}"
            rows += spread(case, system, METRIC, seconds, "s")
        peak = _worker_peak(stage)
        rows.append(Row(f"{count} vectors", OURS, "peak memory of a summing worker", peak, "MiB"))
    return rows


def _epoch(identities: list[SiteIdentity]) -> KeyEpoch:
    sites = tuple(
        RosterSite(
            organization=each.organization,
            public_key=each.public_key,
            encryption_key=encode_bytes(envelope.generate()[1]),
        )
        for each in identities
    )
    # Nothing is decrypted here, so that a short key does.
    roster = Roster(consortium=CONSORTIUM, sites=sites)
    return ceremony(roster, number=1, threshold_of=3, max_colluding=1, bits=768)[0]


def _spec(
    identities: list[SiteIdentity], epoch: KeyEpoch, params: int, *, units: int, records: int
) -> JobSpec:
    chosen = model(params)
    return spec_make(
        job_id=str(uuid.uuid4()),
        consortium=CONSORTIUM,
        proposer=identities[0].organization,
        proposed_at="2026-01-01T00:00:00Z",
        data=DataDictionary(
            dataset="ward",
            features=tuple(NumericFeature(name=name, lower=-1.0, upper=1.0) for name in columns()),
            target=BinaryTarget(name="y"),
            nominal_records=10**6,
            max_records=records,
        ),
        model=chosen,
        initial_state="0" * 64,
        rounds=1,
        participants=[
            Participant(organization=each.organization, public_key=each.public_key)
            for each in identities
        ],
        privacy=PrivacyConfig(units=units),
        key_epoch=epoch.digest(),
        aggregation="masked",
    )


def _stored(spec: JobSpec, epoch: KeyEpoch, members: list[str]) -> Any:
    """A closed attempt whose members' vectors lie in storage: random words."""
    from django.core.files.base import ContentFile

    from apps.attempts.models import Attempt
    from apps.keys import models as keys
    from apps.training import models
    from apps.training.services.vectors import vector_key
    from apps.training.storage import blob_storage
    from federated.protocol.masked import masked_bytes

    keys.KeyEpoch.objects.get_or_create(
        digest=epoch.digest(),
        defaults={"number": 1, "message": epoch.dump(), "state": keys.KeyEpoch.State.ACTIVE},
    )
    job = models.Job.objects.create(
        id=spec.job_id,
        kind="training",
        key_epoch=spec.key_epoch,
        spec={"body": spec.dump(), "signer": "0" * 64, "signature": "A" * 86},
        spec_digest=uuid.uuid4().hex * 2,
        proposer=spec.proposer,
        state=models.Job.State.FINISHED,
        model_digest="0" * 64,
    )
    found = Attempt.objects.create(
        agreement=job,
        number=1,
        attempt=1,
        state=Attempt.State.CHARGING,
        context={},
        context_digest=uuid.uuid4().hex * 2,
        cohort={"context": "0" * 64, "members": dict.fromkeys(members, "0" * 64)},
        opened_at=timezone.now(),
        deadline=timezone.now(),
    )
    size = masked_bytes(job.terms)
    for name in members:
        digest = uuid.uuid4().hex * 2
        key = blob_storage().save(vector_key(found, name, digest), ContentFile(os.urandom(size)))
        models.MaskedVector.objects.create(
            attempt=found, organization=name, digest=digest, size=size, key=key
        )
    return found


def _sum_once(found: Any) -> float:
    """Seconds from the first task's sending to the last part's storing; checked at one place."""
    import portal.celery  # noqa: F401 - makes it the application that tasks are sent through
    from apps.training.models import SumPart
    from apps.training.selectors.vectors import vector_open, vectors_of
    from apps.training.services import sums
    from apps.training.storage import blob_storage

    SumPart.objects.filter(attempt=found).delete()
    begun = time.monotonic()
    sums.sum_begin(found)
    wait_for(lambda: sums.sum_ready(found), seconds=300, what="the sum", pause=0.005)
    seconds = time.monotonic() - begun
    expected = 0
    for vector in vectors_of(found):
        with vector_open(vector) as file:
            expected += int.from_bytes(file.read(8), "little")
    first = SumPart.objects.filter(attempt=found).order_by("start")[0]
    with blob_storage().open(first.key) as file:
        if int.from_bytes(file.read(8), "little") != expected % 2**64:
            raise AssertionError("the workers' sum is not the sum of the vectors")
    return seconds


def _worker_peak(stage: Stage) -> float:
    """The highest peak of a worker process, in MiB."""
    assert stage.portal is not None
    peaks = [
        peak_mib(pid)
        for pid in family([stage.portal.pid])
        if psutil.pid_exists(pid) and "celery" in " ".join(psutil.Process(pid).cmdline())
    ]
    return max(peaks)
