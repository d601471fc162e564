"""Agents in a masked job: on the portal, over broken connections, killed at any line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.files.storage import storages

from apps.training.models import Job, MaskedVector
from federated import files
from federated.api import octets
from federated.protocol.address import Attempt
from federated.protocol.masked import masked_bytes
from federated.protocol.refused import Refused
from federated.site import folder as home
from federated.site import job_folder, signed_folder
from federated.site.folder import About, SiteHome
from federated.site.site import Site
from federated.site.work import attempt as work_attempt
from federated.site.work import round as work_round
from federated.site.work.round import RoundPart
from federated.training.server import ServerState
from federated.wire.base import Signed
from federated.wire.round import Contribution, RoundContext
from tests.federated.client.authority import Authority, write_private
from tests.federated.client.portal import table
from tests.federated.client.test_agent import Sites, sites, world
from tests.federated.protocol.conftest import Consortium, make_consortium
from tests.training.test_masked_job import empty_storage
from tests.training.world import current

__all__ = ["empty_storage", "sites", "world"]


def test_agents_train_one_masked_model(sites: Sites) -> None:
    job = sites.start(aggregation="masked")
    sites.play(job)
    assert (job.state, job.reason) == (Job.State.FINISHED, "")
    for site in sites.values():
        assert not [line for line in site.lines if "failed" in line or "REFUSED" in line]
        state = ServerState.from_bytes(site.home.job(str(job.pk)).state(2))
        assert state.digest() == job.model_digest
        assert site.said("16 bytes masked")


def test_an_upload_goes_on_where_it_broke_off(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(octets, "PART_BYTES", 5)
    monkeypatch.setattr(files, "PIECE_BYTES", 2)
    job = sites.start(aggregation="masked")
    site = sites["summit"]
    site.api._retry_seconds = 5.0
    asked: list[str] = []

    def watch(request: httpx.Request) -> None:
        if "/vectors/" in request.url.path and request.method == "PUT":
            asked.append(request.headers["Content-Range"])
            # The third part arrives, and its answer is lost.
            if asked[-1] == "bytes 10-14/16" and asked.count(asked[-1]) == 1:
                raise httpx.ReadError("the connection broke")

    site.transport.after = watch
    sites.play(job, until="charging")
    assert asked == [
        *("bytes 0-4/16", "bytes 5-9/16", "bytes 10-14/16"),
        *("bytes */16", "bytes 15-15/16"),
    ]
    assert MaskedVector.objects.filter(attempt=current(job)).count() == 3


def test_a_download_goes_on_where_it_broke_off(sites: Sites) -> None:
    job = sites.start(aggregation="masked")
    site = sites["summit"]
    site.api._retry_seconds = 5.0
    sites.play(job, until="charging")
    other = MaskedVector.objects.filter(attempt=current(job)).exclude(organization="summit").first()
    assert other is not None
    with storages["blobs"].open(other.key) as file:
        whole = file.read()
    ranges: list[str | None] = []

    class Breaking(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield whole[:7]
            raise httpx.ReadError("the connection broke")

    handle = site.transport.handle_request

    def broken(request: httpx.Request) -> httpx.Response:
        answer = handle(request)
        ranges.append(request.headers.get("Range"))
        if len(ranges) == 1:
            return httpx.Response(200, stream=Breaking())
        return answer

    site.transport.handle_request = broken  # type: ignore[method-assign]
    got = b"".join(site.api.vector(Attempt(str(job.pk), 1, 1), other.digest))
    assert (got, ranges) == (whole, [None, "bytes=7-"])


def to_second_round(sites: Sites, job: Job) -> MaskedVector:
    """The first release is made and no site has looked at it; lakeside's vector of its round."""
    while current(job).number == 1:
        sites.play(job, most=1)
    return MaskedVector.objects.get(attempt__number=1, organization="lakeside")


def test_another_vector_than_was_signed_is_a_release_that_does_not_follow(sites: Sites) -> None:
    job = sites.start(aggregation="masked")
    vector = to_second_round(sites, job)
    Path(storages["blobs"].path(vector.key)).write_bytes(b"\0" * vector.size)
    sites["summit"].step()
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert "summit does not agree" in job.reason
    assert "masked vector has digest" in job.reason


def test_a_vector_that_is_kept_back_gets_no_verdict_and_no_training(sites: Sites) -> None:
    job = sites.start(aggregation="masked")
    to_second_round(sites, job).delete()
    site = sites["summit"]
    site.step()
    site.step()
    assert site.said("verify") and site.said("not_found")
    assert site.home.job(str(job.pk)).verified_round() == 0
    assert not site.sent("verdict")
    assert len(site.sent("contribution")) == 1


