"""The evaluation act: noisy counts of all held-out rows, and each site beside itself alone."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from federated import PrivacyConfig
from federated.site.comparison import differences, verdict
from federated.site.folder import SiteHome
from portal.demo.hospitals import Hospital
from portal.demo.stage import Stage, wait_for
from portal.demo.story import StepFailed, Story
from portal.demo.training import PROPOSER, client_of

EPSILON = 1.0
BINS = 4
"""Of about 120 held-out rows eight would hold more noise than records."""


def evaluate(story: Story, stage: Stage, job_id: str) -> dict[str, Any]:
    """Propose a joint evaluation of the job's model and read it as every site verified it."""
    with (
        story.step(f"A joint evaluation in {BINS} score bins") as step,
        client_of(stage, stage.config, PROPOSER) as client,
    ):
        step.progress("every site counts the rows that it held out")
        evaluation = client.submit_evaluation(
            job_id, bins=BINS, privacy=PrivacyConfig(epsilon=EPSILON)
        )
        found = client.receive_evaluation(evaluation, timeout=120)
        if not found.verified:
            raise StepFailed("the site did not recompute the counts itself")
        area = found.metrics["auc"]
        told = "undetermined" if area.value is None else f"{area.value:.3f}"
        step.detail = (
            f"AUC {told} (95% {area.low:.3f} to {area.high:.3f}: noise of "
            f"{found.result.noise:.1f} records a cell); cost epsilon "
            f"{found.epsilon['coordinator']:.3f} more"
        )
    return found.dump()


def compare_alone(story: Story, stage: Stage, names: list[str], job_id: str) -> dict[str, Any]:
    """What each site's agent found: its own rows' score of the joint model and of one alone."""
    with story.step("Each site compares with itself alone") as step:
        found: dict[str, Any] = {}
        for name in names:
            folder = SiteHome(stage.home(name)).job(job_id)
            found[name] = wait_for(folder.comparison, seconds=60, what=f"{name}'s comparison")
        step.detail = "each knows its own row alone, nothing of it was sent"
    return found


def alone_table(cast: list[Hospital], comparisons: dict[str, Any]) -> Table:
    """All sites' comparisons side by side, which only the demonstration can see."""
    table = Table(title="AUC on each site's own held-out rows")
    for column in ("hospital", "rows", "alone", "federated", "difference, 95%", ""):
        table.add_column(column, justify="left" if column in ("hospital", "") else "right")
    for hospital in cast:
        kept = comparisons[hospital.slug]
        one = differences(kept)["auc"]
        spread = "one class"
        if one.low is not None and one.high is not None:
            spread = f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
        table.add_row(
            hospital.name,
            str(kept["held_out_rows"]),
            *("-" if value is None else f"{value:.3f}" for value in (one.alone, one.federated)),
            spread,
            verdict("auc", one),
        )
    table.caption = "each site sees its own line (federated compare); the demonstration reads all"
    return table
