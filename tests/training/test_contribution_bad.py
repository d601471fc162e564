"""What is wrong with a contribution is said by name, and nothing is stored."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings

from apps.training.models import Contribution, Round
from federated.protocol.contribute import contribution_make
from federated.wire import round as wire
from federated.wire.base import Signed, decode_bytes, encode_bytes
from tests.training.world import Site, World, current, dealt, identity_of, task_for


@pytest.fixture
def found(world: World) -> Round:
    """An attempt that collects."""
    return current(world.start())


@pytest.fixture
def site(world: World) -> Site:
    return world["summit"]


@pytest.fixture
def good(site: Site, found: Round) -> Signed[wire.Contribution]:
    return site.contribution(task_for(found))


def send(site: Site, found: Round, message: Any) -> tuple[int, str]:
    answer = site.post(f"{site.path(task_for(found))}/contribution", message)
    return answer.status_code, answer.json().get("code", "")


def resigned(site: Site, good: Signed[wire.Contribution], **changes: Any) -> Signed[Any]:
    return site.sign(good.body.model_copy(update=changes))


def flipped(text: str, position: int) -> str:
    content = bytearray(decode_bytes(text))
    content[position] ^= 1
    return encode_bytes(bytes(content))


def refused(site: Site, found: Round, message: Any) -> tuple[int, str]:
    """The answer to a contribution that must leave no trace."""
    answer = send(site, found, message)
    assert not Contribution.objects.exists()
    return answer


def test_a_good_one_keeps_its_bytes(site: Site, found: Round, good: Any) -> None:
    assert send(site, found, good) == (201, "")
    row = Contribution.objects.get()
    assert bytes(row.content) == good.canonical()
    assert row.digest == good.digest()


def test_same_bytes_again_are_fine_and_keeps_one(site: Site, found: Round, good: Any) -> None:
    assert send(site, found, good)[0] == 201
    assert send(site, found, good) == (200, "")
    assert Contribution.objects.count() == 1


def test_other_bytes_are_refused_and_keeps_the_first(site: Site, found: Round, good: Any) -> None:
    send(site, found, good)
    assert send(site, found, site.contribution(task_for(found))) == (409, "already_sent")
    assert Contribution.objects.get().digest == good.digest()


def test_one_ciphertext_too_many(site: Site, found: Round, good: Any) -> None:
    more = good.body.ciphertexts * 2
    assert refused(site, found, resigned(site, good, ciphertexts=more)) == (422, "invalid_input")


def test_a_ciphertext_of_another_length(site: Site, found: Round, good: Any) -> None:
    short = (encode_bytes(decode_bytes(good.body.ciphertexts[0])[1:]),)
    assert refused(site, found, resigned(site, good, ciphertexts=short))[0] == 422


def test_a_scaled_ciphertext(site: Site, found: Round, good: Any) -> None:
    """The malleability of Paillier: E(m)^200 is a ciphertext, but nobody can prove it."""
    raw = decode_bytes(good.body.ciphertexts[0])
    n = int.from_bytes(decode_bytes(dealt()[0].modulus), "big")
    scaled = pow(int.from_bytes(raw, "big"), 200, n * n).to_bytes(len(raw), "big")
    forged = resigned(site, good, ciphertexts=(encode_bytes(scaled),))
    assert refused(site, found, forged) == (422, "proof_invalid")


def test_another_sites_ciphertexts(world: World, site: Site, found: Round) -> None:
    theirs = world["lakeside"].contribution(task_for(found)).body
    copied = site.sign(theirs.model_copy(update={"organization": "summit"}))
    assert refused(site, found, copied) == (422, "proof_invalid")


def test_another_sites_message(world: World, site: Site, found: Round) -> None:
    theirs = world["lakeside"].contribution(task_for(found))
    assert refused(site, found, theirs) == (403, "forbidden")


def test_another_attempts_context(site: Site, found: Round) -> None:
    other = found.wire_context.model_copy(update={"attempt": 2})
    signed = contribution_make(
        agreement=found.job.agreement,
        context=other,
        identity=site.identity,
        gradient=site.gradient,
    )
    assert refused(site, found, signed) == (422, "context_mismatch")


def test_a_proof_for_another_context(site: Site, found: Round, good: Any) -> None:
    other = found.wire_context.model_copy(update={"attempt": 2})
    signed = contribution_make(
        agreement=found.job.agreement,
        context=other,
        identity=site.identity,
        gradient=site.gradient,
    )
    moved = site.sign(signed.body.model_copy(update={"context": found.context_digest}))
    assert refused(site, found, moved) == (422, "proof_invalid")


@pytest.mark.parametrize("position", [0, 40, -1])
def test_a_broken_proof(site: Site, found: Round, good: Any, position: int) -> None:
    broken = resigned(site, good, proof=flipped(good.body.proof, position))
    status, code = refused(site, found, broken)
    assert (status, code) in {(422, "proof_invalid"), (422, "invalid_input")}


def test_no_proof(site: Site, found: Round, good: Any) -> None:
    assert refused(site, found, resigned(site, good, proof=""))[0] == 422


def test_a_broken_signature(site: Site, found: Round, good: Any) -> None:
    broken = good.model_copy(update={"signature": flipped(good.signature, 5)})
    assert refused(site, found, broken) == (422, "signature_invalid")


def test_no_signature(site: Site, found: Round, good: Any) -> None:
    bare = good.body.canonical()
    assert refused(site, found, bare) == (422, "invalid_input")


def test_signed_by_another_site(world: World, site: Site, found: Round, good: Any) -> None:
    forged = identity_of("lakeside").sign(good.body)
    assert refused(site, found, forged) == (422, "signature_invalid")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"body": NaN}', b"\xff\xfe", b"[" * 5000])
def test_not_a_message(site: Site, found: Round, body: bytes) -> None:
    assert refused(site, found, body) == (422, "invalid_input")


def test_over_the_size_limit(site: Site, found: Round) -> None:
    path = f"/api/{site.path(task_for(found))}/contribution"
    most = settings.FSC_CONFIG.coordinator.max_body_bytes
    answer = site.client.post(
        path, b"{}", content_type="application/json", headers={"content-length": str(most + 1)}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_after_the_close(world: World, site: Site, found: Round) -> None:
    for slug in ("lakeside", "northwind", "summit"):
        world[slug].work()
    Contribution.objects.filter(organization="summit").delete()
    Round.objects.filter(pk=found.pk).update(state=Round.State.CHARGING)
    late = site.contribution(task_for(found))
    assert send(site, found, late) == (409, "closed")
    assert not Contribution.objects.filter(organization="summit").exists()


def test_the_same_bytes_after_the_close_are_fine_and_keeps_them(world: World) -> None:
    found = world.to_charging(current(world.start()).job)
    site = world["summit"]
    sent = site.sent["contribution", str(found.job_id), 1, 1]
    assert found.state == Round.State.CHARGING
    assert send(site, found, sent) == (200, "")
