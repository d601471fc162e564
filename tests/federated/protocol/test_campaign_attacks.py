"""What a cheating organization, trustee or coordinator tries in a campaign, refused by name."""

from __future__ import annotations

import random
import secrets
from contextlib import closing
from itertools import combinations

import gmpy2
import pytest

from federated.client.ledger import Ledger
from federated.crypto import proofs, vote_proofs
from federated.crypto.vote_proofs import Statement, VoteProof
from federated.errors import DomainError, InvalidInput, ProofInvalid
from federated.protocol.campaign_layout import vote_layout
from federated.protocol.campaign_release import (
    campaign_release_check,
    campaign_release_make,
    campaign_share_check,
)
from federated.protocol.campaign_submit import submission_check
from federated.protocol.campaign_transcript import (
    campaign_charges_check,
    campaign_transcript_check,
    noised_cohort_check,
    submission_cohort_check,
)
from federated.protocol.keys import public_key_of
from federated.protocol.refused import Refused
from federated.wire.base import decode_bytes, encode_bytes
from federated.wire.campaign import CampaignTranscript, NoisedCohort, Submission, Vote
from federated.wire.round import Reason

from .campaign_world import LATENCY, make_campaign
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


def options(campaign):
    return {"spec": campaign.spec, "epoch": campaign.consortium.epoch}


def refusal(campaign, transcript, own=None) -> Reason:
    with pytest.raises(Refused) as caught:
        cohort = campaign_transcript_check(transcript, **options(campaign))
        campaign_charges_check(transcript.receipts, cohort=cohort, **options(campaign))
        noised_cohort_check(transcript, own=own, **options(campaign))
    return caught.value.reason


def signed_votes(campaign, name, context, votes):
    return campaign.consortium.identities[name].sign(
        Submission(context=context.digest(), organization=name, votes=tuple(votes))
    )


def instead(transcript, name, signed):
    rows = [s if s.body.organization != name else signed for s in transcript.submissions]
    return with_(transcript, submissions=tuple(rows))


# Votes that were proven elsewhere.


def test_a_proof_for_another_run(campaign, closed):
    other = campaign.submit("summit", campaign.context(run=2))
    mine = signed_votes(campaign, "summit", closed.context, other.body.votes)
    assert refusal(campaign, instead(closed, "summit", mine)) is Reason.PROOF_INVALID
    assert refusal(campaign, instead(closed, "summit", other)) is Reason.CONTEXT_MIXED


def test_a_proof_for_another_campaign(campaign, closed):
    elsewhere = make_campaign(campaign.consortium)
    other = elsewhere.submit("summit", elsewhere.context())
    mine = signed_votes(campaign, "summit", closed.context, other.body.votes)
    assert refusal(campaign, instead(closed, "summit", mine)) is Reason.PROOF_INVALID


def test_a_proof_of_another_organization_signed_again(campaign, closed):
    """Copying a vote would let a site vote as another did, and learn it from the sum."""
    theirs = campaign.submit("lakeside", closed.context)
    mine = signed_votes(campaign, "summit", closed.context, theirs.body.votes)
    assert refusal(campaign, instead(closed, "summit", mine)) is Reason.PROOF_INVALID


def test_a_proof_for_another_position(consortium):
    twin = type(LATENCY)(**{**LATENCY.__dict__, "key": "tail_ms"})
    campaign = make_campaign(consortium, metrics=(LATENCY, twin))
    measured = campaign.measured("summit")["latency_ms"]
    context = campaign.context()
    from federated.protocol.campaign_submit import submission_make

    honest = submission_make(
        context=context,
        identity=consortium.identities["summit"],
        measured={"latency_ms": measured, "tail_ms": measured},
        **options(campaign),
    )
    submission_check(honest, context=context, **options(campaign))
    swapped = signed_votes(campaign, "summit", context, honest.body.votes[::-1])
    with pytest.raises(ProofInvalid, match="position 0"):
        submission_check(swapped, context=context, **options(campaign))


def test_a_vote_is_not_left_out_or_added(campaign, closed):
    votes = campaign.submit("summit", closed.context).body.votes
    for other in (votes[:1], (*votes, votes[0])):
        mine = signed_votes(campaign, "summit", closed.context, other)
        assert refusal(campaign, instead(closed, "summit", mine)) is Reason.PROOF_INVALID


# Votes outside the grid, by forged proofs.


def statement_of(campaign, name, context, ciphertext, position=0):
    layout = vote_layout(campaign.spec, campaign.consortium.epoch, position)
    return Statement(ciphertext, layout.codewords, bytes.fromhex(context.digest()), name, position)


