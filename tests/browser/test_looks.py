"""Every page in light, dark, and on a telephone: nothing sticks out, nothing is blocked.

FSC_SCREENSHOTS=DIR keeps a picture of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django_tenants.utils import schema_context

from apps.accounts.models import Membership, User
from apps.budgets.models import Account, LedgerReport
from apps.common.actor import Actor
from apps.federation.services.machine import tick
from apps.organizations.models import Organization
from apps.provenance.models import Anchor
from apps.provenance.services import checkpoint_make, current_origin, log_sequence
from apps.schedules.services import schedules_seed
from tests.benchmarks.releases import campaign_with_history
from tests.browser.conftest import LOOKS
from tests.browser.server import PortalServer
from tests.federation.test_job_whole import play
from tests.federation.world import World, current, pass_deadline

pytestmark = pytest.mark.browser


def make_history(world: World) -> dict[str, Any]:
    """A consortium that has worked for a while: one job of each kind."""
    finished = world.start()
    play(world, finished)
    evaluation = world.propose_evaluation(finished)
    play(world, evaluation)
    failed = world.start()
    for _ in range(3):
        pass_deadline(current(failed))
    running = world.start(rounds=6)
    refused = world.to_decrypting(running)
    for slug in ("lakeside", "summit"):
        path = f"jobs/{running.pk}/rounds/{refused.number}/{refused.attempt}/refusal"
        world[slug].post(path, world[slug].refusal(refused))
    tick()
    for _ in range(8):
        world.all_work(("lakeside", "northwind", "summit"))
    proposed = world.propose()
    _fill_budget()
    _anchor()
    return {
        "finished": finished,
        "evaluation": evaluation,
        "failed": failed,
        "running": running,
        "proposed": proposed,
    }


def _fill_budget() -> None:
    with schema_context("t_northwind"):
        LedgerReport.objects.create(sequence=1, digest="0" * 64, message={})
        for dataset, allotted, committed in (("ward", 8.0, 0.09), ("arrhythmia", 2.0, 0.06)):
            Account.objects.create(
                dataset=dataset, unit="record", allotted_epsilon=allotted, allotted_delta=1e-4,
                period="2026", max_queries=100, reserved_rho=0.02, committed_rho=committed,
                spent_epsilon=1.8,
            )  # fmt: skip


def _anchor() -> None:
    """Number and sign both logs, and record the root over them as found in block 88."""
    notes = []
    for schema in ("t_northwind", "public"):
        with schema_context(schema):
            log_sequence()
            checkpoint = checkpoint_make()
            assert checkpoint is not None
            notes.append(checkpoint.note)
            origin, size = current_origin(), checkpoint.size
    Anchor.objects.create(
        origin=origin, size=size, root=bytes(32), notes=sorted(notes), chain_id=1, attempts=1,
        state=Anchor.State.CONFIRMED, contract="0x" + "0" * 40, tx_hash="0x" + "7c" * 32,
        block_number=88, block_hash="0x" + "1a" * 32,
    )  # fmt: skip


def look_at(page: Any, name: str, picture: Callable[[Any, str], None]) -> None:
    picture(page, name)
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, f"{name} is {overflow} px too wide"
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.evaluate(UNNAMED) == []


#: Controls without an accessible name, images without a label, and ids that occur twice.
UNNAMED = """() => {
  const bad = [];
  for (const e of document.querySelectorAll("input:not([type=hidden]), textarea, select"))
    if (!e.labels.length && !e.ariaLabel) bad.push("no label: " + e.outerHTML);
  for (const e of document.querySelectorAll("a[href], button, summary"))
    if (!e.textContent.trim() && !e.ariaLabel) bad.push("no name: " + e.outerHTML);
  for (const e of document.querySelectorAll("[role=img]"))
    if (!e.ariaLabel) bad.push("no label: " + e.outerHTML);
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push("twice: #" + id);
  return bad;
}"""


def test_pages_fit_in_every_look(
    world: World,
    portal: PortalServer,
    open_page: Callable[..., Any],
    sign_in: Callable[[Any, str], None],
    picture: Callable[[Any, str], None],
) -> None:
    with portal.quiet:
        jobs = make_history(world)
        campaign = campaign_with_history()
        small = campaign_with_history(count=4, runs=1, title="Small")
        schedules_seed(actor=Actor.system("tests"))
        world.publish_key(2)
        User.objects.filter(email="admin@northwind.example").update(is_operator=True)
        user = User.objects.get(email="admin@northwind.example")
        lakeside = Organization.objects.get(slug="lakeside")
    for look in LOOKS:
        page = open_page(look)
        page.goto("/accounts/login/")
        look_at(page, f"sign-in_{look}", picture)
        page.goto("/accounts/password/reset/")
        look_at(page, f"reset_{look}", picture)
        sign_in(page, user.email)
        look_at(page, f"home_{look}", picture)
        page.goto("/o/northwind/budget/")
        look_at(page, f"budget_{look}", picture)
        for name, job in jobs.items():
            page.goto(f"/o/northwind/jobs/{job.pk}/")
            look_at(page, f"job-{name}_{look}", picture)
        page.goto("/o/northwind/benchmarks/")
        look_at(page, f"benchmarks_{look}", picture)
        for name, one in (("campaign", campaign), ("campaign-small", small)):
            page.goto(f"/o/northwind/benchmarks/{one.pk}/")
            look_at(page, f"{name}_{look}", picture)
        page.goto("/operator/benchmarks/")
        page.get_by_text("New campaign…").click()
        look_at(page, f"schedules_{look}", picture)
        page.goto("/accounts/password/change/")
        look_at(page, f"password_{look}", picture)
        page.goto("/operator/")
        look_at(page, f"operator_{look}", picture)
        assert page.problems == []
        page.goto("/o/northwind/nothing/")
        look_at(page, f"error_{look}", picture)
        with portal.quiet:
            extra = Membership.objects.create(user=user, organization=lakeside, role="auditor")
        page.goto("/")
        look_at(page, f"organizations_{look}", picture)
        with portal.quiet:
            extra.delete()
