"""What a cheating organization or coordinator tries with votes and members, refused by name."""

from __future__ import annotations

import secrets

import gmpy2
import pytest

from federated.crypto import vote_proofs
from federated.crypto.vote_proofs import Statement, VoteProof
from federated.errors import InvalidInput, ProofInvalid
from federated.protocol.keys import public_key_of
from federated.protocol.kinds.benchmark import BENCHMARK
from federated.protocol.refused import Refused
from federated.protocol.transcript import cohort_check, transcript_check
from federated.wire.base import decode_bytes, encode_bytes
from federated.wire.campaign import Submission, Vote
from federated.wire.round import Reason

from .campaign_world import LATENCY, make_campaign, refusal
from .conftest import CAST, with_


@pytest.fixture(scope="module")
def campaign(consortium):
    return make_campaign(consortium)


@pytest.fixture(scope="module")
def closed(campaign):
    return campaign.closed()


@pytest.fixture(scope="module")
def released(campaign):
    return campaign.released()


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
    from federated.protocol.kinds.benchmark import submission_make

    honest = submission_make(
        context=context,
        identity=consortium.identities["summit"],
        measured={"latency_ms": measured, "tail_ms": measured},
        agreement=campaign.agreement,
    )
    BENCHMARK.contribution_check(honest, context=context, agreement=campaign.agreement)
    swapped = signed_votes(campaign, "summit", context, honest.body.votes[::-1])
    with pytest.raises(ProofInvalid, match="position 0"):
        BENCHMARK.contribution_check(swapped, context=context, agreement=campaign.agreement)


def test_a_vote_is_not_left_out_or_added(campaign, closed):
    votes = campaign.submit("summit", closed.context).body.votes
    for other in (votes[:1], (*votes, votes[0])):
        mine = signed_votes(campaign, "summit", closed.context, other)
        assert refusal(campaign, instead(closed, "summit", mine)) is Reason.PROOF_INVALID


# Votes outside the grid, by forged proofs.


def statement_of(campaign, name, context, ciphertext, position=0):
    layout = campaign.agreement.layouts[position]
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
    layout = campaign.agreement.layouts[0]
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
        transcript_check(instead(closed, "summit", mine), agreement=campaign.agreement)


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
        cohort_check(
            small.cohort(),
            context=small.context,
            own=small.submissions[0],
            agreement=campaign.agreement,
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
            cohort_check(cohort, context=closed.context, own=own, agreement=campaign.agreement)
        assert caught.value.reason is Reason.OWN_SUBMISSION_CHANGED


def test_a_charge_is_missing_or_of_less(campaign, released):
    missing = with_(released, receipts=released.receipts[1:])
    assert refusal(campaign, missing) is Reason.CHARGE_MISSING
    body = released.receipts[0].body
    cheap = with_(body, cost=with_(body.cost, rho=0.1))
    signed = campaign.consortium.identities[body.organization].sign(cheap)
    less = with_(released, receipts=(signed, *released.receipts[1:]))
    assert refusal(campaign, less) is Reason.CHARGE_MISMATCH