def with_vote(campaign, closed, ciphertext, proof):
    key = public_key_of(campaign.consortium.epoch)
    votes = list(campaign.submit("summit", closed.context).body.votes)
    votes[0] = Vote(
        ciphertext=encode_bytes(key.encode_ciphertext(ciphertext)),
        proof=encode_bytes(proof.encode(key)),
    )
    signed = signed_votes(campaign, "summit", closed.context, votes)
    return instead(closed, "summit", signed)


@pytest.mark.parametrize("factor", [0, 2, 40])
def test_a_vote_outside_the_grid_with_the_proof_of_one_inside(campaign, closed, factor):
    key = public_key_of(campaign.consortium.epoch)
    layout = vote_layout(campaign.spec, campaign.consortium.epoch, 0)
    forged = key.encrypt(factor * layout.codewords[3])
    inside = key.encrypt(layout.codewords[3])
    claim = statement_of(campaign, "summit", closed.context, inside.ciphertext)
    proof = vote_proofs.prove(key, claim, 3, inside)
    transcript = with_vote(campaign, closed, forged.ciphertext, proof)
    assert refusal(campaign, transcript) is Reason.PROOF_INVALID


def test_a_proof_with_every_branch_simulated(campaign, closed):
    """All equations hold; only the sum of the challenges does not follow from the hash."""
    key = public_key_of(campaign.consortium.epoch)
    forged = key.encrypt(1 << 40).ciphertext
    claim = statement_of(campaign, "summit", closed.context, forged)
    challenges, answers, commitments = [], [], []
    for plaintext in claim.plaintexts:
        e, w = secrets.randbits(256), secrets.randbits(600)
        base = forged * key.plaintext_power(-plaintext) % key.n_squared
        commitment = key.h0_power(w) * gmpy2.powmod(base, -e, key.n_squared) % key.n_squared
        challenges.append(e)
        answers.append(w)
        commitments.append(int(commitment))
    proof = VoteProof(tuple(commitments), tuple(challenges), tuple(answers))
    assert refusal(campaign, with_vote(campaign, closed, forged, proof)) is Reason.PROOF_INVALID
    # With the challenges made to add up, an equation breaks instead.
    x = claim.challenge(key, commitments)
    challenges[0] = (x - sum(challenges[1:])) % 2**256
    proof = VoteProof(tuple(commitments), tuple(challenges), tuple(answers))
    assert refusal(campaign, with_vote(campaign, closed, forged, proof)) is Reason.PROOF_INVALID


def test_no_proof_is_made_for_a_vote_outside_the_grid(campaign, closed):
    key = public_key_of(campaign.consortium.epoch)
    encryption = key.encrypt(1 << 40)
    claim = statement_of(campaign, "summit", closed.context, encryption.ciphertext)
    with pytest.raises(InvalidInput, match="does not encrypt the chosen plaintext"):
        vote_proofs.prove(key, claim, 0, encryption)


@pytest.mark.parametrize("how", ["scaled", "re-randomized", "inverted", "negated"])
def test_a_ciphertext_that_was_made_from_anothers(campaign, closed, how):
    key = public_key_of(campaign.consortium.epoch)
    theirs = campaign.submit("lakeside", closed.context).body.votes[0]
    c = int.from_bytes(decode_bytes(theirs.ciphertext), "big")
    made = {
        "scaled": pow(c, 200, key.n_squared),
        "re-randomized": c * key.encrypt(0).ciphertext % key.n_squared,
        "inverted": pow(c, -1, key.n_squared),
        "negated": key.n_squared - c,
    }[how]
    proof = VoteProof.decode(key, decode_bytes(theirs.proof), 8)
    assert refusal(campaign, with_vote(campaign, closed, made, proof)) is Reason.PROOF_INVALID


def test_a_wrong_proof_is_found_among_many_and_its_maker_named(campaign, closed):
    theirs = campaign.submit("lakeside", closed.context)
    mine = signed_votes(campaign, "summit", closed.context, theirs.body.votes)
    with pytest.raises(Refused, match="the vote of summit for latency_ms is not proven"):
        campaign_transcript_check(instead(closed, "summit", mine), **options(campaign))


# Members and their approvals.


def test_two_submissions_of_an_organization(campaign, closed):
    again = signed_votes(
        campaign, "summit", closed.context, campaign.submit("summit", closed.context).body.votes
    )
    doubled = with_(closed, submissions=(*closed.submissions, again))
    assert refusal(campaign, doubled) is Reason.MEMBER_REPEATED
    assert doubled.cohort().digest() != closed.cohort().digest()


def test_a_cohort_under_the_minimum(campaign):
    small = campaign.closed(members=CAST[:2])
    assert refusal(campaign, small) is Reason.COHORT_BELOW_MINIMUM
    with pytest.raises(Refused) as caught:
        submission_cohort_check(
            small.cohort(), context=small.context, own=small.submissions[0], **options(campaign)
        )
    assert caught.value.reason is Reason.COHORT_BELOW_MINIMUM


