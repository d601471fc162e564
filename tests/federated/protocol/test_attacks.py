"""Attacks on the whole: split quorums, doubled organizations, resends, flipped bits, two keys."""

from __future__ import annotations

import random
from contextlib import ExitStack, closing
from itertools import combinations

import pytest

from federated.crypto import signatures
from federated.errors import DomainError, InvalidInput, ProofInvalid
from federated.protocol.agreement import JobAgreement
from federated.protocol.checks import charges_check
from federated.protocol.identity import SiteIdentity
from federated.protocol.keys import ceremony, open_share
from federated.protocol.kinds.training import contribution_make
from federated.protocol.refused import Refused
from federated.protocol.release import release_check, release_make
from federated.protocol.share import product_of, share_check, share_make, share_signature_check
from federated.protocol.transcript import transcript_check
from federated.site.ledger import Ledger
from federated.wire.base import encode_bytes
from federated.wire.job import JobSpec
from federated.wire.key import KeyEpoch, Roster, RosterSite
from federated.wire.round import Reason, Transcript
from tests.site_keys import sealing_key_of

from .conftest import CAST, TEST_KEY_BITS, with_

FLIPS = 250


def charged(consortium, transcript):
    names = [signed.body.organization for signed in transcript.contributions]
    receipts = tuple(consortium.receipt(name, transcript) for name in names)
    return with_(transcript, receipts=receipts)


def refusal(consortium, transcript) -> Reason:
    with pytest.raises(Refused) as caught:
        cohort = transcript_check(transcript, agreement=consortium.agreement)
        charges_check(transcript.receipts, agreement=consortium.agreement, cohort=cohort)
    return caught.value.reason


# Split quorum: one cohort to one quorum, a cohort that differs by one to another.


@pytest.mark.parametrize("colluding", CAST)
@pytest.mark.parametrize("quorum", list(combinations(CAST, 3)))
def test_a_split_quorum_never_gets_a_second_cohort(consortium, tmp_path, colluding, quorum):
    job, ones, others = consortium.spec.job_id, "a" * 64, "b" * 64
    options = {"job_id": job, "round": 1, "attempt": 1, "charged": False}
    with ExitStack() as stack:
        ledgers = {
            name: stack.enter_context(closing(Ledger(tmp_path / f"{name}.sqlite"))) for name in CAST
        }
        for name in quorum:
            ledgers[name].serve(cohort=ones, **options)
        willing = {colluding}
        for name in set(CAST) - {colluding}:
            try:
                ledgers[name].serve(cohort=others, **options)
            except Refused as error:
                assert error.reason is Reason.COHORT_ALREADY_SERVED
            else:
                willing.add(name)
    assert len(willing) < consortium.epoch.threshold


def test_the_shares_that_a_split_quorum_leaves_do_not_decrypt(consortium):
    smaller = charged(consortium, consortium.transcript(members=CAST[:3]))
    two = tuple(consortium.share(name, smaller) for name in (CAST[0], CAST[3]))
    with pytest.raises(InvalidInput, match="at least 3 are needed"):
        release_make(
            with_(smaller, shares=two),
            agreement=consortium.agreement,
            state=consortium.state,
        )


def test_a_key_whose_quorums_need_not_meet_in_an_honest_trustee_is_no_key(consortium):
    epoch = consortium.epoch.dump()
    with pytest.raises(InvalidInput, match="split quorums"):
        KeyEpoch.parse({**epoch, "threshold": 2})
    with pytest.raises(InvalidInput, match="split quorums"):
        KeyEpoch.parse({**epoch, "trustees": epoch["trustees"][:3], "threshold": 2})


# Two sites of one organization.


def test_an_organization_takes_part_once(consortium):
    spec = consortium.spec.dump()
    second = SiteIdentity("summit", signatures.generate_private_key())
    again = {"organization": "summit", "public_key": second.public_key}
    listed = sorted([*spec["participants"], again], key=lambda p: p["organization"])
    with pytest.raises(InvalidInput, match="listed twice"):
        JobSpec.parse({**spec, "participants": listed})


def test_an_organization_holds_one_share(consortium):
    epoch = consortium.epoch.dump()
    trustees = [dict(trustee) for trustee in epoch["trustees"]]
    trustees[3]["organization"] = trustees[2]["organization"]
    with pytest.raises(InvalidInput, match="two shares"):
        KeyEpoch.parse({**epoch, "trustees": trustees})


def test_a_second_site_of_an_organization_adds_nothing(consortium):
    context = consortium.context()
    second = SiteIdentity("summit", signatures.generate_private_key())
    theirs = second.sign(consortium.contribute("summit", context).body)
    others = tuple(name for name in CAST if name != "summit")
    alone = consortium.transcript(context, members=others)
    instead = with_(alone, contributions=(*alone.contributions, theirs))
    assert refusal(consortium, instead) is Reason.SIGNATURE_INVALID
    whole = consortium.transcript(context)
    beside = with_(whole, contributions=(*whole.contributions, theirs))
    assert refusal(consortium, beside) is Reason.MEMBER_REPEATED


