"""C2SP signed notes and checkpoints: the published example, strictness, no confusion of keys."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import DomainError, InvalidInput, SignatureInvalid
from federated.provenance.checkpoint import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Checkpoint,
    VerifierKey,
    parse_checkpoint,
    parse_checkpoint_text,
    sign_checkpoint,
    split_note,
    verify_checkpoint,
    verify_note,
)

# The example of Go's golang.org/x/mod/sumdb/note, which the signed-note format comes from.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_NOTE = (
    GO_TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf"
    "qdngotpRZb6KE6RyyBwJnAM=\n"
)

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
HEAD = Checkpoint("consortium/northwind", 1234, bytes(range(32)))
VERIFIER = VerifierKey.of(HEAD.origin, KEY)
GOLDEN = (
    "consortium/northwind\n"
    "1234\n"
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    "\n"
    "— consortium/northwind "
    "oMR0dOlcyAWBruGqdfsiA8MqtKyXM+vv9GasaVknIKblNtT0M6cVJUFeHIBDvTPOb2DZLylxoykXSC/WxZrxAe3o3ws=\n"
)


def test_the_published_note_verifies():
    assert verify_note(GO_NOTE, VerifierKey.parse(GO_KEY)) == GO_TEXT
    assert str(VerifierKey.parse(GO_KEY)) == GO_KEY


def test_a_checkpoint_has_one_spelling():
    root = base64.b64encode(HEAD.root).decode()
    assert HEAD.text() == f"consortium/northwind\n1234\n{root}\n"
    note = sign_checkpoint(HEAD, KEY)
    assert note.startswith(HEAD.text() + "\n— consortium/northwind ")
    assert verify_checkpoint(note, VERIFIER) == parse_checkpoint(note) == HEAD


def test_the_golden_note():
    assert sign_checkpoint(HEAD, KEY) == GOLDEN


def test_extension_lines_and_other_signatures_are_kept_apart():
    head = Checkpoint("log", 1, bytes(32), ("extension 1", "extension 2"))
    note = sign_checkpoint(head, KEY)
    cosigned = note + "— witness.example " + base64.b64encode(b"\x04" * 80).decode() + "\n"
    assert verify_checkpoint(cosigned, VerifierKey.of("log", KEY)) == head
    assert [item.name for item in split_note(cosigned)[1]] == ["log", "witness.example"]


def test_another_key_name_or_a_changed_text_is_refused():
    note = sign_checkpoint(HEAD, KEY)
    other = Ed25519PrivateKey.generate()
    for key in (VerifierKey.of(HEAD.origin, other), VerifierKey.of("consortium/lakeside", KEY)):
        with pytest.raises(SignatureInvalid, match="not signed by"):
            verify_checkpoint(note, key)
    with pytest.raises(SignatureInvalid, match="does not verify"):
        verify_checkpoint(note.replace("1234", "1235"), VERIFIER)


def test_a_good_signature_does_not_excuse_a_bad_one_of_the_same_key():
    note = sign_checkpoint(HEAD, KEY)
    bad = base64.b64encode(VERIFIER.key_id + bytes(64)).decode()
    with pytest.raises(SignatureInvalid, match="does not verify"):
        verify_checkpoint(f"{note}— {HEAD.origin} {bad}\n", VERIFIER)


@pytest.mark.parametrize(
    "text",
    [
        "log\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "log\n+1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "log\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "log\n\u0661\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "log\n99999999999999999999\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "log\n1\nAAAA\n",
        "log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n",
        "log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "lo g\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "a+b\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "log\n1\n",
        "",
    ],
)
def test_other_spellings_are_refused(text):
    with pytest.raises(InvalidInput):
        parse_checkpoint_text(text)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n\n— name\n",
        "text\n\n- name AAAAAAAA\n",
        "text\n\n— name AAAA\n",
        "text\n\n— name !!!!\n",
        "text\n\n— na+me AAAAAAAA\n",
        "text\n\n— name AAAAAAAA",
        "te\rxt\n\n— name AAAAAAAA\n",
        "te\x00xt\n\n— name AAAAAAAA\n",
        "x" * MAX_NOTE_BYTES + "\n\n— name AAAAAAAA\n",
        "text\n\n" + "— name AAAAAAAA\n" * (MAX_SIGNATURES + 1),
    ],
)
def test_what_is_no_note_is_refused(note):
    with pytest.raises(InvalidInput):
        split_note(note)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "name",
        "name+00000000",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpcQcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AQ==",
    ],
)
def test_what_is_no_verifier_key_is_refused(key):
    with pytest.raises(InvalidInput):
        VerifierKey.parse(key)


@given(st.text(max_size=300))
def test_any_text_is_a_note_or_a_clear_refusal(text):
    for candidate in (text, f"{text}\n\n— name AAAAAAAA\n", f"log\n1\n{text}\n"):
        try:
            head = parse_checkpoint(candidate)
        except DomainError:
            continue
        assert parse_checkpoint_text(head.text()) == head


@given(st.integers(0, 10**18), st.binary(min_size=32, max_size=32))
def test_round_trip(size, root):
    head = Checkpoint("log", size, root)
    assert verify_checkpoint(sign_checkpoint(head, KEY), VerifierKey.of("log", KEY)) == head
