"""A reader of tlog-tiles that shares no code with the project, and who may read which log."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.test import Client
from django_tenants.utils import schema_context

from apps.provenance import keys, tiles
from apps.provenance.services import current_origin
from tests.conftest import member_client, site_client
from tests.provenance.conftest import log_everything

Fetch = Callable[[str], bytes]


def read_log(fetch: Fetch, public: bytes, *, entries: bool = True) -> tuple[int, list[bytes]]:
    """Checkpoint, tiles and entries as c2sp.org/tlog-tiles says; the size and all entries."""

    def sha(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    def mth(hashes: list[bytes]) -> bytes:
        if len(hashes) == 1:
            return hashes[0]
        half = 1
        while half * 2 < len(hashes):
            half *= 2
        return sha(b"\x01" + mth(hashes[:half]) + mth(hashes[half:]))

    def name(number: int, width: int) -> str:
        text = f"{number:03d}"
        while len(text) % 3:
            text = "0" + text
        parts = [text[at : at + 3] for at in range(0, len(text), 3)]
        path = "/".join(["x" + part for part in parts[:-1]] + parts[-1:])
        return path if width == 256 else f"{path}.p/{width}"

    note = fetch("checkpoint").decode()
    text, signatures = note.split("\n\n")
    origin, size_line, root, *_ = text.split("\n")
    blob = base64.b64decode(signatures.split("\n")[0].split(" ")[2])
    assert blob[:4] == sha(origin.encode() + b"\n\x01" + public)[:4]
    Ed25519PublicKey.from_public_bytes(public).verify(blob[4:], (text + "\n").encode())
    size = int(size_line)

    levels: list[list[bytes]] = []
    while size >> 8 * len(levels):
        count = size >> 8 * len(levels)
        hashes = []
        for start in range(0, count, 256):
            width = min(256, count - start)
            tile = fetch(f"tile/{len(levels)}/{name(start // 256, width)}")
            assert len(tile) == 32 * width
            hashes += [tile[at : at + 32] for at in range(0, len(tile), 32)]
        if levels:
            below = levels[-1]
            assert hashes == [mth(below[256 * i : 256 * i + 256]) for i in range(count)]
        levels.append(hashes)
    assert mth(levels[0]) == base64.b64decode(root)

    found: list[bytes] = []
    for start in range(0, size if entries else 0, 256):
        bundle = fetch(f"tile/entries/{name(start // 256, min(256, size - start))}")
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            found.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
    assert [sha(b"\x00" + entry) for entry in found] == (levels[0] if entries else [])
    return size, found


def fetcher(client: Client, prefix: str) -> Fetch:
    def fetch(path: str) -> bytes:
        answer = client.get(f"{prefix}/{path}", secure=True)
        assert answer.status_code == 200, (path, answer.content)
        kind = "no-cache" if path == "checkpoint" else "immutable"
        assert kind in answer["Cache-Control"] and "private" in answer["Cache-Control"]
        return bytes(answer.content)

    return fetch


@pytest.fixture
def public(db: None) -> bytes:
    return keys.verifier_key(current_origin()).public


def test_an_independent_reader_rebuilds_an_organizations_log(record, public: bytes) -> None:
    with schema_context("t_northwind"):
        record(270)
        log_everything()
    for fetch in (
        fetcher(site_client("northwind"), "/api/logs/own"),
        fetcher(member_client("northwind", "auditor"), "/o/northwind/api/logs/own"),
    ):
        size, found = read_log(fetch, public)
        assert size > 270
        assert all(b'"origin":"consortium/northwind"' in entry for entry in found)


def test_members_read_the_consortiums_hashes_and_operators_its_entries(
    record, public: bytes, operator: Client
) -> None:
    record(20)
    log_everything()
    member = site_client("lakeside")
    size, _ = read_log(fetcher(member, "/api/logs/consortium"), public, entries=False)
    answer = member.get(f"/api/logs/consortium/tile/entries/000.p/{size}")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    seen, found = read_log(fetcher(operator, "/api/logs/consortium"), public)
    assert (seen, len(found)) == (size, size)
    assert operator.get("/api/logs/own/checkpoint", secure=True).status_code == 401
    assert Client().get("/api/logs/consortium/checkpoint", secure=True).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "0/000",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/0",
        "0/x000/000.p/1",
        "0/001.p/1",
        "00/000.p/1",
        "64/000.p/1",
        "1/000.p/1",
        "-1/000.p/1",
        "x/000.p/1",
        "0/x999/x999/x999/x999/x999/x999/999.p/1",
        "entries/000",
        "entries/0.p/1",
    ],
)
def test_what_is_not_there_or_spelled_otherwise_is_not_found(record, path: str) -> None:
    with schema_context("t_northwind"):
        record(5)
        log_everything()
    answer = site_client("northwind").get(f"/api/logs/own/tile/{path}")
    assert answer.status_code == 404, path


def test_nothing_past_the_checkpoint_is_served(record) -> None:
    from apps.provenance.services import log_sequence

    with schema_context("t_northwind"):
        record(3)
        log_everything()
        size = tiles.Checkpoint.objects.latest("size").size
        record(3)
        log_sequence()
    client = site_client("northwind")
    assert client.get(f"/api/logs/own/tile/0/000.p/{size}").status_code == 200
    assert client.get(f"/api/logs/own/tile/0/000.p/{size + 1}").status_code == 404
    assert client.get("/api/logs/lakeside/checkpoint").status_code == 404


@pytest.mark.parametrize(
    ("index", "path"),
    [(0, "000"), (67, "067"), (1000, "x001/000"), (1234067, "x001/x234/067")],
)
def test_an_index_has_the_specifications_path(index: int, path: str) -> None:
    assert tiles.index_path(index) == path
    assert tiles.Place.parse("3", path) == tiles.Place(3, index, 256)
