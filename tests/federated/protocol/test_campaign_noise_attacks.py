"""What a cheating trustee or coordinator tries with noise, shares and releases, refused by name."""

from __future__ import annotations

import random
from contextlib import closing
from itertools import combinations

import pytest

from federated.crypto import proofs, vote_proofs
from federated.errors import DomainError, InvalidInput, ProofInvalid
from federated.protocol.checks import charges_check
from federated.protocol.keys import public_key_of
from federated.protocol.noise import noised_cohort_check
from federated.protocol.refused import Refused
from federated.protocol.release import release_check, release_make
from federated.protocol.share import product_of, share_check
from federated.protocol.transcript import transcript_check
from federated.site.ledger import Ledger
from federated.wire.base import decode_bytes, encode_bytes
from federated.wire.campaign import CampaignTranscript, NoisedCohort
from federated.wire.round import Reason

from .campaign_world import make_campaign, refusal
from .conftest import CAST, with_

FLIPS = 60


@pytest.fixture(scope="module")
def campaign(consortium):
    return make_campaign(consortium)


@pytest.fixture(scope="module")
def closed(campaign):
    return campaign.closed()


@pytest.fixture(scope="module")
def released(campaign):
    return campaign.released()


# Noise.


def own_of(released, name):
    return next(signed for signed in released.noise if signed.body.organization == name)


def test_noise_left_out(campaign, released):
    fewer = with_(released, noise=released.noise[1:])
    assert refusal(campaign, fewer) is Reason.NOISE_MISSING
    # Replaced by another trustee's: t shares are in, one of an honest trustee among them.
    other = campaign.noise("westbrook", released)
    replaced = with_(released, noise=(*released.noise[1:], other))
    for own in (*released.noise, other):
        noised_cohort_check(replaced, own=own, agreement=campaign.agreement)


def test_a_trustee_whose_noise_is_for_another_cohort_does_not_decrypt(campaign, released):
    smaller = campaign.closed(members=CAST[:3])
    own = campaign.noise("westbrook", smaller)
    assert refusal(campaign, released, own=own) is Reason.COHORT_ALREADY_SERVED


def test_noise_counted_twice(campaign, released):
    twice = with_(released, noise=(*released.noise, released.noise[0]))
    assert refusal(campaign, twice) is Reason.NOISE_REPEATED
    doubled = with_(released, noise=(released.noise[0], released.noise[0], released.noise[1]))
    assert refusal(campaign, doubled) is Reason.NOISE_REPEATED


def test_resampled_noise(campaign, released):
    """A trustee whose kept share was swapped for a fresh one of its own does not decrypt."""
    name = released.noise[0].body.organization
    fresh = campaign.noise(name, released)
    resampled = with_(released, noise=(fresh, *released.noise[1:]))
    assert refusal(campaign, resampled, own=released.noise[0]) is Reason.NOISE_CHANGED


def test_noise_of_another_cohort(campaign, released):
    smaller = campaign.closed(members=CAST[:3])
    other = campaign.noise("lakeside", smaller)
    mixed = with_(released, noise=(other, *released.noise[1:]))
    assert refusal(campaign, mixed) is Reason.CONTEXT_MIXED


@pytest.mark.parametrize("how", ["copied", "inverted"])
def test_noise_made_from_anothers(campaign, released, how):
    """The inverse of an honest share would cancel it: the proof needs the plaintext."""
    epoch = campaign.consortium.epoch
    key = public_key_of(epoch)
    honest = own_of(released, "lakeside").body
    values = [int.from_bytes(decode_bytes(c), "big") for c in honest.ciphertexts]
    if how == "inverted":
        values = [pow(value, -1, key.n_squared) for value in values]
    forged = with_(
        honest,
        organization="northwind",
        index=epoch.trustee("northwind").index,
        ciphertexts=tuple(encode_bytes(key.encode_ciphertext(v)) for v in values),
    )
    signed = campaign.consortium.identities["northwind"].sign(forged)
    rows = [s for s in released.noise if s.body.organization != "northwind"]
    cancelled = with_(released, noise=(*rows, signed))
    assert refusal(campaign, cancelled) is Reason.PROOF_INVALID


def test_noise_signed_by_somebody_else(campaign, released):
    body = own_of(released, "lakeside").body
    forged = campaign.consortium.identities["summit"].sign(body)
    rows = [s for s in released.noise if s.body.organization != "lakeside"]
    assert refusal(campaign, with_(released, noise=(*rows, forged))) is Reason.SIGNATURE_INVALID


def test_a_proof_of_a_vote_is_no_proof_of_noise(campaign, released):
    """The two proofs have domains of their own."""
    assert proofs._DOMAIN != vote_proofs._DOMAIN