def test_own_vectors_are_forgotten_with_their_states(tmp_path: Path) -> None:
    folder = home.JobFolder(tmp_path)
    for at in (Attempt("", 1, 1), Attempt("", 2, 1), Attempt("", 2, 2), Attempt("", 3, 1)):
        with folder.vector_writing(at) as (sink, keep):
            sink(b"masked")
            keep("0" * 64)
    folder.vectors_forget(before=3)
    kept = sorted(path.parent.name for path in tmp_path.glob("attempts/*/*"))
    assert kept == ["2-1", "2-2", "3-1"]


def test_a_vector_that_is_not_kept_any_more_is_not_sent(sites: Sites) -> None:
    job = sites.start(aggregation="masked")
    site = sites["summit"]
    site.step()
    for path in site.home.path.glob("jobs/*/attempts/1-1/*.vector"):
        path.unlink()
    with pytest.raises(Refused, match="not kept any more"):
        RoundPart(site.agent.site, Attempt(str(job.pk), 1, 1)).contribute()


# Killed at any line.

TRACED = {
    module.__file__ for module in (files, home, job_folder, signed_folder, work_attempt, work_round)
}
NAME = "summit"


class Outbox:
    """Stands where the network begins; what is sent stays in a file when the process is killed."""

    def __init__(self, path: Path, context: RoundContext) -> None:
        self._path, self._context = path, context

    def round_context(self, at: Attempt) -> RoundContext:
        return self._context

    def vector_send(self, at: Attempt, digest: str, path: Path) -> None:
        self._write("vector", digest, path.read_bytes().hex())

    def attempt_send(self, at: Attempt, kind: str, signed: Signed[Any]) -> None:
        self._write(kind, signed.canonical().decode())

    def _write(self, *line: str) -> None:
        with self._path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")


@pytest.fixture(scope="module")
def consortium() -> Consortium:
    return make_consortium(aggregation="masked")


@pytest.fixture(scope="module")
def template(consortium: Consortium) -> Iterator[Path]:
    """The site's folder before the attempt; in memory where that is possible."""
    shared = Path("/dev/shm")
    base = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        path = Path(folder) / "template"
        path.mkdir(mode=0o700)
        key = consortium.identities[NAME]._private_key
        write_private(path / "site.pem", Authority().admit(NAME, key=key))
        made = SiteHome(path)
        made.about_write(About(NAME, "test", "https://coordinator.invalid"))
        made.epoch_folder(consortium.epoch.digest()).epoch_keep(consortium.epoch)
        job = made.job(consortium.spec.job_id)
        job.spec_keep(consortium.spec)
        job.state_keep(0, consortium.state.pieces())
        rows = Path(folder) / "ward.csv"
        table(NAME, 20).to_csv(rows, index=False)
        job.bind(rows)
        yield path


def work(path: Path, context: RoundContext) -> None:
    """One attempt's training, by a process that has nothing but the folder."""
    site = Site(SiteHome(path), Outbox(path / "sent", context))  # type: ignore[arg-type]
    RoundPart(site, Attempt(context.job_id, 1, 1)).contribute()


def killed_at(path: Path, context: RoundContext, line: int) -> bool:
    """Work in a child that is killed at the n-th line of the traced files; False if it ended.

    A line counts once for each place that its function is called from.
    """
    child = os.fork()
    if child == 0:
        met: set[tuple[str, int, int]] = set()

        def trace(frame: Any, event: str, argument: Any) -> Any:
            if frame.f_code.co_filename not in TRACED:
                return None
            if event == "line":
                met.add((frame.f_code.co_filename, frame.f_lineno, frame.f_back.f_lineno))
                if len(met) == line:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            work(path, context)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.slow
def test_a_kill_at_any_line_sends_the_very_same_bytes(
    template: Path, consortium: Consortium
) -> None:
    context = consortium.context()
    line, was_killed, orphans = 0, True, 0
    while was_killed:
        line += 1
        path = template.parent / str(line)
        shutil.copytree(template, path)
        was_killed = killed_at(path, context, line)
        work(path, context)
        work(path, context)
        sent = [json.loads(row) for row in (path / "sent").read_text().splitlines()]
        (digest, body), *_ = [row[1:] for row in sent if row[0] == "vector"]
        contributions = {row[1] for row in sent if row[0] == "contribution"}
        assert {tuple(row[1:]) for row in sent if row[0] == "vector"} == {(digest, body)}
        assert len(contributions) == 1
        # Never a contribution before its vector.
        assert sent[0][0] == "vector"
        signed = Signed[Contribution].parse(contributions.pop())
        assert signed.body.masked == digest
        vector = bytes.fromhex(body)
        assert len(vector) == masked_bytes(consortium.agreement)
        assert hashlib.sha256(vector).hexdigest() == digest
        orphans += len(list(path.glob("jobs/*/attempts/*/.aside.*")))
        assert len(list(path.glob("jobs/*/attempts/*/*.vector"))) == 1
        shutil.rmtree(path)
    assert line > 60, line
    assert orphans == 0
