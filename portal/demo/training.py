"""Act 3: Cleveland's scientist proposes a job with the SDK, and four sites train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from federated import FederatedClient, GlobalModel
from federated.wire.base import Signed
from federated.wire.job import JobSpec
from portal.config import Config
from portal.demo.hospitals import dictionary
from portal.demo.stage import Stage, wait_for
from portal.demo.story import StepFailed, Story

PROPOSER = "cleveland"
ENDED = ("finished", "failed", "declined", "cancelled")
JOB_SECONDS = 600


def model_write(path: Path) -> Path:
    """The scientist's file: architecture, weights and the public data dictionary."""
    data = dictionary()
    module = nn.Sequential(nn.Linear(data.width, 1))
    nn.init.zeros_(module[0].weight)
    nn.init.zeros_(module[0].bias)
    layers = [{"kind": "linear", "in_features": data.width, "out_features": 1}]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "spec": data.dump(),
            "architecture": {"layers": layers},
            "state_dict": module.state_dict(),
        },
        path,
    )
    return path


def client_of(stage: Stage, config: Config, organization: str) -> FederatedClient:
    """Returns the SDK's client as the organization's scientist uses it."""
    return FederatedClient(
        tenant_id=organization,
        coordinator_url=config.url,
        credentials=str(stage.home(organization) / "site.pem"),
        progress=False,
    )


def train(
    story: Story, stage: Stage, rounds: int, organizations: list[str]
) -> tuple[dict[str, Any], JobSpec, dict[str, GlobalModel]]:
    """Propose, train, and hand every organization the model it verified itself."""
    home = stage.home(PROPOSER)
    client = client_of(stage, stage.config, PROPOSER)
    try:
        with story.step("Cleveland proposes a job") as step:
            job_id = client.submit_training(
                model=str(model_write(home / "models" / "risk_model.pt")),
                local_data=str(home / "rows.csv"),
                epochs=rounds,
                purpose="to show how the consortium works; not to treat anybody",
            )
            step.detail = f"job {job_id}"
        with story.step("Every site approves by its policy") as step:
            approved = wait_for(lambda: _approved(client, job_id), seconds=60, what="all approvals")
            step.detail = f"countersigned by {', '.join(approved)}"
        spec = Signed[JobSpec].parse(client.api.job(job_id)["spec"]).body
        with story.step(f"{rounds} rounds, epsilon {spec.privacy.epsilon:g}") as step:
            job = wait_for(
                lambda: _ended(client, job_id, step.progress), seconds=JOB_SECONDS, what="the job"
            )
            if job["state"] != "finished":
                raise StepFailed(f"the job is {job['state']}: {job['reason']}")
            sizes = {len(r["cohort"]) for r in job["rounds"] if r["state"] == "released"}
            cohorts = ", ".join(str(size) for size in sorted(sizes))
            attempts = len(job["rounds"])
            step.detail = f"{rounds} releases in {attempts} attempts, cohorts of {cohorts}"
    finally:
        client.close()
    models = {}
    with story.step("Every organization receives the model") as step:
        for name in organizations:
            with client_of(stage, stage.config, name) as own:
                models[name] = own.receive_update(job_id, timeout=120)
        if not all(model.verified for model in models.values()):
            raise StepFailed("a site did not recompute every release itself")
        if len({model.parameters.tobytes() for model in models.values()}) != 1:
            raise StepFailed("the organizations hold different models")
        step.detail = f"bit for bit the same, recomputed by {len(models)} sites"
    return job, spec, models


def _approved(client: FederatedClient, job_id: str) -> list[str]:
    job = client.api.job(job_id)
    if job["state"] == "declined":
        raise StepFailed(f"declined: {job['reason']}")
    parts = job["participants"]
    names = [part["organization"] for part in parts if part["state"] == "approved"]
    return names if len(names) == len(parts) else []


def _ended(client: FederatedClient, job_id: str, show: Any) -> dict[str, Any] | None:
    job = client.api.job(job_id)
    released = sum(entry["state"] == "released" for entry in job["rounds"])
    running = job["rounds"][-1]["state"] if job["rounds"] else ""
    show(f"{released} of {job['rounds_total']} released, {running} {job['reason']}")
    return job if job["state"] in ENDED else None
