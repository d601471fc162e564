"""A trustee killed with SIGKILL at any line of its decrypt path, then asked by two coordinators."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from federated import files
from federated.protocol.address import Attempt
from federated.site import folder as home
from federated.site import job_folder, ledger, signed_folder
from federated.site.folder import About, SiteHome
from federated.site.ledger import Ledger
from federated.site.site import Site
from federated.site.work import attempt as work_attempt
from federated.site.work import round as work_round
from federated.site.work.round import RoundPart
from federated.wire.base import Signed
from federated.wire.round import DecryptionShare, Reason, Refusal, Transcript
from tests.federated.client.authority import Authority, write_private
from tests.federated.protocol.conftest import CAST, Consortium, make_consortium, with_

TRUSTEE = "westbrook"
MEMBERS = tuple(name for name in CAST if name != TRUSTEE)
TRACED = {
    module.__file__
    for module in (files, home, job_folder, ledger, signed_folder, work_attempt, work_round)
}


@pytest.fixture(scope="module")
def consortium() -> Consortium:
    return make_consortium()


def charged(consortium: Consortium, transcript: Transcript) -> Transcript:
    receipts = tuple(consortium.receipt(name, transcript) for name in MEMBERS)
    return with_(transcript, receipts=receipts)


@pytest.fixture(scope="module")
def two_cohorts(consortium: Consortium) -> tuple[Transcript, Transcript]:
    """Both valid to the last signature: the members collude, the trustee's memory alone helps."""
    first = consortium.transcript(members=MEMBERS)
    another = consortium.contribute(MEMBERS[-1], first.context)
    second = with_(first, contributions=(*first.contributions[:-1], another))
    return charged(consortium, first), charged(consortium, second)


class Outbox:
    """Stands where the network begins; what is sent stays in a file when the process is killed."""

    def __init__(self, path: Path, transcript: Transcript) -> None:
        self._path, self._transcript = path, transcript

    def transcript(self, at: Attempt) -> Transcript:
        return self._transcript

    def attempt_send(self, at: Attempt, kind: str, signed: Signed) -> None:
        with self._path.open("ab") as file:
            file.write(json.dumps([kind, signed.canonical().decode()]).encode() + b"\n")


@pytest.fixture(scope="module")
def template(consortium: Consortium) -> Iterator[Path]:
    """The trustee's folder as it is before the first request; in memory where that is possible."""
    shared = Path("/dev/shm")
    base = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        path = Path(folder) / "template"
        path.mkdir(mode=0o700)
        key = consortium.identities[TRUSTEE]._private_key
        write_private(path / "site.pem", Authority().admit(TRUSTEE, key=key))
        made = SiteHome(path)
        made.about_write(About(TRUSTEE, "test", "https://coordinator.invalid"))
        kept = made.epoch_folder(consortium.epoch.digest())
        kept.epoch_keep(consortium.epoch)
        kept.share_keep(consortium.shares[TRUSTEE])
        made.job(consortium.spec.job_id).spec_keep(consortium.spec)
        with closing(Ledger(path / "ledger.sqlite")):
            yield path


def ask(path: Path, transcript: Transcript) -> None:
    """One decryption request, by a process that has nothing but the folder."""
    site = Site(SiteHome(path), Outbox(path / "sent", transcript))
    with closing(site.home.ledger):
        RoundPart(site, Attempt(transcript.context.job_id, 1, 1)).share()


def in_child(path: Path, transcript: Transcript, line: int) -> bool:
    """Ask in a child that is killed at the n-th line of the traced files; False if it ended."""
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame, event, argument):
            nonlocal left
            if frame.f_code.co_filename not in TRACED:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            ask(path, transcript)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def sent(path: Path) -> tuple[list[str], list[Reason]]:
    """The shares (their bytes) and the reasons of refusals that ever left."""
    shares, reasons = [], []
    file = path / "sent"
    for line in file.read_text().splitlines() if file.exists() else []:
        kind, content = json.loads(line)
        if kind == "share":
            shares.append(content)
        else:
            reasons.append(Signed[Refusal].parse(content).body.reason)
    return shares, reasons


@pytest.mark.slow
def test_a_kill_at_any_line_serves_one_cohort_with_the_same_bytes(
    template: Path, two_cohorts: tuple[Transcript, Transcript]
) -> None:
    first, second = two_cohorts
    served: set[str] = set()
    line, killed = 0, True
    while killed:
        line += 1
        path = template.parent / str(line)
        shutil.copytree(template, path)
        killed = in_child(path, first, line)
        before, _ = sent(path)
        # The other cohort is asked first, so that only what is on the disk can refuse it.
        for transcript in (second, first, second, first):
            ask(path, transcript)
        shares, reasons = sent(path)
        assert len(set(shares)) == 1
        assert len(shares) == len(before) + 2
        assert reasons == [Reason.COHORT_ALREADY_SERVED] * 2
        served.add(Signed[DecryptionShare].parse(shares[0]).body.cohort)
        shutil.rmtree(path)
    assert served == {first.cohort().digest(), second.cohort().digest()}
    assert line > 60
