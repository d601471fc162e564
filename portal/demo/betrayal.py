"""Act 6: bundles before and after an edit of the log, and tricks that trustees refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from apps.audit.selectors import bundle_assemble
from apps.training.models import Job
from portal.config import BASE
from portal.demo import evil
from portal.demo.stage import Stage
from portal.demo.story import StepFailed, Story
from portal.demo.training import PROPOSER


def betray(story: Story, stage: Stage, job_id: str) -> dict[str, Any]:
    """Play every trick, then edit the log; every one of them must be caught."""
    told: dict[str, Any] = {"refusals": {}}
    for trick in evil.TRICKS:
        with story.step(f"The coordinator {trick.name}") as step:
            refusals = evil.play(trick, job_id)
            step.detail = f"refused by {len(refusals)} sites: {trick.expected.value}"
            told["refusals"][trick.name] = refusals
        for refusal in refusals:
            story.say(
                f"     [cyan]{refusal['organization']}[/] refuses, "
                f"[bold]{refusal['reason']}[/]: {refusal['detail']}"
            )
    before = stage.folder / "bundle.json"
    with story.step("A bundle exported before the edit verifies") as step:
        export(job_id, before)
        report = verify(before)
        if not report["ok"]:
            raise StepFailed(f"verify failed: {failures(report)}")
        step.detail = f"{len(report['checks'])} checks; federated verify {relative(before)}"
        told["bundle"] = {"path": str(before), "checks": len(report["checks"])}
    with story.step("The coordinator edits a row of the log") as step:
        edited = evil.log_row_edit(job_id)
        step.detail = f"leaf {edited['index']}, {edited['tag']}, as the table's owner"
    after = stage.folder / "bundle-after-edit.json"
    with story.step("A bundle exported after it names the event") as step:
        export(job_id, after)
        report = verify(after)
        named = [check for check in failures(report) if str(edited["index"]) in check]
        if report["ok"] or not any(edited["event"] in check for check in named):
            raise StepFailed(f"the edited event is not named: {failures(report)}")
        step.detail = named[0]
        told["edit"] = {**edited, "named": named}
    return told


def export(job_id: str, path: Path) -> None:
    """Exports the job's bundle from the portal."""
    bundle_assemble(job=Job.objects.get(pk=job_id), organization=PROPOSER).write(path)


def verify(path: Path) -> dict[str, Any]:
    """Runs ``federated verify`` in a separate process, without the portal."""
    done = subprocess.run(
        [sys.executable, "-m", "federated.command.main", "verify", str(path), "--json"],
        cwd=BASE,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or not done.stdout:
        raise StepFailed(f"federated verify failed: {done.stderr.strip()[-500:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def failures(report: dict[str, Any]) -> list[str]:
    """The failed checks, each in a line."""
    return [
        f"{check['name']}: {check['detail']}"
        for check in report["checks"]
        if check["status"] == "failed"
    ]


def relative(path: Path) -> str:
    """A path as a person types it in the project's folder."""
    return str(path.relative_to(BASE))
