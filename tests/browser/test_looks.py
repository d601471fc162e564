"""Every page in light, dark, and on a telephone: nothing sticks out, nothing is blocked, and
axe-core finds no violation.

FSC_SCREENSHOTS=DIR keeps a picture of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from django.utils import timezone
from django_tenants.utils import schema_context

from apps.accounts.models import Membership, User
from apps.audit.models import Verification
from apps.audit.verification import (
    verification_ask_file,
    verification_run,
)
from apps.budgets.models import Account, LedgerReport
from apps.common.actor import Actor
from apps.organizations.models import Organization
from apps.provenance.models import Anchor, Event
from apps.provenance.services import checkpoint_make, current_origin, log_sequence
from apps.schedules.services import schedules_seed
from apps.training.services.machine import tick
from federated.provenance.bundle import Bundle
from tests.benchmarks.releases import campaign_with_history
from tests.browser.conftest import LOOKS
from tests.browser.server import PortalServer
from tests.federated.provenance.small_bundle import small_bundle_bytes
from tests.training.test_job_whole import play
from tests.training.world import World, current, pass_deadline

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


def make_verifications() -> dict[str, Verification]:
    """One of a forged bundle, and one that runs; the list shows one without a result too."""
    forged = json.loads(small_bundle_bytes())
    forged["sections"]["jobs"][0]["attempts"][0]["release"]["values"][0] += 1
    with NamedTemporaryFile(suffix=".json", delete=False) as file:
        file.write(Bundle.model_validate(forged).to_bytes())
    done = verification_ask_file(
        path=Path(file.name),
        name="quarter-3.json",
        organization="northwind",
        actor=Actor.system("tests"),
    )
    verification_run(done.pk)
    done.refresh_from_db()
    rows = {"organization": "northwind", "kind": "job", "asked_by": "auditor@northwind.example"}
    one = str(done.pk)
    Verification.objects.create(subject=one, state="failed", error="given up", **rows)
    running = Verification.objects.create(
        subject=one, state="running", checks=done.checks[:6], **rows
    )
    return {"done": done, "running": running}


def _fill_budget() -> None:
    with schema_context("t_northwind"):
        LedgerReport.objects.create(sequence=1, digest="0" * 64, message={})
        for dataset, allotted, committed in (("ward", 8.0, 0.09), ("arrhythmia", 2.0, 0.06)):
            Account.objects.create(
                dataset=dataset, unit="record", allotted_epsilon=allotted, allotted_delta=1e-4,
                period="year", max_queries=100, reserved_rho=0.02, committed_rho=committed,
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
        state=Anchor.State.CONFIRMED, confirmations=2, confirmed_at=timezone.now(),
        contract="0x" + "0" * 40, tx_hash="0x" + "7c" * 32, block_number=88,
        block_hash="0x" + "1a" * 32,
    )  # fmt: skip


def look_at(page: Any, name: str, picture: Callable[[Any, str], None]) -> None:
    picture(page, name)
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, f"{name} is {overflow} px too wide"
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.evaluate(UNNAMED) == []
    look = name.rpartition("_")[2]
    if look in ("light", "phone"):
        for selector, used in page.evaluate(SELECTORS):
            USED[selector] = USED.get(selector, False) or used
    if look in RULES:
        # Evaluated, not linked: the page's policy lets no other script in.
        page.evaluate(AXE)
        found = page.evaluate("options => axe.run(document, options)", RULES[look])
        page.problems += [
            f"{name}: {one['id']}: {node['html']}: {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]


def look_at_paper(page: Any) -> None:
    """Printed, a page is white whatever the screen's, has no navigation, and tables stay tables."""
    size = page.viewport_size
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 980})
    assert page.locator("header.topbar").is_hidden()
    assert page.locator("form").filter(has_text="Show").is_hidden()
    style = "([tag, name]) => getComputedStyle(document.querySelector(tag))[name]"
    assert page.evaluate(style, ["body", "backgroundColor"]) == "rgb(255, 255, 255)"
    assert page.evaluate(style, ["thead", "display"]) == "table-header-group"
    assert page.evaluate(style, ["td", "display"]) == "table-cell"
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, f"the report is {overflow} px wider than paper"
    page.emulate_media(media="screen")
    page.set_viewport_size(size)


AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
#: What a look changes is colours and places; the rest is the same on all.
RULES: dict[str, dict[str, Any]] = {
    "light": {"resultTypes": ["violations"]},
    "dark": {"resultTypes": ["violations"], "runOnly": ["color-contrast"]},
    "narrow": {"resultTypes": ["violations"], "runOnly": ["target-size"]},
}

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

#: Each selector of the page's style sheets, and whether an element matches it.
SELECTORS = """() => {
  const listed = [];
  const walk = rules => {
    for (const rule of rules) {
      if (rule.selectorText) listed.push(...rule.selectorText.split(/,(?![^(]*\\))/));
      if (rule.cssRules) walk(rule.cssRules);
    }
  };
  for (const sheet of document.styleSheets) walk(sheet.cssRules);
  const state = /::?(before|after|placeholder|hover|focus-visible|focus|-webkit-[a-z-]+)\\b/g;
  return listed.map(s => s.trim()).map(
    s => [s, !!document.querySelector(s.replace(state, "").trim() || "*")]
  );
}"""
USED: dict[str, bool] = {}
#: Rules for what this history lacks: a form's errors, the answer to an action, charges over time,
#: a failed job, the report of a campaign, a verified card.
ELSEWHERE = {
    *(".errorlist", ".messages", ".messages li", ".messages .error", ".messages .success"),
    *(".plot-scroll", ".plot-scroll .plot", ".reason.bad"),
    *(".statistics", ".statistics dt", ".statistics dd", ".table tbody tr.detail", ".good"),
}


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
        event = Event.objects.filter(tag="federation:round:released").earliest("created_at")
        verifications = make_verifications()
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
        if look in ("phone", "narrow"):
            page.get_by_text("Menu", exact=True).click()
            look_at(page, f"menu_{look}", picture)
            page.get_by_role("link", name="Budget", exact=True).click()
            page.get_by_role("heading", name="Privacy budget").wait_for()
        page.goto("/o/northwind/budget/")
        look_at(page, f"budget_{look}", picture)
        for name, job in jobs.items():
            page.goto(f"/o/northwind/jobs/{job.pk}/")
            look_at(page, f"job-{name}_{look}", picture)
        page.goto(f"/o/northwind/jobs/{jobs['finished'].pk}/report/")
        look_at(page, f"report_{look}", picture)
        if look != "narrow":  # Of both, the same document.
            page.goto(f"/o/northwind/jobs/{jobs['finished'].pk}/card")
            look_at(page, f"card_{look}", picture)
            page.goto("/o/northwind/report/")
            look_at(page, f"report-period_{look}", picture)
        page.goto("/o/northwind/benchmarks/")
        look_at(page, f"benchmarks_{look}", picture)
        page.goto("/o/northwind/events/?log=consortium")
        look_at(page, f"events_{look}", picture)
        page.goto(f"/o/northwind/events/consortium/{event.pk}/")
        look_at(page, f"event_{look}", picture)
        page.goto("/o/northwind/report/?from=2026-01-01&to=2099-01-01")
        look_at(page, f"report_{look}", picture)
        look_at_paper(page)
        page.goto("/o/northwind/verify/")
        look_at(page, f"verify_{look}", picture)
        for state, one in verifications.items():
            page.goto(f"/o/northwind/verify/{one.pk}/")
            look_at(page, f"verification-{state}_{look}", picture)
        for name, one in (("campaign", campaign), ("campaign-small", small)):
            page.goto(f"/o/northwind/benchmarks/{one.pk}/")
            look_at(page, f"{name}_{look}", picture)
        page.goto("/operator/benchmarks/")
        page.get_by_text("New campaign…").click()
        look_at(page, f"schedules_{look}", picture)
        page.goto("/operator/events/")
        look_at(page, f"operator-events_{look}", picture)
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
    assert {selector for selector, used in USED.items() if not used} <= ELSEWHERE
