"""The verifier recomputes every run of a campaign record, and names what was changed."""

from __future__ import annotations

import copy
import json

import pytest
from click.testing import CliRunner

from federated.command.root import main
from federated.provenance.bundle import Bundle
from federated.verify.campaigns import campaign_checks
from federated.wire.campaign import CampaignRecord
from federated.wire.round import Reason, Refusal, Verdict
from tests import second_verifier_campaigns
from tests.federated.protocol.campaign_world import make_campaign
from tests.federated.protocol.conftest import CAST, make_consortium, with_
from tests.federated.provenance.small_bundle import logged_bundle
from tests.second_verifier import Wrong


def verdicts(campaign, transcript, *, agrees=True):
    release = transcript.release
    return tuple(
        campaign.consortium.identities[name].sign(
            Verdict(
                context=release.context,
                cohort=release.cohort,
                release=release.digest(),
                organization=name,
                agrees=agrees,
                detail="" if agrees else "another mean",
            )
        )
        for name in CAST
    )


@pytest.fixture(scope="module")
def campaign():
    return make_campaign(make_consortium())


@pytest.fixture(scope="module")
def record(campaign) -> CampaignRecord:
    first = campaign.released()
    second = campaign.released(campaign.closed(campaign.context(run=2), members=CAST[1:]))
    abandoned = campaign.closed(campaign.context(run=3))
    refusal = campaign.consortium.identities["summit"].sign(
        Refusal(
            context=abandoned.context.digest(),
            cohort=abandoned.cohort().digest(),
            organization="summit",
            reason=Reason.NOISE_MISSING,
            detail="left out",
        )
    )
    return CampaignRecord(
        key_epoch=campaign.consortium.epoch,
        runs=(first, second, abandoned),
        verdicts=verdicts(campaign, first) + verdicts(campaign, second),
        refusals=(refusal,),
    )


def failed(raw: dict) -> list[str]:
    bundle = Bundle.model_construct(logs=[], sections={"campaigns": [raw]})
    return [
        f"{check.name}: {check.detail}"
        for check in campaign_checks(bundle)
        if check.status == "failed" and not check.name.endswith("in the log")
    ]


def test_an_honest_record_passes(record):
    assert failed(record.dump()) == []


def digests_of(record) -> list[str]:
    """All that a log must name of a record's released runs."""
    released = [run for run in record.runs if run.release is not None]
    rows = [
        signed
        for run in released
        for signed in (*run.submissions, *run.receipts, *run.noise, *run.shares)
    ]
    return [signed.digest() for signed in rows] + [run.release.digest() for run in released]


def test_a_whole_file_verifies_and_every_digest_is_in_its_log(record, tmp_path):
    named = digests_of(record)
    bundle = logged_bundle(named, sections={"campaigns": [record.dump()]})
    path = tmp_path / "campaign.json"
    bundle.write(path)
    result = CliRunner().invoke(main, ["verify", str(path), "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == 0, [c for c in told["checks"] if c["status"] == "failed"]
    names = [check["name"].split(" ", 2)[-1] for check in told["checks"]]
    for run in (1, 2):
        for kind in ("votes", "noise", "release", "in the log"):
            assert f"run {run} {kind}" in names
    # One digest that no event names.
    short = logged_bundle(named[1:], sections={"campaigns": [record.dump()]})
    short.write(path)
    result = CliRunner().invoke(main, ["verify", str(path)])
    assert result.exit_code == 1
    assert "no event names the submission of lakeside" in " ".join(result.stdout.split())


def second_opinion(raw: dict, named: list[str]) -> list[dict]:
    bundle = logged_bundle(named, sections={"campaigns": [raw]})
    return second_verifier_campaigns.verify(bundle.to_bytes())


def test_a_second_verifier_recomputes_the_same_releases(record):
    releases = second_opinion(record.dump(), digests_of(record))
    assert releases == [run.release.dump() for run in record.runs[:2]]


def test_a_second_verifier_recomputes_gaussian_campaigns():
    campaign = make_campaign(make_consortium(), noise="gaussian", delta=1e-6, epsilon=1.0)
    record = CampaignRecord(key_epoch=campaign.consortium.epoch, runs=(campaign.released(),))
    assert failed(record.dump()) == []
    assert len(second_opinion(record.dump(), digests_of(record))) == 1


def edit_slot(raw):
    raw["runs"][0]["release"]["metrics"][0]["slots"][0] += 1


def edit_mean(raw):
    raw["runs"][1]["release"]["metrics"][1]["statistics"]["mean"]["value"] += 1.0


def edit_count(raw):
    raw["runs"][1]["release"]["count"] = 4


def drop_noise(raw):
    raw["runs"][0]["noise"].pop()


def double_noise(raw):
    raw["runs"][0]["noise"].append(raw["runs"][0]["noise"][0])


def drop_receipt(raw):
    raw["runs"][0]["receipts"].pop()


def drop_approval(raw):
    raw["runs"][2]["approvals"].pop()


def drop_submission(raw):
    raw["runs"][0]["submissions"].pop()


def swap_votes(raw):
    raw["runs"][0]["submissions"][0]["body"]["votes"].reverse()


def swap_partials(raw):
    first, second = raw["runs"][0]["shares"][:2]
    first["body"]["partials"], second["body"]["partials"] = (
        second["body"]["partials"],
        first["body"]["partials"],
    )


def cheaper(raw):
    for run in raw["runs"]:
        run["spec"]["noise"]["epsilon"] = 9.0


def repeat_run(raw):
    raw["runs"].append(raw["runs"][0])


def another_key(raw):
    raw["key_epoch"]["number"] = 2


SECOND = (edit_slot, edit_mean, double_noise, drop_submission, swap_partials)
"""What the second verifier is shown too; it takes a second each."""


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (edit_slot, "run 1 release: latency_ms: the released sums differ"),
        (edit_mean, "run 2 release: throughput_ops: the statistics do not follow"),
        (edit_count, "run 2 release: the release's count is not that of the transcript"),
        (drop_noise, "noise_missing: 2 noise shares"),
        (double_noise, "noise_repeated: more than one noise share of lakeside"),
        (drop_receipt, "charge_missing: no charge by westbrook"),
        (drop_approval, "approval_missing: not approved by westbrook"),
        (drop_submission, "receipt of lakeside is for another attempt or cohort"),
        (swap_votes, "signature_invalid: submission of lakeside"),
        (swap_partials, "run 1 release"),
        (cheaper, "spec_changed"),
        (repeat_run, "runs: a run is given twice"),
        (another_key, "key epoch digest"),
    ],
)
def test_an_edit_is_named(record, edit, said):
    raw = copy.deepcopy(record.dump())
    edit(raw)
    assert any(said in line for line in failed(raw)), failed(raw)
    if edit in SECOND:
        with pytest.raises((Wrong, LookupError, ValueError)):
            second_opinion(raw, digests_of(record))


def test_a_verdict_against_fails(campaign, record):
    raw = with_(record, verdicts=verdicts(campaign, record.runs[0], agrees=False)).dump()
    assert any("lakeside: another mean" in line for line in failed(raw))


def test_a_statement_of_a_stranger_fails(record):
    raw = copy.deepcopy(record.dump())
    raw["refusals"][0]["body"]["organization"] = "harbor"
    assert any("harbor takes no part" in line for line in failed(raw))


def test_what_is_no_record_fails():
    assert failed({"runs": []}) and "key_epoch" in failed({"runs": []})[0]
    bundle = Bundle.model_construct(logs=[], sections={"campaigns": {}})
    assert [check.status for check in campaign_checks(bundle)] == ["failed"]
