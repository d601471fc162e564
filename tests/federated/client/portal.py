"""Real agents on the real portal: the HTTP client's transport is Django's test client."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
from cryptography.hazmat.primitives import serialization
from django.conf import settings

from apps.organizations import ca
from federated.api.coordinator import CoordinatorAPI
from federated.site.agent import SiteAgent
from federated.site.folder import About, SiteHome
from tests.conftest import SITE_KEYS, SiteClient
from tests.federated.client.authority import pem_of, write_private
from tests.training.world import DICTIONARY

URL = "https://coordinator.test"
RANGES = ("Content-Range", "Range")
POLICY = """\
approve: auto
minimum_key_bits: 512
key_epochs: any
datasets:
  ward: {{path: ward.csv{held_out}}}
"""


class PortalTransport(httpx.BaseTransport):
    """Requests go to the portal in process, behind a site's client certificate.

    ``before`` and ``after`` may raise what a network raises; ``lie`` may change an answer.
    """

    def __init__(self, der: bytes | None) -> None:
        self.client = SiteClient(der)
        self.before: Callable[[httpx.Request], None] = lambda request: None
        self.after: Callable[[httpx.Request], None] = lambda request: None
        self.lie: Callable[[httpx.Request, bytes], bytes] = lambda request, answer: answer
        self.bodies: list[tuple[str, bytes]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.before(request)
        body = request.read()
        self.bodies.append((request.url.path, body))
        # Without If-None-Match: a test's transaction never commits, so no inbox's bell is rung.
        answer = self.client.generic(
            request.method,
            request.url.raw_path.decode(),
            body,
            content_type=request.headers.get("Content-Type", ""),
            headers={name: request.headers[name] for name in RANGES if name in request.headers},
        )
        self.after(request)
        return httpx.Response(
            answer.status_code,
            headers=dict(answer.headers),
            content=self.lie(request, answer.getvalue()),
            request=request,
        )


def home_make(
    folder: Path, slug: str, *, held_out: float | None = None, rows: int = 60
) -> SiteHome:
    """A site's folder as ``federated join`` leaves it, with a policy and rows of its own."""
    home = SiteHome.create(folder / slug)
    keys = SITE_KEYS[slug]
    write_private(
        home.pem, pem_of(keys.key) + keys.certificate.encode() + ca.certificate_pem().encode()
    )
    raw = keys.encryption_key.private_bytes(
        serialization.Encoding.Raw,
        serialization.PrivateFormat.Raw,
        serialization.NoEncryption(),
    )
    write_private(home.path / "encryption.key", raw)
    home.about_write(About(slug, settings.FSC_CONSORTIUM, URL))
    share = f", held_out: {held_out}" if held_out else ""
    home.policy_path.write_text(POLICY.format(held_out=share))
    table(slug, rows).to_csv(home.path / "ward.csv", index=False)
    return home


def table(slug: str, rows: int) -> pd.DataFrame:
    """Rows whose target follows the first column, drawn by the organization's name."""
    rng = np.random.default_rng(len(slug))
    columns = {f.name: rng.uniform(-1, 1, rows) for f in DICTIONARY.features}
    return pd.DataFrame({**columns, "y": (columns["x0"] > 0).astype(int)})


class SiteAtWork:
    """An agent, the lines that it said, and its transport."""

    def __init__(self, home: SiteHome) -> None:
        self.home = home
        self.slug = home.credentials.organization
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        """As after kill -9: nothing is left but the folder."""
        self.home = SiteHome(self.home.path)
        self.lines: list[str] = []
        self.transport = PortalTransport(SITE_KEYS[self.slug].der)
        self.api = CoordinatorAPI(
            URL,
            self.home.credentials.ssl_context(),
            transport=self.transport,
            retry_seconds=0.0,
        )
        self.agent = SiteAgent(
            self.home, api=self.api, say=self.lines.append, clock=lambda: self.now
        )

    def step(self) -> None:
        """One look at the inbox, later than any pause of the step before."""
        self.now += 100.0
        (self.home.path / "agent.lock").touch()
        self.agent.step()

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def sent(self, name: str) -> list[bytes]:
        return [body for path, body in self.transport.bodies if path.endswith(f"/{name}") and body]


@contextmanager
def edited_json(path: Path) -> Iterator[dict]:
    content = json.loads(path.read_bytes())
    yield content
    path.write_text(json.dumps(content))


def new_id() -> str:
    return str(uuid.uuid4())
