"""A coordinator that cheats with its log, against the real agent: nothing false is cosigned.

The coordinator has the log's key, so every lie is properly signed unless its point is not to be.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django_tenants.utils import schema_context

from apps.provenance import keys
from apps.provenance.models import Leaf
from federated.command.main import main
from federated.errors import InvalidInput
from federated.provenance import merkle
from federated.provenance.checkpoint import Checkpoint, VerifierKey, sign_checkpoint
from federated.provenance.cosignature import Request, cosign, witness_name
from federated.provenance.evidence import evidence_check
from federated.site.witness import Witness
from federated.wire.base import Signed
from federated.wire.witness import CosignOffer, WitnessedHead, WitnessKey
from tests.federated.client.portal import SiteAtWork
from tests.federated.client.test_witness import grow, no_pause, sites

__all__ = ["no_pause", "sites"]
ORIGIN = settings.FSC_CONSORTIUM


@dataclass
class Tree:
    """A log in the liar's hands: any leaves, any heads, all signed by the log's key."""

    leaves: list[bytes]
    nodes: dict[merkle.Key, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, leaf in enumerate(self.leaves):
            merkle.append(self.nodes, index, leaf)

    @classmethod
    def true(cls, schema: str = "public") -> Tree:
        with schema_context(schema):
            rows = Leaf.objects.order_by("log_index").values_list("hash", flat=True)
            return cls([bytes(row) for row in rows])

    @property
    def size(self) -> int:
        return len(self.leaves)

    def changed(self, index: int) -> Tree:
        return Tree([*self.leaves[:index], b"\x66" * 32, *self.leaves[index + 1 :]])

    def grown(self, count: int = 2) -> Tree:
        return Tree([*self.leaves, *(merkle.leaf_hash(bytes([n])) for n in range(count))])

    def note(
        self, size: int | None = None, *, origin: str = ORIGIN, key: Any = None, claim: int = 0
    ) -> str:
        size = self.size if size is None else size
        head = Checkpoint(origin, size + claim, merkle.root(self.nodes, size))
        return sign_checkpoint(head, key or keys.log_key())

    def request(self, old: int, size: int | None = None, **options: Any) -> str:
        size = self.size if size is None else size
        proof = merkle.consistency_proof(self.nodes, min(old, size), size)
        return str(Request(old, tuple(proof), self.note(size, **options)))


@dataclass
class Lie:
    """What the liar knows when it answers: the true log, and the head that the site holds."""

    offer: CosignOffer
    tree: Tree
    held: int
    first_answer: bytes

    def with_request(self, request: str, **changes: Any) -> bytes:
        return self.offer.model_copy(update={"request": request, **changes}).canonical()


def fork(lie: Lie) -> bytes:
    return lie.with_request(lie.tree.changed(1).request(lie.held, lie.held))


def shrink(lie: Lie) -> bytes:
    return lie.with_request(lie.tree.request(lie.held, lie.held - 1))


def rewrite(lie: Lie) -> bytes:
    return lie.with_request(lie.tree.changed(0).grown().request(lie.held))


def replay(lie: Lie) -> bytes:
    return lie.first_answer


def other_tree(lie: Lie) -> bytes:
    other = Tree.true("t_northwind").grown(lie.tree.size)
    return lie.with_request(other.request(lie.held))


def wrong_origin(lie: Lie) -> bytes:
    return lie.with_request(lie.tree.grown().request(lie.held, origin=f"{ORIGIN}/northwind"))


def wrong_key(lie: Lie) -> bytes:
    key = Ed25519PrivateKey.generate()
    request = lie.tree.grown().request(lie.held, key=key)
    return lie.with_request(request, verifier_key=str(VerifierKey.of(ORIGIN, key)))


def bad_proof(lie: Lie) -> bytes:
    grown = lie.tree.grown()
    proof = merkle.consistency_proof(grown.nodes, lie.held, grown.size)
    bent = (bytes(32), *proof[1:])
    return lie.with_request(str(Request(lie.held, bent, grown.note())))


def gap(lie: Lie) -> bytes:
    return lie.with_request(lie.tree.grown().request(lie.held - 1))


def skipped_number(lie: Lie) -> bytes:
    """A head that counts a leaf number which no leaf has."""
    grown = lie.tree.grown()
    proof = merkle.consistency_proof(grown.nodes, lie.held, grown.size)
    return lie.with_request(str(Request(lie.held, tuple(proof), grown.note(claim=1))))


def emptied(lie: Lie) -> bytes:
    return lie.with_request(str(Request(0, (), lie.tree.note(0))))


def other_witness(lie: Lie, **changes: Any) -> WitnessedHead:
    (head,) = lie.offer.others
    return head.model_copy(update=changes)


def late_cosignature(lie: Lie) -> bytes:
    """Of a witness that the liar owns, from tomorrow."""
    key, tree = LIARS_WITNESS, lie.tree
    note = tree.note() + cosign(
        tree.note().split("\n\n")[0] + "\n",
        key,
        name=witness_name(ORIGIN, "lakeside"),
        time=int(time.time()) + 86_400,
    )
    witness = Signed[WitnessKey].model_construct(**lakeside_binding(key).__dict__)
    head = WitnessedHead(witness=witness, note=note, proof=())
    return lie.with_request(tree.request(lie.held), others=(head,))


def forged_cosignature(lie: Lie) -> bytes:
    """lakeside's true key, on a head that it never saw."""
    grown = lie.tree.grown()
    (head,) = lie.offer.others
    line = head.note.removesuffix("\n").rsplit("\n", 1)[1]
    forged = other_witness(lie, note=f"{grown.note()}{line}\n", proof=())
    return lie.with_request(grown.request(lie.held), others=(forged,))


