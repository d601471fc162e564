"""The site's agent: asks its inbox what to do, does it, and never stops for one failure."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from federated.api.coordinator import CoordinatorAPI
from federated.api.transport import Interrupted
from federated.errors import DomainError, NotFound
from federated.extras import MissingExtra, needs
from federated.protocol.address import Attempt
from federated.site.comparison import compare_and_say, next_to_compare
from federated.site.folder import SiteHome
from federated.site.retention import contributions_expire, submissions_expire
from federated.site.site import Say, Site, Waiting, short
from federated.site.work.allot import request_decide
from federated.site.work.approve import job_decide
from federated.site.work.attempt import Part
from federated.site.work.campaign import campaign_decide, campaign_entries, campaigns_settle
from federated.site.work.cosign import checkpoint_cosign
from federated.site.work.key import key_take
from federated.site.work.renew import certificate_renew
from federated.site.work.retire import key_retire
from federated.site.work.round import RoundPart
from federated.site.work.run import RunPart
from federated.wire.site import (
    AllotTask,
    AttemptTask,
    CampaignTask,
    CosignTask,
    JobTask,
    KeyTask,
    RunTask,
    Task,
    Work,
)

AGAIN_SECONDS = 2.0
LONGEST_PAUSE = 60.0
OUTAGE_PAUSE = 5.0
MIRROR_SECONDS = 2.0
ENDED_SECONDS = 15.0
EXPIRE_SECONDS = 3600.0
RENEW_SECONDS = 3600.0
LOADED_EARLY = ("pandas", "sklearn.metrics")
PARTS: Mapping[Work, Callable[[Part], None]] = {
    Work.TRAIN: Part.contribute,
    Work.SUBMIT: Part.contribute,
    Work.CHARGE: Part.charge,
    Work.NOISE: Part.noise,
    Work.DECRYPT: Part.share,
    Work.VERIFY: Part.verdict,
}
"""What a site does in an attempt, of whatever kind."""
ENDED = frozenset({"finished", "failed", "declined", "cancelled"})


@dataclass
class _Due:
    """When a task that is still in the inbox is done again, and after how long next time."""

    at: float
    pause: float


class SiteAgent:
    """One site's agent; only one runs in a home at a time (it holds the home's lock)."""

    def __init__(
        self,
        home: SiteHome,
        url: str | None = None,
        *,
        say: Say = lambda line: None,
        api: CoordinatorAPI | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.home = home
        self.api = api or CoordinatorAPI.for_site(url or home.about().url, home.credentials)
        self.site = Site(home, self.api, say)
        self._say = say
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._due: dict[Task, _Due] = {}
        self._mirrored: int | None = None
        self._mirror_at = 0.0
        self._ended_at = 0.0
        self._expire_at = 0.0
        self._renew_at = 0.0
        self._compared: set[str] = set()
        self._compared_at = 0.0
        self.comparing: threading.Thread | None = None
        self._unreachable = False

    def run(self) -> None:
        """Work until stop() is called. Raises AgentRuns where another agent holds the home."""
        with self.home.lock():
            self._loop()

    def start(self) -> None:
        """Work in a thread of this process. Raises AgentRuns as run() does, at once."""
        lock = self.home.lock()
        lock.__enter__()

        def body() -> None:
            try:
                self._loop()
            finally:
                lock.__exit__(None, None, None)

        self._thread = threading.Thread(
            target=body, name=f"federated-agent-{self.site.organization}", daemon=True
        )
        self._thread.start()

    def stop(self, *, timeout: float | None = 30.0) -> None:
        """Finish the task at hand and end; waits for a thread of start()."""
        self._stop.set()
        self.api.interrupt()
        if self._thread is not None:
            self._thread.join(timeout)

    def step(self) -> float:
        """One look at the inbox and all work that is due; how many seconds to wait after."""
        self._renew()
        inbox = self.api.inbox()
        self.home.agent_note()
        now = self._clock()
        listed = set(inbox.tasks)
        self._due = {task: due for task, due in self._due.items() if task in listed}
        ready = [t for t in inbox.tasks if t not in self._due or self._due[t].at <= now]
        for task in ready:
            if self._stop.is_set():
                return 0.0
            self._work(task)
        self._mirror(force=not inbox.tasks)
        self._end_jobs()
        self._expire()
        if not inbox.tasks:
            self._compare()
        return 0.0 if ready else inbox.wait_ms / 1000

    def _loop(self) -> None:
        self._prepare()
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = self.step()
                if self._unreachable:
                    self._unreachable = False
                    self._say("the coordinator answers again")
            except Interrupted:
                return
            except DomainError as error:
                pause = OUTAGE_PAUSE
                if not self._unreachable:
                    self._unreachable = True
                    self._say(f"no inbox ({error.code}): {short(error)}; asking on")

    def _prepare(self) -> None:
        """What would otherwise wait for the first job, in the middle of a round.

        Allotments of the policy's data sets are shown from the start, spent or not; libraries that
        take seconds to load are loaded.
        """
        try:
            policy = self.home.policy()
        except DomainError as error:
            self._say(f"policy ({error.code}): {short(error)}")
            return
        for name, dataset in policy.datasets.items():
            self.home.ledger.grant(name, "record", dataset.allotment or policy.allotment)
        try:
            with needs("train"):
                for library in LOADED_EARLY if policy.datasets else ():
                    importlib.import_module(library)
        except MissingExtra as error:
            self._say(f"jobs on data sets will wait ({error.code}): {short(error)}")

    def _work(self, task: Task) -> None:
        before = self._due.get(task)
        # Done or not, a task that the inbox goes on listing is done again, less and less often.
        pause = AGAIN_SECONDS if before is None else min(2 * before.pause, LONGEST_PAUSE)
        try:
            task_do(self.site, task)
        except Waiting as wait:
            pause = AGAIN_SECONDS
            if before is None:
                self._say(str(wait))
        except Interrupted:
            raise
        except DomainError as error:
            self._say(f"{_named(task)} failed ({error.code}): {short(error)}")
        except Exception as error:
            # A defect in one task must not keep the site from its other work; the type alone is
            # told, because a message of another library may quote data.
            self._say(f"{_named(task)} failed: unexpected {type(error).__name__}")
        self._due[task] = _Due(self._clock() + pause, pause)
        if task.kind is Work.VERIFY:
            self._compared_at = 0.0

    def _mirror(self, *, force: bool) -> None:
        """Report a changed ledger to its organization's mirror, off the path of a round."""
        now = self._clock()
        if not force and now < self._mirror_at:
            return
        report = self.home.ledger.changed(self._mirrored, self.site.organization)
        if report is None:
            return
        self._mirror_at = now + MIRROR_SECONDS
        try:
            self.api.ledger_send(self.site.identity.sign(report))
            self._mirrored = report.sequence
        except Interrupted:
            raise
        except DomainError as error:
            self._say(f"ledger report failed ({error.code}): {short(error)}")

    def _renew(self) -> None:
        """Renew the certificate in time; where that fails, in an hour again."""
        now = self._clock()
        if now < self._renew_at:
            return
        self._renew_at = now + RENEW_SECONDS
        try:
            if certificate_renew(self.site):
                end = self.home.credentials.certificate.not_valid_after_utc
                self._say(f"certificate renewed, valid until {end:%Y-%m-%d}")
        except Interrupted:
            raise
        except DomainError as error:
            self._say(f"certificate not renewed ({error.code}): {short(error)}; asking in an hour")

    def _expire(self) -> None:
        """Let go of own contributions whose time is over."""
        now = self._clock()
        if now < self._expire_at:
            return
        self._expire_at = now + EXPIRE_SECONDS
        try:
            count = contributions_expire(self.home, now=time.time())
            runs = submissions_expire(self.home, now=time.time())
        except DomainError as error:
            self._say(f"retention failed ({error.code}): {short(error)}")
            return
        if count:
            self._say(f"{count} contributions of jobs that are over deleted, their digests kept")
        if runs:
            self._say(f"ciphertexts of {runs} campaign runs that are over deleted")

    def _end_jobs(self) -> None:
        """Return what ended jobs reserved and did not use."""
        now = self._clock()
        if now < self._ended_at:
            return
        self._ended_at = now + ENDED_SECONDS
        campaigns_settle(self.site)
        of_campaigns = campaign_entries(self.site)
        for job_id in self.home.ledger.open_jobs():
            if job_id in of_campaigns:
                continue
            try:
                ended = self.api.job(job_id)["state"] in ENDED
            except NotFound:
                ended = False
            if ended and (count := self.home.ledger.return_unused(job_id)):
                self._say(f"job {job_id[:8]} ended: {count} unused rounds returned to the budget")

    def _compare(self) -> None:
        """Once a job has ended: how its model does here beside one of this site's rows alone.

        In a thread of its own, because it trains: others' rounds must not wait for it.
        """
        now = self._clock()
        busy = self.comparing is not None and self.comparing.is_alive()
        if busy or now < self._compared_at:
            return
        self._compared_at = now + ENDED_SECONDS
        job_id = next_to_compare(self.home, self._compared)
        if job_id is None:
            return
        self._compared.add(job_id)
        # A site of its own: it shares no encoded rows with the work of rounds.
        site = Site(self.home, self.api, self._say)
        self.comparing = threading.Thread(
            target=compare_and_say, args=(site, job_id), name="compare", daemon=True
        )
        self.comparing.start()


