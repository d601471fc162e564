"""The verifier recomputes every attempt of a job record, and names what was changed."""

from __future__ import annotations

import json

import pytest

from federated.protocol.kinds.training import contribution_make
from federated.provenance.bundle import Bundle
from federated.verify.rounds import round_checks
from federated.wire.base import decode_bytes, encode_bytes
from federated.wire.record import JobRecord
from federated.wire.round import Release, Transcript
from tests.federated.protocol.conftest import CAST, make_consortium, with_
from tests.federated.provenance.small_bundle import small_record


@pytest.fixture(scope="module")
def record() -> JobRecord:
    return small_record()


def failed(raw: dict) -> list[str]:
    bundle = Bundle.model_construct(logs=[], sections={"jobs": [raw]})
    # No log is given here, so the checks that events name the digests cannot pass.
    logged = ("in the log", "reproducibility")
    return [
        f"{check.name}: {check.detail}"
        for check in round_checks(bundle)
        if check.status == "failed" and not check.name.endswith(logged)
    ]


def test_an_honest_record_passes(record):
    assert failed(record.dump()) == []


def test_a_digest_that_no_event_names_is_said(record):
    bundle = Bundle.model_construct(logs=[], sections={"jobs": [record.dump()]})
    missing = [check for check in round_checks(bundle) if check.name.endswith("in the log")]
    assert len(missing) == 2
    assert all("no event names" in check.detail for check in missing)


def edit_sum(raw):
    raw["attempts"][0]["release"]["values"][0] += 1


def edit_state(raw):
    raw["attempts"][1]["release"]["state"] = "0" * 64


def edit_noise(raw):
    for attempt in raw["attempts"]:
        attempt["spec"]["body"]["privacy"]["noise_sigma"] /= 2


def drop_receipt(raw):
    raw["attempts"][0]["receipts"].pop()


def drop_approval(raw):
    raw["attempts"][0]["approvals"].pop()


def drop_contribution(raw):
    raw["attempts"][0]["contributions"].pop()


def swap_shares(raw):
    first, second = raw["attempts"][0]["shares"][:2]
    first["body"]["partials"], second["body"]["partials"] = (
        second["body"]["partials"],
        first["body"]["partials"],
    )


def drop_round(raw):
    raw["attempts"].pop(0)


def change_initial_state(raw):
    state = bytearray(decode_bytes(raw["initial_state"]))
    state[-1] ^= 1
    raw["initial_state"] = encode_bytes(bytes(state))


def disagree(raw):
    raw["verdicts"][0]["body"]["agrees"] = False


@pytest.mark.parametrize(
    "edit",
    [
        edit_sum,
        edit_state,
        edit_noise,
        drop_receipt,
        drop_approval,
        drop_contribution,
        swap_shares,
        drop_round,
        change_initial_state,
        disagree,
    ],
    ids=lambda edit: edit.__name__,
)
def test_an_edited_record_fails(record, edit):
    raw = json.loads(json.dumps(record.dump()))
    edit(raw)
    assert failed(raw)


def test_a_record_that_is_none_is_one_failed_check(record):
    assert failed({"key_epoch": 3})


def test_of_a_masked_job_the_shares_are_checked_and_the_sum_is_said_to_be_skipped():
    consortium = make_consortium(aggregation="masked")
    contributions = tuple(
        contribution_make(
            agreement=consortium.agreement,
            context=consortium.context(),
            identity=consortium.identities[name],
            gradient=consortium.gradients[name],
            sink=bytearray().extend,
        )
        for name in CAST
    )
    transcript = Transcript(
        spec=consortium.signed_spec,
        approvals=consortium.approvals,
        context=consortium.context(),
        contributions=contributions,
    )
    cohort = transcript.cohort()
    receipts = tuple(consortium.receipt(name, transcript) for name in CAST)
    shares = tuple(consortium.share(name, transcript) for name in CAST[:3])
    release = Release(
        context=cohort.context, cohort=cohort.digest(), values=(), state="1" * 64, sum="2" * 64
    )
    whole = with_(transcript, receipts=receipts, shares=shares, release=release)
    raw = JobRecord(
        key_epoch=consortium.epoch,
        initial_state=encode_bytes(consortium.state.to_bytes()),
        attempts=(whole,),
    ).dump()
    assert failed(raw) == []
    told = round_checks(Bundle.model_construct(logs=[], sections={"jobs": [raw]}))
    assert [c.name.split()[-1] for c in told if c.status == "skipped"] == [
        "release",
        "reproducibility",
    ]
    swap_shares(raw)
    assert failed(raw)