def minted_witness(lie: Lie) -> bytes:
    """A witness key that no site signed."""
    (head,) = lie.offer.others
    body = head.witness.body.model_copy(update={"organization": "summit"})
    minted = head.witness.model_copy(update={"body": body})
    grown = lie.tree.grown()
    return lie.with_request(grown.request(lie.held), others=(other_witness(lie, witness=minted),))


LIARS_WITNESS = Ed25519PrivateKey.from_private_bytes(b"\x21" * 32)


def lakeside_binding(key: Ed25519PrivateKey) -> Signed[WitnessKey]:
    from federated.provenance.cosignature import CosignerKey
    from tests.training.world import identity_of

    name = witness_name(ORIGIN, "lakeside")
    body = WitnessKey(
        consortium=ORIGIN, organization="lakeside", key=str(CosignerKey.of(name, key))
    )
    return identity_of("lakeside").sign(body)


PROVEN: dict[str, Callable[[Lie], bytes]] = {
    "fork": fork,
    "shrink": shrink,
    "rewrite": rewrite,
    "replay": replay,
    "other_tree": other_tree,
    "bad_proof": bad_proof,
    "skipped_number": skipped_number,
    "emptied": emptied,
}
KINDS = {"fork": "fork", "shrink": "shrunk", "replay": "shrunk", "emptied": "shrunk"}
REFUSED: dict[str, tuple[Callable[[Lie], bytes], str]] = {
    "wrong_origin": (wrong_origin, "is not signed by"),
    "wrong_key": (wrong_key, "is not signed by"),
    "gap": (gap, "the proof starts at size"),
    "late_cosignature": (late_cosignature, "ahead of this site's clock"),
    "forged_cosignature": (forged_cosignature, "does not verify"),
    "minted_witness": (minted_witness, "witness key of summit"),
}


@pytest.fixture
def lied_to(sites: dict[str, SiteAtWork]) -> SiteAtWork:
    """northwind, which has cosigned a head of the true log as lakeside has, before it grew."""
    grow()
    site = sites["northwind"]
    answers: list[bytes] = []

    def listen(request: httpx.Request, answer: bytes) -> bytes:
        if request.method == "GET" and request.url.path == "/api/logs/consortium/cosign":
            answers.append(answer)
        return answer

    site.transport.lie = listen
    site.step()
    grow()
    sites["lakeside"].step()
    site.step()
    grow(1, slug="northwind")
    site.first_answer = answers[0]  # type: ignore[attr-defined]
    return site


def deceive(site: SiteAtWork, how: Callable[[Lie], bytes]) -> None:
    """One look at the inbox, answered by a liar."""
    held = Witness(site.home).head_size("consortium")

    def lie(request: httpx.Request, answer: bytes) -> bytes:
        if request.method == "GET" and request.url.path == "/api/logs/consortium/cosign":
            first = site.first_answer  # type: ignore[attr-defined]
            return how(Lie(CosignOffer.parse(answer), Tree.true(), held, first))
        return answer

    site.transport.lie = lie
    grow()
    site.step()
    site.transport.lie = lambda request, answer: answer


def unmoved(site: SiteAtWork, held: int, sent: int) -> bool:
    return Witness(site.home).head_size("consortium") == held and len(sent_heads(site)) == sent


def sent_heads(site: SiteAtWork) -> list[bytes]:
    path = "/api/logs/consortium/cosign"
    return [body for at, body in site.transport.bodies if at == path and body]


def test_a_contradiction_is_kept_as_evidence_and_nothing_is_cosigned(lied_to: SiteAtWork) -> None:
    site, witness = lied_to, Witness(lied_to.home)
    for found, (name, how) in enumerate(PROVEN.items()):
        held, sent = witness.head_size("consortium"), len(sent_heads(site))
        site.lines.clear()
        deceive(site, how)
        assert site.said("EVIDENCE"), (name, site.lines)
        assert unmoved(site, held, sent), name
        *before, evidence = witness.evidence()
        assert (len(before), evidence.kind) == (found, KINDS.get(name, "inconsistent")), name
        # A third party needs no more than the log's key.
        assert evidence_check(evidence, keys.verifier_key(ORIGIN))
        # The true log is still cosigned afterwards.
        site.step()
        assert witness.head_size("consortium") == Tree.true().size, name


