"""A job's page in Chromium: it follows the job, and people act on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from apps.training.models import Job
from federated.wire.site import Work
from tests.browser.server import PortalServer
from tests.training.test_job_whole import play
from tests.training.world import CAST, World

pytestmark = pytest.mark.browser


@pytest.fixture
def job_page(
    open_page: Callable[..., Any], sign_in: Callable[[Any, str], None]
) -> Callable[[Job, str], Any]:
    """``job_page(job, role)``: the job as northwind's member of that role sees it."""

    def act(job: Job, role: str = "scientist") -> Any:
        page = open_page()
        sign_in(page, f"{role}@northwind.example")
        page.goto(f"/o/northwind/jobs/{job.pk}/")
        return page

    return act


def state_of(page: Any) -> Any:
    return page.locator("#job-live").get_by_role("status")


def test_rounds_appear_while_the_job_runs_and_polling_ends_with_it(
    world: World, portal: PortalServer, job_page: Callable[..., Any]
) -> None:
    with portal.quiet:
        job = world.start()
    page = job_page(job)
    state_of(page).get_by_text("Running").wait_for()
    page.get_by_role("row", name=re.compile("Collecting")).wait_for()
    with portal.quiet:
        world.to_charging(job)
    page.get_by_role("row", name=re.compile("Charging.*3 of 3")).wait_for()
    with page.expect_response(lambda response: response.status == 286), portal.quiet:
        play(world, job)
    state_of(page).get_by_text("Finished").wait_for()
    assert page.get_by_role("row", name=re.compile("Released.*3 agree")).count() == 2
    assert page.get_by_text(job.model_digest).is_visible()
    assert page.locator("[hx-get]").count() == 0
    assert page.problems == []


def test_a_person_approves(
    world: World, portal: PortalServer, job_page: Callable[..., Any]
) -> None:
    with portal.quiet:
        job = world.propose()
    page = job_page(job, "admin")
    page.get_by_role("button", name="Approve for Northwind").click()
    page.get_by_text("its site signs next").wait_for()
    assert page.get_by_role("button", name="Approve for Northwind").count() == 0
    with portal.quiet:
        for slug in CAST:
            world[slug].work(Work.APPROVE)
    page.get_by_text("3 of 3 approved").wait_for()
    assert page.problems == []


def test_a_question_stays_open_while_the_page_changes_under_it(
    world: World, portal: PortalServer, job_page: Callable[..., Any]
) -> None:
    with portal.quiet:
        job = world.start()
    page = job_page(job)
    page.get_by_text("Cancel…").click()
    reason = page.get_by_label("Why, for the other participants")
    reason.fill("the target is wrong")
    with portal.quiet:
        world.to_charging(job)
    page.get_by_role("row", name=re.compile("Charging")).wait_for()
    assert reason.input_value() == "the target is wrong"
    page.get_by_role("button", name="Cancel the job").click()
    page.get_by_text("Cancelled. Nothing more is charged.").wait_for()
    assert page.get_by_text("cancelled by northwind: the target is wrong").is_visible()
    assert state_of(page).inner_text() == "Cancelled"


def test_buttons_go_when_the_job_ends_elsewhere(
    world: World, portal: PortalServer, job_page: Callable[..., Any]
) -> None:
    with portal.quiet:
        job = world.start()
    page = job_page(job)
    page.get_by_text("Cancel…").wait_for()
    with portal.quiet:
        play(world, job)
    page.get_by_text("Cancel…").wait_for(state="detached")
    state_of(page).get_by_text("Finished").wait_for()


def test_the_keyboard_reaches_the_content_first(
    world: World, portal: PortalServer, job_page: Callable[..., Any]
) -> None:
    with portal.quiet:
        job = world.propose()
    page = job_page(job)
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    # The first stop after the header's links is the way back up.
    assert page.locator(":focus").inner_text() == "Northwind"


def test_the_page_works_without_scripts(
    world: World,
    portal: PortalServer,
    open_page: Callable[..., Any],
    sign_in: Callable[[Any, str], None],
) -> None:
    with portal.quiet:
        job = world.propose()
    page = open_page(java_script_enabled=False)
    sign_in(page, "scientist@northwind.example")
    page.goto(f"/o/northwind/jobs/{job.pk}/")
    page.get_by_role("button", name="Approve for Northwind").click()
    page.get_by_text("its site signs next").wait_for()