# Quorums.


def test_any_quorum_decrypts_the_same_sums(campaign, released):
    """A trustee is lost after it gave noise: one that gave none finishes."""
    other = campaign.share("westbrook", released)
    share_check(
        other,
        agreement=campaign.agreement,
        cohort=released.decrypted(),
        product=product_of(released, agreement=campaign.agreement),
    )
    finished = with_(released, shares=(*released.shares[1:], other))
    release_check(finished, agreement=campaign.agreement)


def test_a_split_quorum_never_decrypts_two_sets_of_noise(campaign, closed, tmp_path):
    """One cohort with two sets of noise: their difference would cancel the votes."""
    cohort, honest = closed.cohort(), [name for name in CAST if name != CAST[1]]
    first, second = (
        NoisedCohort(
            context=cohort.context, cohort=cohort.digest(), noise=dict.fromkeys(quorum, "0" * 64)
        ).digest()
        for quorum in (CAST[:3], CAST[1:])
    )
    asked = {"job_id": campaign.spec.campaign_id, "round": 1, "attempt": 1, "charged": False}
    # Any trustee may decrypt either; some honest ones are shown the first set before the second.
    for number, early in enumerate(subset for n in range(4) for subset in combinations(honest, n)):
        served = {first: {CAST[1]}, second: {CAST[1]}}
        for name in honest:
            with closing(Ledger(tmp_path / f"{number}-{name}.sqlite")) as ledger:
                order = (first, second) if name in early else (second, first)
                ledger.serve(cohort=order[0], **asked)
                served[order[0]].add(name)
                with pytest.raises(Refused) as caught:
                    ledger.serve(cohort=order[1], **asked)
                assert caught.value.reason is Reason.COHORT_ALREADY_SERVED
        assert min(map(len, served.values())) < campaign.consortium.epoch.threshold


def test_a_share_for_one_set_of_noise_does_not_count_for_another(campaign, released):
    other = with_(released, noise=(*released.noise[:2], campaign.noise("westbrook", released)))
    with pytest.raises(InvalidInput, match="another attempt or cohort"):
        share_check(
            released.shares[0],
            agreement=campaign.agreement,
            cohort=other.decrypted(),
            product=product_of(other, agreement=campaign.agreement),
        )


# The release.


def test_released_numbers_that_do_not_follow(campaign, released):
    first, *rest = released.release.metrics
    slots = with_(first, slots=(first.slots[0] + 1, *first.slots[1:]))
    mean = first.statistics["mean"]
    better = with_(mean, value=mean.value + 1.0)
    statistics = with_(first, statistics={**first.statistics, "mean": better})
    sure = with_(first, illustrative=False)
    for metric, message in (
        (slots, "released sums differ"),
        (statistics, "statistics do not follow"),
        (sure, "statistics do not follow"),
    ):
        release = with_(released.release, metrics=(metric, *rest))
        with pytest.raises(InvalidInput, match=message):
            release_check(with_(released, release=release), agreement=campaign.agreement)


def test_a_share_that_moves_a_sum_by_one_is_named(campaign, released):
    """Times 1 + n it combines as a right one does; signed again, only its proof tells."""
    consortium, (first, *rest) = campaign.consortium, released.shares
    key = public_key_of(consortium.epoch)
    values = [int.from_bytes(decode_bytes(p), "big") * (1 + key.n) for p in first.body.partials]
    moved = tuple(encode_bytes(key.encode_ciphertext(v % key.n_squared)) for v in values)
    name = first.body.organization
    signed = consortium.identities[name].sign(with_(first.body, partials=moved))
    forged = with_(released, shares=(signed, *rest))
    release, _ = release_make(forged, agreement=campaign.agreement)
    assert release.metrics[0].slots != released.release.metrics[0].slots
    with pytest.raises(ProofInvalid, match=f"share of {name}: partial decryption"):
        release_check(with_(forged, release=release), agreement=campaign.agreement)


def whole_check(campaign, transcript):
    cohort = transcript_check(transcript, agreement=campaign.agreement)
    charges_check(transcript.receipts, cohort=cohort, agreement=campaign.agreement)
    noised_cohort_check(transcript, agreement=campaign.agreement)
    release_check(transcript, agreement=campaign.agreement)


def test_a_flipped_bit_of_a_transcript_is_noticed(campaign, released):
    content = released.canonical()
    rng = random.Random(5)
    for bit in rng.sample(range(8 * len(content)), FLIPS):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            transcript = CampaignTranscript.parse(bytes(flipped))
            if transcript == released:
                continue
            whole_check(campaign, transcript)
        except DomainError:
            continue
        pytest.fail(f"bit {bit}: {content[bit // 8 - 40 : bit // 8 + 40]!r} may change")
