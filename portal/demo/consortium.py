"""Act 2: four organizations join, and a key is dealt to their sites."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from federated.wire.key import KeyEpoch
from portal.demo.hospitals import Hospital, dictionary
from portal.demo.stage import Stage, wait_for
from portal.demo.story import Story

THRESHOLD = 3
ROLES = ("admin", "scientist", "auditor")


def join(story: Story, stage: Stage, hospitals: Sequence[Hospital]) -> None:
    """Admit each hospital, let its site join with a one-time token, and start its agent."""
    for hospital in hospitals:
        with story.step(f"{hospital.name} joins") as step:
            step.progress("its schema and database role are made")
            stage.manage("organization_create", hospital.slug, "--name", hospital.name)
            for role in ROLES:
                stage.manage("member_add", hospital.slug, email(hospital.slug, role), role)
            step.progress("its site makes its keys and joins with a one-time token")
            token = stage.manage("join_token", hospital.slug).strip()
            home = stage.home(hospital.slug)
            stage.federated(
                "join",
                stage.config.url,
                "--token-file",
                "-",
                "--home",
                str(home),
                text=token,
            )
            rows_place(home, hospital)
            stage.agent_start(hospital.slug)
            pid = stage.agents[hospital.slug].pid
            step.detail = f"{len(hospital.train)} rows stay in {home.name}/, agent is pid {pid}"


def email(slug: str, role: str) -> str:
    """A member's address in the demonstration."""
    return f"{role}@{slug.replace('_', '-')}.example"


def rows_place(home: Path, hospital: Hospital) -> None:
    """The site's own rows, and the policy by which it approves jobs on them."""
    hospital.train.to_csv(home / "rows.csv", index=False)
    policy = {
        "approve": "auto",
        "max_epsilon": 1.0,
        "max_delta": 1e-5,
        "minimum_cohort": 3,
        "minimum_colluding": 1,
        "campaigns": {"max_epsilon": 4.0},
        "allotment": {"epsilon": 8.0, "delta": 1e-4, "period": "year"},
        "datasets": {dictionary().dataset: {"path": "rows.csv", "held_out": 0.2}},
    }
    (home / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False))


def key(story: Story, stage: Stage, organizations: Sequence[str]) -> str:
    """Deal a 3-of-4 key in a process of its own, publish it, wait for every site's word.

    Returns the epoch's digest.
    """
    folder = stage.folder / "ceremony"
    with story.step("Key ceremony: 3 of 4, 3072 bits") as step:
        step.progress("searching two safe primes of 1,536 bits")
        roster = stage.federated("roster", "--home", str(stage.home(organizations[0])))
        stage.federated(
            "ceremony",
            "--roster",
            "-",
            "--threshold",
            str(THRESHOLD),
            "--max-colluding",
            "1",
            "--confirm",
            str(stage.confirmations(organizations)),
            "--out",
            str(folder),
            text=roster,
        )
        digest = KeyEpoch.parse((folder / "key.json").read_bytes()).digest()
        for name in organizations:
            key_pin(stage.home(name), digest)
        step.progress("every site opens its sealed share and checks it")
        stage.manage("key_publish", str(folder))
        wait_for(
            lambda: all(
                (stage.home(name) / "epochs" / digest / "share.json").exists()
                for name in organizations
            ),
            seconds=60,
            what="every site holds its share",
        )
        step.detail = f"fingerprint {digest[:16]} pinned by each site, shares sealed by HPKE"
    return digest


def key_pin(home: Path, digest: str) -> None:
    """Pins the fingerprint that the ceremony reads out, as each site's people do."""
    path = home / "policy.yaml"
    policy = yaml.safe_load(path.read_text()) | {"key_epochs": [digest]}
    path.write_text(yaml.safe_dump(policy, sort_keys=False))


def ledger(stage: Stage, organization: str) -> dict[str, Any]:
    """A site's own ledger, as its organization reads it."""
    shown: dict[str, Any] = json.loads(
        stage.federated("ledger", "--home", str(stage.home(organization)), "--json")
    )
    return shown