def test_what_is_not_the_logs_or_not_a_witnesss_is_not_cosigned(lied_to: SiteAtWork) -> None:
    site, witness = lied_to, Witness(lied_to.home)
    held, sent = witness.head_size("consortium"), len(sent_heads(site))
    for name, (how, words) in REFUSED.items():
        site.lines.clear()
        deceive(site, how)
        assert site.said("witness_refuses") and site.said(words), (name, site.lines)
        assert unmoved(site, held, sent), name
    assert not list(witness.evidence())


def test_two_witnesses_that_were_shown_two_logs_find_out_from_each_others_cosignatures(
    sites: dict[str, SiteAtWork],
) -> None:
    grow()
    northwind, lakeside = sites["northwind"], sites["lakeside"]
    northwind.step()
    size = Witness(northwind.home).head_size("consortium")

    def other_log(request: httpx.Request, answer: bytes) -> bytes:
        if request.method == "GET" and request.url.path == "/api/logs/consortium/cosign":
            offer = CosignOffer.parse(answer)
            request_ = Tree.true().changed(2).request(0, size)
            return offer.model_copy(update={"request": request_, "others": ()}).canonical()
        return answer

    lakeside.transport.lie = other_log
    lakeside.step()
    (sent,) = sent_heads(lakeside)
    note = json.loads(sent)["body"]["note"]
    assert Witness(lakeside.home).head_size("consortium") == size

    def both(request: httpx.Request, answer: bytes) -> bytes:
        if request.method == "GET" and request.url.path == "/api/logs/consortium/cosign":
            offer = CosignOffer.parse(answer)
            binding = lakeside.agent.site.identity.sign(Witness(lakeside.home).key_message())
            head = WitnessedHead(witness=binding, note=note, proof=())
            return offer.model_copy(update={"others": (head,)}).canonical()
        return answer

    northwind.transport.lie = both
    grow()
    northwind.step()
    assert northwind.said("EVIDENCE fork")
    (evidence,) = Witness(northwind.home).evidence()
    assert (evidence.kind, evidence.held) == ("fork", note)
    assert "two different trees" in evidence_check(evidence, keys.verifier_key(ORIGIN))


def test_a_portal_restored_from_an_older_copy_is_caught(lied_to: SiteAtWork) -> None:
    """An honest portal that lost events shows its newest head: the witness knows a later one."""

    def older(lie: Lie) -> bytes:
        return lie.with_request(str(Request(lie.held - 2, (), lie.tree.note(lie.held - 2))))

    deceive(lied_to, older)
    assert lied_to.said("EVIDENCE shrunk")


def test_evidence_that_was_bent_proves_nothing(lied_to: SiteAtWork) -> None:
    deceive(lied_to, fork)
    (evidence,) = Witness(lied_to.home).evidence()
    key = keys.verifier_key(ORIGIN)
    stranger = VerifierKey.of(ORIGIN, Ed25519PrivateKey.generate())
    for changes in (
        {"shown": evidence.held},
        {"kind": "shrunk"},
        {"kind": "inconsistent"},
        {"shown": evidence.shown.replace("\n", "1\n", 2)},
    ):
        with pytest.raises(InvalidInput):
            evidence_check(copy.copy(evidence).model_copy(update=changes), key)
    with pytest.raises(InvalidInput, match="not signed by"):
        evidence_check(evidence, stranger)


def test_evidence_is_shown_exported_and_checked_by_others(
    lied_to: SiteAtWork, tmp_path: Path
) -> None:
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, ["evidence", *map(str, arguments)])

    home, file = lied_to.home.path, tmp_path / "evidence.json"
    clean = run("--home", home)
    assert (clean.exit_code, "no contradiction" in clean.stdout) == (0, True), clean.output
    deceive(lied_to, fork)
    shown = run("--home", home, "-o", file)
    assert shown.exit_code == 1
    assert "fork" in shown.stdout and "1 contradictions kept" in shown.stdout
    key = str(keys.verifier_key(ORIGIN))
    assert key in shown.stdout
    checked = run(file, "--log-key", key)
    assert checked.exit_code == 1
    assert "two different trees" in checked.stdout
    for arguments, words in (
        ((file,), "--log-key"),
        ((), "either a FILE"),
        ((file, "--home", home), "either a FILE"),
        ((tmp_path / "none",), "cannot be read"),
        ((lied_to.home.policy_path,), "not JSON"),
        ((file, "--log-key", "x"), "verifier key reads"),
    ):
        bad = run(*arguments)
        assert (bad.exit_code, len(bad.stderr.splitlines())) == (1, 1)
        assert words in bad.stderr


def test_a_site_with_no_head_yet_signs_no_empty_log(
    sites: dict[str, SiteAtWork], tmp_path: Path
) -> None:
    grow()
    site = sites["summit"]
    site.first_answer = b""  # type: ignore[attr-defined]
    deceive(site, emptied)
    assert site.said("covers nothing")
    assert not sent_heads(site)