# A resend with other bytes.


def test_a_resend_with_other_bytes_is_another_cohort(consortium):
    """Encrypted anew, the site's bytes differ: what was charged and decrypted covers them not."""
    sent = charged(consortium, consortium.transcript())
    share = consortium.share("lakeside", sent)
    first = sent.contributions[0]
    other = consortium.contribute(first.body.organization, sent.context)
    assert other.body.ciphertexts != first.body.ciphertexts
    swapped = with_(sent, contributions=(other, *sent.contributions[1:]))
    assert refusal(consortium, swapped) is Reason.CHARGE_MISMATCH
    with pytest.raises(InvalidInput, match="another attempt or cohort"):
        share_signature_check(share, agreement=consortium.agreement, cohort=swapped.cohort())


def test_signing_again_gives_the_same_bytes(consortium):
    """RFC 6979: a site that lost its envelope and kept its body resends what it sent."""
    first = consortium.contribute("summit", consortium.context())
    assert consortium.identities["summit"].sign(first.body) == first


# Bits of the transcript, flipped one by one.


@pytest.fixture(scope="module")
def released(consortium) -> Transcript:
    transcript = charged(consortium, consortium.transcript())
    shares = tuple(consortium.share(name, transcript) for name in CAST[:3])
    transcript = with_(transcript, shares=shares)
    release, _ = release_make(transcript, agreement=consortium.agreement, state=consortium.state)
    return with_(transcript, release=release)


def whole_check(consortium, transcript: Transcript) -> None:
    agreement = consortium.agreement
    cohort = transcript_check(transcript, agreement=agreement)
    charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
    release_check(transcript, agreement=agreement, state=consortium.state)


def test_an_unchanged_transcript_holds(consortium, released):
    whole_check(consortium, Transcript.parse(released.canonical()))


def test_a_flipped_bit_of_a_transcript_is_noticed(consortium, released):
    content = released.canonical()
    rng = random.Random(20)
    refused = 0
    for bit in rng.sample(range(8 * len(content)), FLIPS):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            transcript = Transcript.parse(bytes(flipped))
            if transcript == released:  # 1e-7 and 1E-7 are one number
                continue
            whole_check(consortium, transcript)
        except DomainError:
            refused += 1
        else:
            pytest.fail(f"bit {bit}: {content[bit // 8 - 40 : bit // 8 + 40]!r} may change")
    assert refused >= FLIPS - 5


# Two key epochs.


@pytest.fixture(scope="module")
def rotated(consortium):
    """The same sites' next key, and their shares of it."""
    roster = Roster(
        consortium="test",
        sites=tuple(
            RosterSite(
                organization=name,
                public_key=consortium.identities[name].public_key,
                encryption_key=encode_bytes(sealing_key_of(consortium.encryption[name])),
            )
            for name in CAST
        ),
    )
    epoch, sealed = ceremony(roster, number=2, threshold_of=3, max_colluding=1, bits=TEST_KEY_BITS)
    return epoch, sealed


def test_a_contribution_under_another_epochs_key(consortium, rotated):
    epoch, _ = rotated
    context = consortium.context()
    mixed = contribution_make(
        agreement=JobAgreement(with_(consortium.spec, key_epoch=epoch.digest()), epoch),
        context=context,
        identity=consortium.identities["summit"],
        gradient=consortium.gradients["summit"],
    )
    transcript = consortium.transcript(context)
    rows = [c if c.body.organization != "summit" else mixed for c in transcript.contributions]
    mixed_in = with_(transcript, contributions=tuple(rows))
    assert refusal(consortium, mixed_in) is Reason.PROOF_INVALID


def test_a_job_is_never_checked_against_another_epoch(consortium, rotated):
    epoch, _ = rotated
    with pytest.raises(Refused) as caught:
        JobAgreement(consortium.spec, epoch)
    assert caught.value.reason is Reason.KEY_UNKNOWN


def test_a_share_made_with_another_epochs_share(consortium, rotated):
    epoch, sealed = rotated
    mine = next(s for s in sealed if s.organization == "summit")
    with pytest.raises(InvalidInput, match="not this one"):
        open_share(mine, consortium.epoch, consortium.encryption["summit"])
    transcript = consortium.transcript()
    options = {"identity": consortium.identities["summit"]}
    share = open_share(mine, epoch, consortium.encryption["summit"])
    product = product_of(transcript, agreement=consortium.agreement)
    with pytest.raises((ProofInvalid, InvalidInput)):
        signed = share_make(transcript, agreement=consortium.agreement, share=share, **options)
        share_check(
            signed, agreement=consortium.agreement, cohort=transcript.cohort(), product=product
        )
