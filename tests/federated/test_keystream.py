"""Key streams are as long as asked, never twice the same, and look uniform."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from scipy import stats

from federated import keystream
from federated.keystream import random_bytes


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 2**20, 2**20 + 1, 2**21 + 5])
def test_as_many_bytes_as_asked_and_never_the_same(size):
    one, other = random_bytes(size), random_bytes(size)
    assert len(one) == len(other) == size
    if size > 16:
        assert one != other
        assert np.bincount(np.frombuffer(one, np.uint8), minlength=256).max() < size / 8


def test_every_mebibyte_has_a_key_of_its_own(monkeypatch):
    keys = []

    def counted(size):
        keys.append(bytes([len(keys) + 1]) * size)
        return keys[-1]

    monkeypatch.setattr(keystream.os, "urandom", counted)
    data = random_bytes(2**21 + 2048)
    assert [len(key) for key in keys] == [32, 32, 32]
    expected = (Cipher(AES256(key), CTR(bytes(16))).encryptor().update(bytes(64)) for key in keys)
    assert [data[at : at + 64] for at in (0, 2**20, 2**21)] == list(expected)


def test_bytes_are_uniform():
    counts = np.bincount(np.frombuffer(random_bytes(2**20), np.uint8), minlength=256)
    # Fresh randomness: one false alarm in 10^10 runs.
    assert stats.chisquare(counts).pvalue > 1e-10
