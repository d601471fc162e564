"""A consortium of real processes: the portal with all its services, and agents of the sites.

Everything is as users run it but for the key, which is short here so that the tests are quick.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from federated.wire.key import KeyEpoch
from portal.config import Config
from portal.demo.stage import Stage, wait_for
from tests.ports import free_port

SEED_TENANT = "org_12345"
MEMBERS = ("lakeside", "northwind", SEED_TENANT, "summit")
DATASET = "market_data"
COLUMNS = ("exposure", "leverage", "volatility")
SPEC = {
    "dataset": DATASET,
    "features": [
        {"kind": "numeric", "name": name, "lower": -3.0, "upper": 3.0} for name in COLUMNS
    ],
    "target": {"kind": "binary", "name": "default"},
    "nominal_records": 800,
    "max_records": 400,
}


class Consortium(Stage):
    """The stage of the demonstration, with four small members and commands of its own."""

    def credentials(self, organization: str) -> Path:
        return self.home(organization) / "site.pem"

    def committed(self, organization: str, job_id: str) -> list[tuple[int, int]]:
        """Rounds and attempts that the site's ledger committed for a job."""
        from federated.site.ledger import Ledger

        report = Ledger(self.home(organization) / "ledger.sqlite").report(organization)
        return [
            (charge.round, charge.attempt)
            for charge in report.charges
            if charge.job_id == job_id and charge.state == "committed"
        ]


def rows(seed: int) -> pd.DataFrame:
    """Two hundred rows whose target follows from the features."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(200, len(COLUMNS))), columns=list(COLUMNS))
    table["default"] = (table.sum(axis=1) + rng.normal(size=200) > 0).astype(int)
    return table


def model_file(path: Path) -> Path:
    """A scientist's ``.pt`` file: spec, architecture and weights."""
    module = nn.Sequential(nn.Linear(len(COLUMNS), 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "spec": SPEC,
            "architecture": {
                "layers": [{"kind": "linear", "in_features": len(COLUMNS), "out_features": 1}]
            },
            "state_dict": module.state_dict(),
        },
        path,
    )
    return path


def member_join(stage: Consortium, organization: str) -> None:
    stage.manage("organization_create", organization)
    token = stage.manage("join_token", organization).strip()
    home = stage.home(organization)
    arguments = ("join", stage.config.url, "--token-file", "-", "--home", str(home))
    stage.federated(*arguments, text=token)
    rows(len(organization)).to_parquet(home / "rows.parquet")
    policy = {
        "approve": "auto",
        "minimum_key_bits": 1024,
        "allotment": {"epsilon": 20.0, "delta": 1e-4},
        "datasets": {DATASET: {"path": "rows.parquet"}},
    }
    (home / "policy.yaml").write_text(yaml.safe_dump(policy))


@pytest.fixture(scope="session")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    folder = tmp_path_factory.mktemp("consortium")
    address = f"127.0.0.1:{free_port()}"
    config = Config.load(None, folder / "state", coordinator={"bind_address": address})
    stage = Consortium(folder, config)
    try:
        stage.portal_start()
        for organization in MEMBERS:
            member_join(stage, organization)
            if organization != SEED_TENANT:
                stage.agent_start(organization)
        ceremony = folder / "ceremony"
        roster = stage.federated("roster", "--home", str(stage.home("northwind")))
        stage.federated(
            *("ceremony", "--roster", "-", "--threshold", "3", "--bits", "1024"),
            *("--confirm", str(stage.confirmations(MEMBERS)), "--out", str(ceremony)),
            text=roster,
        )
        digest = KeyEpoch.parse((ceremony / "key.json").read_bytes()).digest()
        for organization in MEMBERS:
            stage.federated("key", "accept", digest, "--home", str(stage.home(organization)))
        stage.manage("key_publish", str(ceremony))
        yield stage
    finally:
        stage.stop()


@pytest.fixture
def environment() -> dict[str, str]:
    """What a user's shell has: nothing of the test session's own portal."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("FSC_", "FEDERATED", "DJANGO"))
    }


__all__ = ["MEMBERS", "SEED_TENANT", "Consortium", "model_file", "wait_for"]
