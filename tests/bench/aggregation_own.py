"""This project's aggregators, timed on one core, and what bounds them."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from phe import paillier as phe_paillier

from federated.aggregation import Aggregator, MaskedAggregator, PackedAggregator, Sealed
from federated.crypto import share_proofs, threshold
from federated.crypto.masking import MaskLayout
from federated.crypto.packing import SlotLayout
from federated.crypto.threshold import Dealt
from federated.privacy import discrete_gaussian
from tests.bench.frame import OURS, Row, spread

SITES = 10
CLAMP = 1 << 13
SIGMA = 12 * CLAMP / (SITES - 1) ** 0.5
WIDE = 1 << 30
PACKED_VALUES = 20_000
REPEATS = 5
PIECE = 1 << 14
CONTEXT = b"bench-aggregation, round 1".ljust(32)
READ = 1 << 18


def timed(call: Callable[[], Any], repeats: int = REPEATS) -> list[float]:
    """CPU seconds of each of ``repeats`` calls, after one that is not counted."""
    call()
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        call()
        found.append(time.process_time() - begun)
    return found


def per_parameter(
    case: str, system: str, metric: str, seconds: list[float], params: int
) -> list[Row]:
    """Rows of microseconds a parameter."""
    return spread(case, system, metric, [1e6 * s / params for s in seconds], "us/parameter")


def quantized(values: np.ndarray, clamp: int, sigma: float) -> Iterator[np.ndarray]:
    """A float32 vector in [-1, 1] on the grid, piece by piece, with noise where sigma is not 0."""
    for at in range(0, len(values), PIECE):
        piece = np.rint(values[at : at + PIECE] * np.float64(clamp)).astype(np.int64)
        if sigma:
            piece += discrete_gaussian.sample(sigma, len(piece))
        yield piece


def masked_rows(dealt: Dealt, values: np.ndarray) -> list[Row]:
    """Both masked layouts, without and with the privacy noise."""
    rows = []
    for clamp, width in ((CLAMP, 26), (WIDE, 52)):
        layout = MaskLayout(contributors=SITES, clamp=clamp, sigma=SIGMA)
        if layout.width != width:
            raise AssertionError(f"the layout has {layout.width} bits a value, not {width}")
        aggregator = MaskedAggregator(dealt.public_key, layout, len(values))
        rows += _encrypting(f"masked, {width} bits", aggregator, values, clamp)
        rows += _decrypting(f"masked, {width} bits", aggregator, dealt, values, clamp)
    return rows


def _encrypting(case: str, aggregator: Aggregator, values: np.ndarray, clamp: int) -> list[Row]:
    def encrypt(sigma: float) -> Sealed:
        return aggregator.encrypt(
            quantized(values, clamp, sigma),
            context=CONTEXT,
            organization="northwind",
            sink=len,
        )

    sealed = encrypt(0)
    wire = aggregator.masked_bytes + len(sealed.proof) + sum(map(len, sealed.ciphertexts))
    count = len(values)
    return [
        *per_parameter(case, OURS, "encrypt", timed(lambda: encrypt(0)), count),
        *per_parameter(case, OURS, "encrypt with noise", timed(lambda: encrypt(SIGMA)), count),
        Row(case, OURS, "wire", wire / count, "bytes/parameter"),
    ]


def _decrypting(
    case: str, aggregator: MaskedAggregator, dealt: Dealt, values: np.ndarray, clamp: int
) -> list[Row]:
    """Adding a site, unmasking, and a trustee's work; the decoded sum is checked."""
    sealed, bodies = [], []
    for name in ("northwind", "lakeside", "summit", "westbrook"):
        body = bytearray()
        vector = quantized(values, clamp, 0)
        one = aggregator.encrypt(vector, context=CONTEXT, organization=name, sink=body.extend)
        sealed.append((name, one))
        bodies.append(bytes(body))
    total = aggregator.total()
    for body, (_, one) in zip(bodies, sealed, strict=True):
        total.add([body], one.masked)
    product = [
        int.from_bytes(c, "big") for c in aggregator.combine([one.ciphertexts for _, one in sealed])
    ]
    partials = {s.index: threshold.partial_decrypt(s, product) for s in dealt.shares[:3]}

    def decrypt() -> np.ndarray:
        plaintexts = threshold.combine(dealt.public_key, dealt.verification, partials)
        return aggregator.decode(plaintexts, len(sealed), context=CONTEXT, total=total)

    expected = len(sealed) * np.concatenate(list(quantized(values, clamp, 0)))
    if not np.array_equal(decrypt(), expected):
        raise AssertionError(f"{case}: the decoded sum is not the sum")

    running = aggregator.total()
    hashing = aggregator.total()
    digest = sealed[0][1].masked
    count = len(values)
    adding = timed(lambda: running.add([bodies[0]], None))
    checking = timed(lambda: hashing.add([bodies[0]], digest))
    return [
        *per_parameter(case, OURS, "add a site", adding, count),
        *per_parameter(case, OURS, "add a site, digest checked", checking, count),
        *per_parameter(case, OURS, "decrypt", timed(decrypt), count),
        *spread(case, OURS, "a trustee's work, 4 sites", _trustee(aggregator, dealt, sealed), "s"),
    ]


