"""The budget page in Chromium: the charges of a job that agents ran, an allotment that is asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from federated.site.policy import Allotment
from tests.browser.conftest import LOOKS
from tests.browser.server import PortalServer
from tests.browser.test_looks import look_at
from tests.federated.client.portal import SiteAtWork, home_make
from tests.federated.client.test_agent import Sites
from tests.training.world import CAST, World

pytestmark = pytest.mark.browser


@pytest.fixture
def sites(db: None, portal: PortalServer, tmp_path: Path) -> Sites:
    """Agents that have run a job of three rounds, and reported their ledgers."""
    with portal.quiet:
        world = World()
        world.publish_key()
        world["harbor"].work()
        made = Sites({slug: SiteAtWork(home_make(tmp_path, slug)) for slug in CAST})
        made.world = world
        for site in made.values():
            site.home.ledger.grant("ward", "record", Allotment())
        job = made.start(rounds=3)
        made.play(job)
        for site in made.values():
            site.step()
        made.job = job
    return made


def test_real_charges_over_time_in_every_look(
    sites: Any,
    open_page: Callable[..., Any],
    sign_in: Callable[[Any, str], None],
    picture: Callable[[Any, str], None],
) -> None:
    for look in LOOKS:
        page = open_page(look)
        sign_in(page, "admin@northwind.example")
        page.goto("/o/northwind/budget/")
        look_at(page, f"budget_charged_{look}", picture)
        plot = page.get_by_role("img", name=re.compile("zCDP, the ledger's: 0.85"))
        assert plot.bounding_box()["height"] > 100
        # Three charges are three steps.
        assert plot.locator(".series").first.get_attribute("d").count("V") == 3
        assert page.get_by_text("3 charged").is_visible()
        assert page.get_by_text("the policy file grants it").is_visible()
        page.get_by_text("Change the allotment…").click()
        look_at(page, f"budget_asking_{look}", picture)
        assert page.problems == []


def test_what_a_charge_bought_links_to_its_job(
    sites: Any, open_page: Callable[..., Any], sign_in: Callable[[Any, str], None]
) -> None:
    page = open_page()
    sign_in(page, "auditor@northwind.example")
    page.goto("/o/northwind/budget/")
    page.get_by_role("link", name="ward, logistic regression").click()
    page.get_by_text(sites.job.model_digest).wait_for()


def test_an_admin_asks_for_more_and_the_site_lets_it_hold(
    sites: Any,
    portal: PortalServer,
    open_page: Callable[..., Any],
    sign_in: Callable[[Any, str], None],
) -> None:
    page = open_page()
    sign_in(page, "admin@northwind.example")
    page.goto("/o/northwind/budget/")
    page.get_by_text("Change the allotment…").click()
    page.get_by_label("ε", exact=True).fill("12")
    page.get_by_label("Why, for your log").fill("a second study")
    page.get_by_role("button", name="Ask the site").click()
    page.get_by_text("It is on its way to your site").wait_for()
    site = sites["northwind"]
    with portal.quiet:
        site.step()
        (request,) = site.home.ledger.requests_waiting()
        site.step()
    page.reload()
    page.get_by_text(f"federated ledger confirm {request.id}").wait_for()
    site.home.ledger.request_confirm(request.id, reason="agreed", by="bob")
    with portal.quiet:
        site.step()
    page.reload()
    page.get_by_text("bob, for admin@northwind.example in the portal").wait_for()
    assert page.get_by_text("left of 12.00").is_visible()
    assert page.problems == []