def task_do(site: Site, task: Task) -> None:
    """Do one task."""
    match task:
        case KeyTask(kind=Work.KEY):
            key_take(site, task.epoch)
        case KeyTask():
            key_retire(site, task.epoch)
        case AllotTask():
            request_decide(site, task.request)
        case CosignTask():
            checkpoint_cosign(site, task.log)
        case JobTask():
            job_decide(site, task.job_id)
        case AttemptTask():
            PARTS[task.kind](RoundPart(site, Attempt(task.job_id, task.round, task.attempt)))
        case CampaignTask():
            campaign_decide(site, task.campaign_id)
        case RunTask():
            PARTS[task.kind](RunPart(site, task.campaign_id, task.run))
        case _:
            assert_never(task)


def _named(task: Task) -> str:
    match task:
        case KeyTask():
            subject = task.epoch[:8]
        case AllotTask():
            subject = task.request[:8]
        case CosignTask():
            subject = task.log
        case JobTask():
            subject = task.job_id[:8]
        case AttemptTask():
            subject = f"{task.job_id[:8]} {task.round}/{task.attempt}"
        case CampaignTask():
            subject = task.campaign_id[:8]
        case RunTask():
            subject = f"{task.campaign_id[:8]} run {task.run}"
    return f"{task.kind.value} {subject}"