def _trustee(aggregator: Aggregator, dealt: Dealt, sealed: list[tuple[str, Sealed]]) -> list[float]:
    """Verify all contributions, multiply, decrypt in part, prove."""

    def work() -> None:
        for name, one in sealed:
            aggregator.verify(one, context=CONTEXT, organization=name)
        combined = aggregator.combine([one.ciphertexts for _, one in sealed])
        product = [int.from_bytes(c, "big") for c in combined]
        share = dealt.shares[0]
        partials = threshold.partial_decrypt(share, product)
        share_proofs.prove_shares(share, dealt.verification, product, partials, context=CONTEXT)

    return timed(work, 3)


def packed_rows(dealt: Dealt, values: np.ndarray) -> list[Row]:
    """Packed Paillier over fewer values, extrapolated by the parameter; and the demo's trustee."""
    layout = SlotLayout(SITES, CLAMP, SIGMA, dealt.public_key.bits)
    some = values[:PACKED_VALUES]
    aggregator = PackedAggregator(dealt.public_key, layout, len(some))
    case = f"packed, {len(some):,} values measured"
    rows = _encrypting(case, aggregator, some, CLAMP)
    small = PackedAggregator(dealt.public_key, layout, 25)
    sealed = [
        (name, small.encrypt(np.zeros(25, dtype=np.int64), context=CONTEXT, organization=name))
        for name in ("northwind", "lakeside", "summit", "westbrook")
    ]
    work = _trustee(small, dealt, sealed)
    return [*rows, *spread("packed, 25 values", OURS, "a trustee's work, 4 sites", work, "s")]


def floor_rows(values: np.ndarray) -> list[Row]:
    """One AES-256-CTR mask of 4 bytes a parameter: no scheme that masks can do less."""

    def encrypt() -> None:
        stream = Cipher(AES256(secrets.token_bytes(32)), CTR(bytes(16))).encryptor()
        for piece in quantized(values, CLAMP, 0):
            mask = np.frombuffer(stream.update(bytes(4 * len(piece))), dtype="<u4")
            (piece.astype(np.uint32) + mask).tobytes()

    return [
        *per_parameter("one mask", "AES-256-CTR (floor)", "encrypt", timed(encrypt), len(values)),
        Row("one mask", "AES-256-CTR (floor)", "wire", 4.0, "bytes/parameter"),
    ]


def phe_rows(bits: int, count: int = 20) -> list[Row]:
    """phe with one value a ciphertext; a few values, extrapolated."""
    public, private = phe_paillier.generate_paillier_keypair(n_length=bits)
    case = f"one value a ciphertext, {bits} bits, {count} values measured"
    numbers = [public.encrypt(j) for j in range(count)]
    timings = {
        "encrypt": lambda: [public.encrypt(j) for j in range(count)],
        "add a site": lambda: [number + number for number in numbers],
        "decrypt": lambda: [private.decrypt(number) for number in numbers],
    }
    rows = []
    for metric, call in timings.items():
        rows += per_parameter(case, "phe 1.5", metric, timed(call, 3), count)
    return [*rows, Row(case, "phe 1.5", "wire", bits / 4, "bytes/parameter")]


def summing_rows(params: int, sites: int = 100) -> list[Row]:
    """Summing stored vectors: masked (4 bytes a parameter) against plain int64, both in pieces."""
    layout = MaskLayout(contributors=sites, clamp=CLAMP, sigma=SIGMA)
    words = layout.words(params)
    with tempfile.TemporaryDirectory() as folder:
        masked, plain = Path(folder, "masked"), Path(folder, "plain")
        masked.write_bytes(os.urandom(8 * words))
        plain.write_bytes(os.urandom(8 * params))
        from federated.aggregation import MaskedTotal

        def sum_masked() -> None:
            total = MaskedTotal(words)
            for _ in range(sites):
                total.add(pieces(masked), None)

        def sum_plain() -> None:
            total = np.zeros(params, dtype=np.int64)
            for _ in range(sites):
                at = 0
                for piece in pieces(plain):
                    part = np.frombuffer(piece, dtype="<i8")
                    total[at : at + len(part)] += part
                    at += len(part)

        rows = []
        for system, call in ((OURS, sum_masked), ("plain int64 vectors", sum_plain)):
            seconds = timed(call, 3)
            rows += spread(f"{sites} stored vectors", system, "sum stored vectors", seconds, "s")
        return rows


def pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes, a quarter of a megabyte at a time."""
    with path.open("rb") as file:
        while piece := file.read(READ):
            yield piece
