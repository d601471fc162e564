"""What is wrong with a contribution is said by name, and nothing is stored."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings

from apps.attempts.models import Attempt
from federated.protocol.kinds.training import contribution_make
from federated.wire import round as wire
from federated.wire.base import Signed, decode_bytes, encode_bytes
from tests.rows import sent
from tests.training.world import Site, World, current, dealt, identity_of, task_for


@pytest.fixture
def found(world: World) -> Attempt:
    """An attempt that collects."""
    return current(world.start())


@pytest.fixture
def site(world: World) -> Site:
    return world["summit"]


@pytest.fixture
def good(site: Site, found: Attempt) -> Signed[wire.Contribution]:
    return site.contribution(task_for(found))


def send(site: Site, found: Attempt, message: Any) -> tuple[int, str]:
    answer = site.post(f"{site.path(task_for(found))}/contribution", message)
    return answer.status_code, answer.json().get("code", "")


def resigned(site: Site, good: Signed[wire.Contribution], **changes: Any) -> Signed[Any]:
    return site.sign(good.body.model_copy(update=changes))


def flipped(text: str, position: int) -> str:
    content = bytearray(decode_bytes(text))
    content[position] ^= 1
    return encode_bytes(bytes(content))


def refused(site: Site, found: Attempt, message: Any) -> tuple[int, str]:
    """The answer to a contribution that must leave no trace."""
    answer = send(site, found, message)
    assert not sent("contribution").exists()
    return answer


def test_a_good_one_keeps_its_bytes(site: Site, found: Attempt, good: Any) -> None:
    assert send(site, found, good) == (201, "")
    row = sent("contribution").get()
    assert bytes(row.content) == good.canonical()
    assert row.digest == good.digest()


def test_same_bytes_again_are_fine_and_keeps_one(site: Site, found: Attempt, good: Any) -> None:
    assert send(site, found, good)[0] == 201
    assert send(site, found, good) == (200, "")
    assert sent("contribution").count() == 1


def test_other_bytes_are_refused_and_keeps_the_first(site: Site, found: Attempt, good: Any) -> None:
    send(site, found, good)
    assert send(site, found, site.contribution(task_for(found))) == (409, "already_sent")
    assert sent("contribution").get().digest == good.digest()


def test_one_ciphertext_too_many(site: Site, found: Attempt, good: Any) -> None:
    more = good.body.ciphertexts * 2
    assert refused(site, found, resigned(site, good, ciphertexts=more)) == (422, "invalid_input")


def test_a_ciphertext_of_another_length(site: Site, found: Attempt, good: Any) -> None:
    short = (encode_bytes(decode_bytes(good.body.ciphertexts[0])[1:]),)
    assert refused(site, found, resigned(site, good, ciphertexts=short))[0] == 422


def test_a_scaled_ciphertext(site: Site, found: Attempt, good: Any) -> None:
    """The malleability of Paillier: E(m)^200 is a ciphertext, but nobody can prove it."""
    raw = decode_bytes(good.body.ciphertexts[0])
    n = int.from_bytes(decode_bytes(dealt()[0].modulus), "big")
    scaled = pow(int.from_bytes(raw, "big"), 200, n * n).to_bytes(len(raw), "big")
    forged = resigned(site, good, ciphertexts=(encode_bytes(scaled),))
    assert refused(site, found, forged) == (422, "proof_invalid")


def test_another_sites_ciphertexts(world: World, site: Site, found: Attempt) -> None:
    theirs = world["lakeside"].contribution(task_for(found)).body
    copied = site.sign(theirs.model_copy(update={"organization": "summit"}))
    assert refused(site, found, copied) == (422, "proof_invalid")


def test_another_sites_message(world: World, site: Site, found: Attempt) -> None:
    theirs = world["lakeside"].contribution(task_for(found))
    assert refused(site, found, theirs) == (403, "forbidden")


def test_another_attempts_context(site: Site, found: Attempt) -> None:
    other = found.wire_context.model_copy(update={"attempt": 2})
    signed = contribution_make(
        agreement=found.terms,
        context=other,
        identity=site.identity,
        gradient=site.gradient,
    )
    assert refused(site, found, signed) == (422, "context_mismatch")


def test_a_proof_for_another_context(site: Site, found: Attempt, good: Any) -> None:
    other = found.wire_context.model_copy(update={"attempt": 2})
    signed = contribution_make(
        agreement=found.terms,
        context=other,
        identity=site.identity,
        gradient=site.gradient,
    )
    moved = site.sign(signed.body.model_copy(update={"context": found.context_digest}))
    assert refused(site, found, moved) == (422, "proof_invalid")


@pytest.mark.parametrize("position", [0, 40, -1])
def test_a_broken_proof(site: Site, found: Attempt, good: Any, position: int) -> None:
    broken = resigned(site, good, proof=flipped(good.body.proof, position))
    status, code = refused(site, found, broken)
    assert (status, code) in {(422, "proof_invalid"), (422, "invalid_input")}


def test_no_proof(site: Site, found: Attempt, good: Any) -> None:
    assert refused(site, found, resigned(site, good, proof=""))[0] == 422


def test_a_broken_signature(site: Site, found: Attempt, good: Any) -> None:
    broken = good.model_copy(update={"signature": flipped(good.signature, 5)})
    assert refused(site, found, broken) == (422, "signature_invalid")


def test_no_signature(site: Site, found: Attempt, good: Any) -> None:
    bare = good.body.canonical()
    assert refused(site, found, bare) == (422, "invalid_input")


def test_signed_by_another_site(world: World, site: Site, found: Attempt, good: Any) -> None:
    forged = identity_of("lakeside").sign(good.body)
    assert refused(site, found, forged) == (422, "signature_invalid")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"body": NaN}', b"\xff\xfe", b"[" * 5000])
def test_not_a_message(site: Site, found: Attempt, body: bytes) -> None:
    assert refused(site, found, body) == (422, "invalid_input")


def test_over_the_size_limit(site: Site, found: Attempt) -> None:
    path = f"/api/{site.path(task_for(found))}/contribution"
    most = settings.FSC_CONFIG.coordinator.max_body_bytes
    answer = site.client.post(
        path, b"{}", content_type="application/json", headers={"content-length": str(most + 1)}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_after_the_close(world: World, site: Site, found: Attempt) -> None:
    for slug in ("lakeside", "northwind", "summit"):
        world[slug].work()
    sent("contribution").filter(organization="summit").delete()
    Attempt.objects.filter(pk=found.pk).update(state=Attempt.State.CHARGING)
    late = site.contribution(task_for(found))
    assert send(site, found, late) == (409, "closed")
    assert not sent("contribution").filter(organization="summit").exists()


def test_the_same_bytes_after_the_close_are_fine_and_keeps_them(world: World) -> None:
    found = world.to_charging(current(world.start()).agreement.job)
    site = world["summit"]
    sent = site.sent["contribution", str(found.agreement_id), 1, 1]
    assert found.state == Attempt.State.CHARGING
    assert send(site, found, sent) == (200, "")
