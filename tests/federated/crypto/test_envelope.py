import pytest

from federated.crypto import envelope
from federated.errors import InvalidInput
from tests.site_keys import sealing_key_of

PRIVATE, PUBLIC = envelope.generate()
SEALED = envelope.seal(PUBLIC, b"share", info=b"share of epoch 1", aad=b"northwind")


def test_what_was_sealed_opens_once_per_purpose():
    opened = envelope.open(PRIVATE, SEALED, info=b"share of epoch 1", aad=b"northwind")
    assert opened == b"share"
    assert sealing_key_of(PRIVATE) == PUBLIC
    assert envelope.seal(PUBLIC, b"share", info=b"") != envelope.seal(PUBLIC, b"share", info=b"")


@pytest.mark.parametrize(
    ("info", "aad"),
    [
        (b"share of epoch 2", b"northwind"),
        (b"share of epoch 1", b"lakeside"),
        (b"share of epoch 1n", b"orthwind"),
        (b"share of epoch 1", b""),
    ],
)
def test_another_purpose_or_owner_does_not_open_it(info, aad):
    with pytest.raises(envelope.EnvelopeInvalid):
        envelope.open(PRIVATE, SEALED, info=info, aad=aad)


def test_another_key_does_not_open_it():
    other, _ = envelope.generate()
    with pytest.raises(envelope.EnvelopeInvalid):
        envelope.open(other, SEALED, info=b"share of epoch 1", aad=b"northwind")


@pytest.mark.parametrize("at", [0, 31, 32, -1])
def test_altered_bytes_do_not_open(at):
    altered = bytearray(SEALED)
    altered[at] ^= 1
    with pytest.raises(envelope.EnvelopeInvalid):
        envelope.open(PRIVATE, bytes(altered), info=b"share of epoch 1", aad=b"northwind")


@pytest.mark.parametrize("sealed", [b"", SEALED[:31], SEALED[:-1], SEALED + b"\0"])
def test_another_length_does_not_open(sealed):
    with pytest.raises(envelope.EnvelopeInvalid):
        envelope.open(PRIVATE, sealed, info=b"share of epoch 1", aad=b"northwind")


@pytest.mark.parametrize("public", [b"", PUBLIC[:31], PUBLIC + b"\0", bytes(32)])
def test_an_impossible_public_key_is_refused(public):
    with pytest.raises(InvalidInput):
        envelope.seal(public, b"share", info=b"")


def test_an_impossible_private_key_is_refused():
    with pytest.raises(InvalidInput):
        envelope.open(PRIVATE[:31], SEALED, info=b"")