def test_an_outsider_in_the_cohort(campaign, closed, consortium):
    from federated.crypto import signatures
    from federated.protocol.identity import SiteIdentity

    harbor = SiteIdentity("harbor", signatures.generate_private_key())
    votes = campaign.submit("summit", closed.context).body.votes
    theirs = harbor.sign(
        Submission(context=closed.context.digest(), organization="harbor", votes=votes)
    )
    beside = with_(closed, submissions=(*closed.submissions, theirs))
    assert refusal(campaign, beside) is Reason.MEMBER_UNKNOWN


def test_a_submission_signed_with_another_key(campaign, closed):
    body = campaign.submit("summit", closed.context).body
    forged = campaign.consortium.identities["lakeside"].sign(body)
    assert refusal(campaign, instead(closed, "summit", forged)) is Reason.SIGNATURE_INVALID


def test_a_member_that_did_not_approve(campaign, closed):
    fewer = with_(closed, approvals=closed.approvals[:3])
    assert refusal(campaign, fewer) is Reason.APPROVAL_MISSING


def test_a_campaign_changed_after_its_approval(campaign, closed):
    changed = with_(campaign.spec, runs=400)
    assert refusal(campaign, with_(closed, spec=changed)) is Reason.SPEC_CHANGED
    assert changed.digest() != campaign.spec.digest()  # so that the approvals fall


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"run": 5}, Reason.CONTEXT_MIXED),
        ({"spec": "1" * 64}, Reason.SPEC_CHANGED),
        ({"key_epoch": "1" * 64}, Reason.KEY_UNKNOWN),
        ({"campaign_id": "12345678-1234-4234-8234-123456789abc"}, Reason.CAMPAIGN_UNKNOWN),
    ],
)
def test_a_context_of_something_else(campaign, closed, change, reason):
    assert refusal(campaign, with_(closed, context=with_(closed.context, **change))) is reason


def test_a_members_submission_is_swapped_or_left_out(campaign, closed):
    whole = closed.cohort()
    swapped = with_(whole, members={**whole.members, "summit": "0" * 64})
    without = with_(whole, members={k: v for k, v in whole.members.items() if k != "summit"})
    own = campaign.submit("summit", closed.context)
    for cohort in (swapped, without):
        with pytest.raises(Refused) as caught:
            submission_cohort_check(cohort, context=closed.context, own=own, **options(campaign))
        assert caught.value.reason is Reason.OWN_SUBMISSION_CHANGED


def test_a_charge_is_missing_or_of_less(campaign, released):
    missing = with_(released, receipts=released.receipts[1:])
    assert refusal(campaign, missing) is Reason.CHARGE_MISSING
    body = released.receipts[0].body
    cheap = with_(body, cost=with_(body.cost, rho=0.1))
    signed = campaign.consortium.identities[body.organization].sign(cheap)
    less = with_(released, receipts=(signed, *released.receipts[1:]))
    assert refusal(campaign, less) is Reason.CHARGE_MISMATCH


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
        noised_cohort_check(replaced, own=own, **options(campaign))


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
    campaign_share_check(other, transcript=released, epoch=campaign.consortium.epoch)
    finished = with_(released, shares=(*released.shares[1:], other))
    campaign_release_check(finished, **options(campaign))


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
        campaign_share_check(released.shares[0], transcript=other, epoch=campaign.consortium.epoch)


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
            campaign_release_check(with_(released, release=release), **options(campaign))


def test_a_share_that_moves_a_sum_by_one_is_named(campaign, released):
    """Times 1 + n it combines as a right one does; signed again, only its proof tells."""
    consortium, (first, *rest) = campaign.consortium, released.shares
    key = public_key_of(consortium.epoch)
    values = [int.from_bytes(decode_bytes(p), "big") * (1 + key.n) for p in first.body.partials]
    moved = tuple(encode_bytes(key.encode_ciphertext(v % key.n_squared)) for v in values)
    name = first.body.organization
    signed = consortium.identities[name].sign(with_(first.body, partials=moved))
    forged = with_(released, shares=(signed, *rest))
    release = campaign_release_make(forged, **options(campaign))
    assert release.metrics[0].slots != released.release.metrics[0].slots
    with pytest.raises(ProofInvalid, match=f"share of {name}: partial decryption"):
        campaign_release_check(with_(forged, release=release), **options(campaign))


def whole_check(campaign, transcript):
    cohort = campaign_transcript_check(transcript, **options(campaign))
    campaign_charges_check(transcript.receipts, cohort=cohort, **options(campaign))
    noised_cohort_check(transcript, **options(campaign))
    campaign_release_check(transcript, **options(campaign))


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
