"""What an evil coordinator or site can show to a trustee, each refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from federated.crypto import signatures
from federated.errors import InvalidInput, ProofInvalid, SignatureInvalid
from federated.protocol.checks import charges_check
from federated.protocol.cost import check_spec_privacy, job_cost, round_cost
from federated.protocol.identity import SiteIdentity, verify_signed
from federated.protocol.keys import ceremony, open_share, public_key_of
from federated.protocol.kinds.training import contribution_make
from federated.protocol.refused import Refused
from federated.protocol.share import product_of, share_check
from federated.protocol.transcript import transcript_check
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.job import Cost, JobSpec
from federated.wire.key import Roster, RosterSite
from federated.wire.round import Reason, Transcript
from tests.site_keys import sealing_key_of

from .conftest import CAST, OUTSIDER, make_consortium, with_


def refusal(consortium, transcript) -> Reason:
    with pytest.raises(Refused) as caught:
        transcript_check(transcript, agreement=consortium.agreement)
    return caught.value.reason


def resigned(consortium, signed, **changes):
    """The body changed and signed again by its own organization."""
    return consortium.identities[signed.body.organization].sign(with_(signed.body, **changes))


def scaled(consortium, text: str, factor: int) -> str:
    key = public_key_of(consortium.epoch)
    value = pow(key.decode_ciphertext(decode_bytes(text)), factor, key.n_squared)
    return encode_bytes(key.encode_ciphertext(value))


def replace(transcript: Transcript, position: int, signed) -> Transcript:
    rows = list(transcript.contributions)
    rows[position] = signed
    return with_(transcript, contributions=tuple(rows))


def test_an_honest_transcript_passes(consortium):
    transcript = consortium.transcript()
    assert transcript_check(transcript, agreement=consortium.agreement) == transcript.cohort()


def test_one_organization_alone(consortium):
    transcript = consortium.transcript(members=("summit",))
    assert refusal(consortium, transcript) is Reason.COHORT_BELOW_MINIMUM


def test_a_cohort_below_the_minimum(consortium):
    transcript = consortium.transcript(members=CAST[:2])
    assert refusal(consortium, transcript) is Reason.COHORT_BELOW_MINIMUM


def test_a_spec_with_a_raised_epsilon(consortium):
    raised = with_(consortium.spec, privacy=with_(consortium.spec.privacy, epsilon=8.0))
    transcript = with_(
        consortium.transcript(), spec=consortium.identities["northwind"].sign(raised)
    )
    with pytest.raises(Refused, match="epsilon 8.0 instead of 1.0") as caught:
        transcript_check(transcript, agreement=consortium.agreement)
    assert caught.value.reason is Reason.SPEC_CHANGED


def test_a_spec_that_the_proposer_did_not_sign(consortium):
    forged = with_(consortium.signed_spec, signature=consortium.approvals[0].signature)
    transcript = with_(consortium.transcript(), spec=forged)
    assert refusal(consortium, transcript) is Reason.SIGNATURE_INVALID


def test_a_missing_approval(consortium):
    transcript = with_(consortium.transcript(), approvals=consortium.approvals[1:])
    assert refusal(consortium, transcript) is Reason.APPROVAL_MISSING


def test_an_approval_of_a_smaller_cost(consortium):
    cheap = Cost(dataset="ward", unit="record", rho=job_cost(consortium.spec).rho / 2)
    first = consortium.approvals[0]
    changed = resigned(consortium, first, cost=cheap)
    transcript = with_(consortium.transcript(), approvals=(changed, *consortium.approvals[1:]))
    assert refusal(consortium, transcript) is Reason.APPROVAL_MISSING


def test_another_key_epoch(consortium):
    transcript = consortium.transcript(consortium.context(key_epoch="a" * 64))
    assert refusal(consortium, transcript) is Reason.KEY_UNKNOWN


def test_a_round_beyond_the_spec(consortium):
    transcript = consortium.transcript(consortium.context(round=4))
    assert refusal(consortium, transcript) is Reason.CONTEXT_MIXED


def test_another_job(consortium):
    transcript = consortium.transcript(
        consortium.context(job_id="00000000-0000-4000-8000-000000000000")
    )
    assert refusal(consortium, transcript) is Reason.JOB_UNKNOWN


@pytest.mark.parametrize("change", [{"attempt": 2}, {"round": 2}])
def test_a_contribution_replayed_from_another_attempt(consortium, change):
    old = consortium.contribute("summit", consortium.context(**change))
    transcript = replace(consortium.transcript(), CAST.index("summit"), old)
    assert refusal(consortium, transcript) is Reason.CONTEXT_MIXED


def test_a_replay_that_is_bound_and_signed_again_has_no_proof(consortium):
    old = consortium.contribute("summit", consortium.context(attempt=2))
    context = consortium.context()
    again = resigned(consortium, old, context=context.digest())
    transcript = replace(consortium.transcript(context), CAST.index("summit"), again)
    assert refusal(consortium, transcript) is Reason.PROOF_INVALID


@pytest.mark.parametrize("factor", [2, 200, -1])
def test_another_sites_ciphertext_scaled(consortium, factor):
    transcript = consortium.transcript()
    victim = transcript.contributions[0]
    thief = transcript.contributions[2]
    stolen = tuple(scaled(consortium, text, factor) for text in victim.body.ciphertexts)
    changed = resigned(consortium, thief, ciphertexts=stolen, proof=victim.body.proof)
    assert refusal(consortium, replace(transcript, 2, changed)) is Reason.PROOF_INVALID


def test_another_sites_ciphertext_copied_with_its_proof(consortium):
    transcript = consortium.transcript()
    victim, thief = transcript.contributions[0], transcript.contributions[2]
    changed = resigned(
        consortium, thief, ciphertexts=victim.body.ciphertexts, proof=victim.body.proof
    )
    assert refusal(consortium, replace(transcript, 2, changed)) is Reason.PROOF_INVALID


def test_a_minted_cohort_member(consortium):
    minted = SiteIdentity(OUTSIDER, signatures.generate_private_key())
    context = consortium.context()
    body = with_(consortium.contribute("summit", context).body, organization=OUTSIDER)
    transcript = consortium.transcript(context)
    transcript = with_(transcript, contributions=(*transcript.contributions[:3], minted.sign(body)))
    assert refusal(consortium, transcript) is Reason.MEMBER_UNKNOWN


def test_a_member_whose_key_was_swapped(consortium):
    swapped = SiteIdentity("summit", signatures.generate_private_key())
    context = consortium.context()
    body = consortium.contribute("summit", context).body
    transcript = replace(consortium.transcript(context), CAST.index("summit"), swapped.sign(body))
    assert refusal(consortium, transcript) is Reason.SIGNATURE_INVALID


def test_two_contributions_of_one_organization(consortium):
    context = consortium.context()
    transcript = consortium.transcript(context)
    transcript = with_(
        transcript,
        contributions=(*transcript.contributions, consortium.contribute("summit", context)),
    )
    assert refusal(consortium, transcript) is Reason.MEMBER_REPEATED


def test_a_repetition_never_has_the_honest_cohorts_digest(consortium):
    transcript = consortium.transcript()
    twice = with_(
        transcript, contributions=(*transcript.contributions, transcript.contributions[0])
    )
    assert twice.cohort().digest() != transcript.cohort().digest()


@pytest.mark.parametrize("name", CAST)
def test_a_missing_charge_names_the_member(consortium, name):
    transcript = consortium.transcript()
    receipts = [consortium.receipt(n, transcript) for n in CAST if n != name]
    with pytest.raises(Refused, match=name) as caught:
        charges_check(receipts, agreement=consortium.agreement, cohort=transcript.cohort())
    assert caught.value.reason is Reason.CHARGE_MISSING


def test_a_receipt_for_another_cohort(consortium):
    smaller = consortium.transcript(members=CAST[:3])
    whole = consortium.transcript()
    receipts = [consortium.receipt(name, smaller) for name in CAST[:3]]
    with pytest.raises(Refused) as caught:
        charges_check(receipts, agreement=consortium.agreement, cohort=whole.cohort())
    assert caught.value.reason is Reason.CHARGE_MISMATCH


def test_a_receipt_of_a_smaller_charge(consortium):
    transcript = consortium.transcript()
    receipts = [consortium.receipt(name, transcript) for name in CAST]
    cheap = Cost(dataset="ward", unit="record", rho=round_cost(consortium.spec).rho / 2)
    receipts[0] = resigned(consortium, receipts[0], cost=cheap)
    with pytest.raises(Refused) as caught:
        charges_check(receipts, agreement=consortium.agreement, cohort=transcript.cohort())
    assert caught.value.reason is Reason.CHARGE_MISMATCH


def test_a_wrong_share(consortium):
    transcript = consortium.transcript()
    share = consortium.share("summit", transcript)
    product = product_of(transcript, agreement=consortium.agreement)
    wrong = resigned(
        consortium,
        share,
        partials=tuple(scaled(consortium, text, 2) for text in share.body.partials),
    )
    with pytest.raises(ProofInvalid):
        share_check(
            wrong, agreement=consortium.agreement, cohort=transcript.cohort(), product=product
        )


def test_a_share_of_a_product_that_leaves_one_out(consortium):
    whole = consortium.transcript()
    fewer = with_(whole, contributions=whole.contributions[:3])
    share = consortium.share("summit", fewer)
    presented = resigned(consortium, share, cohort=whole.cohort().digest())
    product = product_of(whole, agreement=consortium.agreement)
    with pytest.raises(ProofInvalid):
        share_check(
            presented, agreement=consortium.agreement, cohort=whole.cohort(), product=product
        )


def test_a_share_by_somebody_who_is_not_the_trustee(consortium):
    transcript = consortium.transcript()
    share = consortium.share("summit", transcript)
    product = product_of(transcript, agreement=consortium.agreement)
    posing = consortium.identities["lakeside"].sign(share.body)
    with pytest.raises(SignatureInvalid):
        share_check(
            posing, agreement=consortium.agreement, cohort=transcript.cohort(), product=product
        )


@pytest.mark.parametrize("bit", range(0, 512, 37))
def test_a_flipped_bit_in_a_signature(consortium, bit):
    signed = consortium.approvals[0]
    raw = bytearray(decode_bytes(signed.signature))
    raw[bit // 8] ^= 1 << (bit % 8)
    flipped = with_(signed, signature=encode_bytes(bytes(raw)))
    with pytest.raises(SignatureInvalid):
        verify_signed(flipped, consortium.identities[signed.body.organization].public_key)


@pytest.mark.parametrize("bit", range(0, 2300, 229))
def test_a_flipped_bit_in_a_proof(consortium, bit):
    transcript = consortium.transcript()
    signed = transcript.contributions[1]
    raw = bytearray(decode_bytes(signed.body.proof))
    raw[bit // 8] ^= 1 << (bit % 8)
    changed = resigned(consortium, signed, proof=encode_bytes(bytes(raw)))
    assert refusal(consortium, replace(transcript, 1, changed)) is Reason.PROOF_INVALID


def test_a_signature_does_not_pass_for_another_message_type(consortium):
    transcript = consortium.transcript()
    receipt = consortium.receipt("summit", transcript)
    approval = consortium.approvals[CAST.index("summit")]
    posing = with_(approval, signature=receipt.signature)
    with pytest.raises(SignatureInvalid):
        verify_signed(posing, consortium.identities["summit"].public_key)


def test_a_share_sealed_to_another_site_does_not_open(consortium):
    other = make_consortium()
    roster = Roster(
        consortium="test",
        sites=tuple(
            RosterSite(
                organization=trustee.organization,
                public_key=trustee.public_key,
                encryption_key=encode_bytes(sealing_key_of(other.encryption[trustee.organization])),
            )
            for trustee in other.epoch.trustees
        ),
    )
    epoch, sealed = ceremony(roster, number=2, threshold_of=3, max_colluding=1, bits=768)
    for envelope_ in sealed:
        wrong = next(n for n in CAST if n != envelope_.organization)
        with pytest.raises(InvalidInput):
            open_share(envelope_, epoch, other.encryption[wrong])


def test_a_spec_whose_noise_does_not_reach_its_epsilon(consortium):
    quieter = with_(
        consortium.spec,
        privacy=with_(consortium.spec.privacy, noise_sigma=consortium.spec.privacy.noise_sigma / 2),
    )
    check_spec_privacy(consortium.spec)
    with pytest.raises(InvalidInput, match="the spec claims 1.0"):
        check_spec_privacy(quieter)


def test_a_gradient_of_the_wrong_shape(consortium):
    for gradient in (np.zeros(3, dtype=np.int64), np.zeros(4), np.full(4, np.nan)):
        with pytest.raises(InvalidInput, match="are allowed"):
            contribution_make(
                agreement=consortium.agreement,
                context=consortium.context(),
                identity=consortium.identities["summit"],
                gradient=gradient,
            )


def test_messages_survive_the_wire(consortium):
    transcript = consortium.transcript()
    assert Transcript.parse(transcript.canonical()) == transcript
    parsed = Signed[JobSpec].parse(consortium.signed_spec.canonical())
    assert parsed == consortium.signed_spec
    assert parsed.body.digest() == consortium.spec.digest()
