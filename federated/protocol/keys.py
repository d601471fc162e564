"""Key epochs: from the ceremony's dealing to the numbers that sites compute with."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from federated.crypto import envelope, threshold
from federated.crypto.paillier import PublicKey
from federated.crypto.threshold import KeyShare, VerificationKeys
from federated.errors import InvalidInput
from federated.wire.base import PREFIX, decode_bytes, encode_bytes
from federated.wire.key import KeyEpoch, Roster, SealedShare, Trustee

_INFO = (PREFIX + "sealed-share").encode()


def ceremony(
    roster: Roster,
    *,
    number: int,
    threshold_of: int,
    max_colluding: int,
    bits: int = 3072,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[KeyEpoch, list[SealedShare]]:
    """Deal a threshold key to the roster's sites; index 1 is the first site by organization.

    The dealer holds the whole key while this runs and keeps nothing after. Sharing it needs
    ``threshold_of`` of the sites to decrypt. Raises InvalidInput for an unsafe quorum.
    """
    sites = sorted(roster.sites, key=lambda site: site.organization)
    dealt = threshold.deal(
        bits=bits,
        threshold=threshold_of,
        trustees=len(sites),
        max_colluding=max_colluding,
        progress=progress,
    )
    epoch = KeyEpoch(
        consortium=roster.consortium,
        number=number,
        modulus=_encode(dealt.public_key.n),
        threshold=threshold_of,
        max_colluding=max_colluding,
        verification_base=_encode(dealt.verification.v),
        trustees=tuple(
            Trustee(
                organization=site.organization,
                index=index,
                public_key=site.public_key,
                verification_key=_encode(dealt.verification.of(index)),
            )
            for index, site in enumerate(sites, start=1)
        ),
    )
    digest = epoch.digest()
    sealed = [
        SealedShare(
            epoch=digest,
            organization=site.organization,
            index=share.index,
            sealed=encode_bytes(
                envelope.seal(
                    decode_bytes(site.encryption_key),
                    share.encode(),
                    info=_INFO,
                    aad=_belongs(digest, site.organization, share.index),
                )
            ),
        )
        for site, share in zip(sites, dealt.shares, strict=True)
    ]
    return epoch, sealed


def open_share(sealed: SealedShare, epoch: KeyEpoch, encryption_private_key: bytes) -> KeyShare:
    """The share, once it opens and matches the epoch's verification key.

    Raises EnvelopeInvalid, InvalidInput or ProofInvalid.
    """
    if sealed.epoch != epoch.digest():
        raise InvalidInput(f"sealed share is of epoch {sealed.epoch[:16]}, not this one")
    trustee = epoch.trustee(sealed.organization)
    if trustee is None or trustee.index != sealed.index:
        raise InvalidInput(f"{sealed.organization} is not trustee {sealed.index} of this epoch")
    share = KeyShare.decode(
        envelope.open(
            encryption_private_key,
            decode_bytes(sealed.sealed),
            info=_INFO,
            aad=_belongs(sealed.epoch, sealed.organization, sealed.index),
        )
    )
    if share.index != sealed.index:
        raise InvalidInput(f"the envelope holds share {share.index}, not {sealed.index}")
    threshold.check_share(share, verification_of(epoch))
    return share


@lru_cache(maxsize=16)
def public_key_of(epoch: KeyEpoch) -> PublicKey:
    """The epoch's Paillier public key."""
    return PublicKey(_decode(epoch.modulus))


@lru_cache(maxsize=16)
def verification_of(epoch: KeyEpoch) -> VerificationKeys:
    """The epoch's verification keys. Raises InvalidInput where they are no units or no quorum."""
    return VerificationKeys(
        n=public_key_of(epoch).n,
        v=_decode(epoch.verification_base),
        v_i=tuple(_decode(trustee.verification_key) for trustee in epoch.trustees),
        threshold=epoch.threshold,
        trustees=len(epoch.trustees),
        max_colluding=epoch.max_colluding,
    )


def _belongs(epoch: str, organization: str, index: int) -> bytes:
    return f"{epoch}\0{organization}\0{index}".encode()


def _encode(value: int) -> str:
    return encode_bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _decode(text: str) -> int:
    data = decode_bytes(text)
    if data[:1] in (b"", b"\0"):
        raise InvalidInput("an integer of the key epoch is empty or has leading zeros")
    return int.from_bytes(data, "big")
