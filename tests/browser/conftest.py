"""Chromium against the real portal; a visible skip where there is no Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from tests.browser.server import PortalServer
from tests.conftest import PASSWORD
from tests.patience import patient
from tests.training.conftest import world

__all__ = ["world"]

SCREENSHOTS = os.environ.get("FSC_SCREENSHOTS")
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 375, "height": 800}},
    "narrow": {"color_scheme": "dark", "viewport": {"width": 360, "height": 800}},
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Of this module only: Playwright's loop must not run beside other tests."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright, pytest.MonkeyPatch.context() as environment:
        # Its loop runs in this thread, which Django takes for an async context.
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox"], timeout=patient(30_000)
        )
        yield browser
        browser.close()
        # Code beside a running loop has a connection of its own.
        connection.close()


@pytest.fixture
def portal(chromium: Any, db: None) -> Iterator[PortalServer]:
    config = settings.FSC_CONFIG
    server = PortalServer(certificate=str(config.tls_cert), key=str(config.tls_key))
    with server.running():
        yield server


@pytest.fixture
def open_page(chromium: Any, portal: PortalServer) -> Iterator[Callable[..., Any]]:
    """``open_page(look)``: a page of a new browser profile that collects what goes wrong."""
    contexts = []

    def new(look: str = "light", **options: Any) -> Any:
        context = chromium.new_context(
            base_url=portal.url, ignore_https_errors=True, **LOOKS[look], **options
        )
        context.set_default_timeout(patient(15_000))
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        return page

    yield new
    for context in contexts:
        context.close()


@pytest.fixture
def sign_in() -> Callable[[Any, str], None]:
    def act(page: Any, email: str) -> None:
        page.goto("/accounts/login/")
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: "/accounts/" not in url)

    return act


@pytest.fixture
def picture() -> Callable[[Any, str], None]:
    """Keep a screenshot where FSC_SCREENSHOTS names a folder."""

    def act(page: Any, name: str) -> None:
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)

    return act
