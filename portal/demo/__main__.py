"""``python -m portal.demo``: the whole story on real data; exits 0 only if every step held."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import django

from federated.errors import DomainError
from federated.protocol.cost import job_epsilons
from federated.training.server import ServerState
from portal.config import BASE, Config
from portal.demo import consortium
from portal.demo.hospitals import Hospital, hospitals
from portal.demo.stage import Stage, wait_for
from portal.demo.story import StepFailed, Story

FOLDER = BASE / "var" / "demo"


def main() -> int:
    """Run the story. ROUNDS, KEEP and PORT come from the environment."""
    rounds = int(os.environ.get("ROUNDS", "10"))
    keep = os.environ.get("KEEP", "1") != "0"
    story = Story()
    config = prepare(os.environ.get("PORT"))
    stage = Stage(FOLDER, config)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        report = tell(story, stage, rounds)
        write_report(story, report)
        if keep:
            serve(story, stage)
        held = all(step["held"] for step in story.steps)
    except KeyboardInterrupt:
        held = False
        story.say("interrupted")
    except (StepFailed, DomainError) as error:
        held = False
        story.say(f"[bold red]The story stops:[/] {error}\nLogs are in {FOLDER / 'log'}")
        write_report(story, {})
    finally:
        stage.stop()
    seconds = time.monotonic() - story.began
    story.say(f"{'Every step held' if held else 'Not every step held'} ({seconds:.0f} s)")
    return 0 if held else 1


def prepare(port: str | None) -> Config:
    """A fresh folder, and the configuration of the demonstration's own portal."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    sections: dict[str, dict[str, Any]] = {"coordinator": {"consortium": "heart.demo"}}
    if port:
        sections["coordinator"]["bind_address"] = f"127.0.0.1:{port}"
    return Config.load(None, FOLDER / "state", **sections)


def tell(story: Story, stage: Stage, rounds: int) -> dict[str, Any]:
    """The acts in order; the report that they make."""
    cast = hospitals()
    story.act("1  The portal")
    with story.step("PostgreSQL, Valkey, chain, web, workers") as step:
        stage.portal_start()
        step.detail = stage.config.url
    story.act("2  Four hospitals join, each with a site agent of its own")
    consortium.join(story, stage, cast)
    consortium.key(story, stage, [hospital.slug for hospital in cast])
    os.environ.update(stage.config.environment("owner"))
    django.setup()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from portal.demo.training import train

    story.act("3  They train one model")
    names = [hospital.slug for hospital in cast]
    _, spec, models = train(story, stage, rounds, names)
    report = costs(story, stage, spec, names)
    report["job"] = spec.job_id
    from portal.demo.betrayal import betray
    from portal.demo.comparing import compare_speed
    from portal.demo.evaluating import compare_alone, evaluate

    story.act("4  They evaluate it together, and each beside itself alone")
    report["evaluation"] = evaluate(story, stage, spec.job_id)
    report["alone"] = compare_alone(story, stage, names, spec.job_id)
    story.act("5  They compare how fast they are, and nobody sees a number")
    report["benchmark"] = compare_speed(story, stage, names)
    story.act("6  The coordinator turns evil")
    report["evil"] = betray(story, stage, spec.job_id)
    story.act("7  What came of it")
    report["ledgers"] = {name: accounts(stage, name) for name in names}
    report["auc"] = compare(story, cast, spec, models[names[0]].parameters)
    report["seconds"] = round(time.monotonic() - story.began, 1)
    show(story, stage, cast, report)
    return report


def costs(story: Story, stage: Stage, spec: Any, names: list[str]) -> dict[str, Any]:
    """Epsilon, bytes, seconds and anchors of the finished job."""
    from portal.demo import outcome

    with story.step("Every event of the job is anchored") as step:
        wait_for(
            lambda: outcome.job_is_anchored(spec.job_id), seconds=90, what="anchors of all events"
        )
        anchors = outcome.anchors()
        counts = outcome.event_counts()
        step.detail = f"{counts['leaves']} leaves, {len(anchors)} anchors on the chain"
    with story.step("Every ledger was charged") as step:
        charged = {name: accounts(stage, name)[0]["committed_rho"] for name in names}
        if len(set(charged.values())) != 1:
            raise StepFailed("the sites' ledgers differ")
        step.detail = f"rho {charged[names[0]]:.4f} at each site, before decryption"
    return {
        "privacy": {
            **job_epsilons(spec),
            "delta": spec.privacy.delta,
            "colluding": spec.privacy.colluding,
        },
        "bytes": outcome.bytes_by_kind(spec.job_id),
        "seconds_by_phase": outcome.seconds_by_phase(spec.job_id),
        "anchors": anchors,
    }


def accounts(stage: Stage, name: str) -> list[dict[str, Any]]:
    """The accounts of a site's own ledger as they now are."""
    found: list[dict[str, Any]] = consortium.ledger(stage, name)["accounts"]
    return found


def compare(
    story: Story, cast: list[Hospital], spec: Any, parameters: Any
) -> dict[str, dict[str, float | None]]:
    """Test AUCs, the last two computed outside the federation."""
    import numpy as np

    from portal.demo import experiment

    with story.step("Compare on held-back test rows") as step:
        initial = ServerState.initial(np.zeros(spec.model.parameters))
        results = {
            "alone": experiment.alone(cast),
            "federated_private": experiment.auc_by_hospital(
                cast, experiment.model_scores(spec, parameters)
            ),
            "federated_no_noise": experiment.federated(cast, spec, initial),
            "pooled": experiment.pooled(cast),
        }
        step.detail = "alone and pooled with scikit-learn, without privacy"
    return results


def show(story: Story, stage: Stage, cast: list[Hospital], report: dict[str, Any]) -> None:
    """The tables, and where to log in."""
    from portal.demo.evaluating import alone_table
    from portal.demo.table import auc_table, facts_table, release_table

    story.console.print()
    story.console.print(auc_table(cast, report["auc"]))
    story.console.print(alone_table(cast, report["alone"]))
    story.console.print(facts_table(report))
    benchmark = report["benchmark"]
    story.console.print(release_table(benchmark))
    story.say(f"The release, {benchmark['virtual']} organizations virtual: {benchmark['page']}")
    passwords = stage.config.secret_path("passwords")
    login = consortium.email(cast[0].slug, "scientist")
    report["login"] = {"url": stage.config.url, "email": login, "passwords": str(passwords)}
    story.say(
        f"Log in at [bold]{stage.config.url}[/] as [bold]{login}[/]; "
        f"passwords are in {relative(passwords)}"
    )


def write_report(story: Story, report: dict[str, Any]) -> None:
    """var/demo/report.json: every step, and what it showed."""
    path = FOLDER / "report.json"
    path.write_text(json.dumps({**report, "steps": story.steps}, indent=2, default=str) + "\n")
    story.say(f"Report: {relative(path)}")


def serve(story: Story, stage: Stage) -> None:
    """Go on serving until Ctrl-C."""
    story.say("It goes on serving; Ctrl-C stops everything.")
    try:
        while stage.portal is not None and stage.portal.poll() is None:
            time.sleep(0.5)
    except (KeyboardInterrupt, SystemExit):
        story.say("stopping")


def relative(path: Path) -> str:
    """A path as a person types it here."""
    return os.path.relpath(path)


if __name__ == "__main__":
    sys.exit(main())
