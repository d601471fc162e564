"""Two verifiers that share no code say the same of honest and of edited bundles."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from federated.provenance.bundle import Bundle
from federated.provenance.verify import verify_bundle
from federated.verify.parts import section_checks
from federated.verify.rounds import round_checks
from federated.verify.trust import trust_checks
from federated.verify.vectors import VectorFolder
from federated.verify.witnesses import witness_checks
from federated.wire.base import canonical
from tests import second_verifier
from tests.federated.provenance.small_bundle import (
    evaluation_bundle_bytes,
    evaluation_record,
    masked_bundle_bytes,
    masked_record,
    organizations_bundle_bytes,
    organizations_record,
    small_bundle,
    small_bundle_bytes,
    small_record,
)

ACCEPTED_OF_MALFORMED = (
    second_verifier.Wrong,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
)


def resealed(raw: dict) -> bytes:
    return Bundle.model_validate(raw).to_bytes()


def test_it_imports_nothing_of_the_project() -> None:
    tree = ast.parse(Path(second_verifier.__file__).read_text())
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert modules - set(sys.stdlib_module_names) == {"cryptography"}


def test_both_accept_an_honest_bundle_and_recompute_one_state(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(small_bundle_bytes())
    assert verify_bundle(path, checks=CHECKS).ok
    (state,) = second_verifier.verify(small_bundle_bytes())
    assert state.digest() == small_record().attempts[-1].release.state
    command = [sys.executable, second_verifier.__file__, str(path)]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_both_recompute_other_optimizers_and_whole_organizations(optimizer: str) -> None:
    raw = organizations_bundle_bytes(optimizer)
    assert verify_bundle(json.loads(raw), checks=[round_checks]).ok
    (state,) = second_verifier.verify(raw)
    assert state.digest() == organizations_record(optimizer).attempts[-1].release.state


@pytest.mark.parametrize("with_training", [True, False])
def test_both_recompute_a_joint_evaluation(with_training: bool) -> None:
    raw = evaluation_bundle_bytes(with_training=with_training)
    report = verify_bundle(json.loads(raw), checks=[round_checks])
    assert report.ok
    (linked,) = [check for check in report.checks if check.name.endswith("evaluated model")]
    assert linked.status == ("ok" if with_training else "skipped")
    state, *_ = second_verifier.verify(raw)
    assert state.digest() == evaluation_record().attempts[0].release.state
    assert state.digest() == small_record().attempts[-1].release.state


@pytest.mark.parametrize("change", ["bins", "counts", "state", "model"])
def test_both_refuse_a_joint_evaluation_that_was_edited(change: str) -> None:
    raw = json.loads(evaluation_bundle_bytes(with_training=True))
    evaluation, trained = raw["sections"]["jobs"]
    (attempt,) = evaluation["attempts"]
    if change == "bins":
        attempt["spec"]["body"]["strategy"]["bins"] = 6
    elif change == "counts":
        attempt["release"]["values"][0] += 256
    elif change == "state":
        attempt["release"]["state"] = "0" * 64
    else:  # the state of another round
        evaluation["initial_state"] = trained["initial_state"]
    del raw["digest"]
    assert not verify_bundle(raw, checks=[round_checks]).ok
    with pytest.raises(ACCEPTED_OF_MALFORMED):
        second_verifier.verify(resealed(raw))


def test_an_evaluation_of_a_model_that_its_job_did_not_release_is_found() -> None:
    raw = json.loads(evaluation_bundle_bytes(with_training=True))
    del raw["digest"]
    # Two rounds were released; of the bundle's job only the first is left.
    raw["sections"]["jobs"][1]["attempts"].pop()
    report = verify_bundle(raw, checks=[round_checks])
    failed = {check.name.rpartition(" ")[2]: check.detail for check in report.failures}
    assert "did not release this model" in failed["model"]


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    for digest, body in masked_record()[1].items():
        (tmp_path / f"{digest}.vector").write_bytes(body)
    return tmp_path


def test_both_recompute_a_masked_job_from_its_vectors(vectors: Path) -> None:
    raw = masked_bundle_bytes()
    report = verify_bundle(
        json.loads(raw), checks=[partial(round_checks, vectors=VectorFolder(vectors))]
    )
    assert report.ok
    rounds = [check for check in report.checks if " round " in check.name]
    assert {check.status for check in rounds} == {"ok"}
    (state,) = second_verifier.verify(raw, vectors)
    assert state.digest() == masked_record()[0].attempts[-1].release.state
    with pytest.raises(second_verifier.Wrong, match="needs the folder"):
        second_verifier.verify(raw)


@pytest.mark.parametrize("change", ["bytes", "sum", "order"])
def test_both_refuse_a_masked_job_that_was_edited(vectors: Path, change: str) -> None:
    raw = json.loads(masked_bundle_bytes())
    attempts = raw["sections"]["jobs"][0]["attempts"]
    if change == "bytes":
        file = vectors / f"{attempts[0]['contributions'][1]['body']['masked']}.vector"
        file.write_bytes(file.read_bytes()[::-1])
    elif change == "sum":
        attempts[1]["release"]["sum"] = "0" * 64
    else:
        attempts.reverse()
    del raw["digest"]
    checks = [partial(round_checks, vectors=VectorFolder(vectors))]
    assert not verify_bundle(raw, checks=checks).ok
    with pytest.raises(ACCEPTED_OF_MALFORMED):
        second_verifier.verify(resealed(raw), vectors)


CHECKS = [section_checks, round_checks, witness_checks(), trust_checks()]
EDITS = {
    "event": lambda b: b["logs"][0]["events"][3].update(
        canonical=b["logs"][0]["events"][3]["canonical"].replace("closed", "opened")
    ),
    "leaf hash": lambda b: b["logs"][0]["events"][3].update(leaf_hash="0" * 64),
    "row": lambda b: b["logs"][0]["events"][3]["row"].update(tag="federation:round:opened"),
    "proof": lambda b: b["logs"][0]["events"][3]["proof"].reverse(),
    "consistency": lambda b: b["logs"][0]["consistency"][0].reverse(),
    "missing event": lambda b: b["logs"][0]["events"].pop(),
    "checkpoint order": lambda b: b["logs"][0]["checkpoints"].reverse(),
    "cosignature": lambda b: b["logs"][0]["checkpoints"].__setitem__(
        2, b["logs"][0]["checkpoints"][2].replace("northwind/witness", "lakeside/witness")
    ),
    "witness key": lambda b: b["sections"]["witnesses"][0].update(
        body=b["sections"]["witnesses"][0]["body"]
        | {"key": b["sections"]["witnesses"][1]["body"]["key"]}
    ),
    "witness left out": lambda b: b["sections"]["witnesses"].pop(0),
    "section": lambda b: b["sections"].update(models=[]),
    "certificate": lambda b: b["sections"]["certificates"].append(b["sections"]["certificates"][0]),
    "anchor root": lambda b: b["anchors"][0].update(root="0" * 64),
    "anchor size": lambda b: b["anchors"][0].update(size=5),
    "values": lambda b: first(b)["release"]["values"].reverse(),
    "state": lambda b: first(b)["release"].update(state="0" * 64),
    "approval": lambda b: first(b)["approvals"].pop(),
    "receipt": lambda b: first(b)["receipts"].pop(),
    "share": lambda b: first(b)["shares"].pop(),
    "contribution": lambda b: first(b)["contributions"].pop(),
    "cost": lambda b: first(b)["receipts"][0]["body"]["cost"].update(rho=0.5),
    "noise": lambda b: first(b)["spec"]["body"]["privacy"].update(noise_sigma=9.0),
    "partials": lambda b: first(b)["shares"][0]["body"].update(
        partials=first(b)["shares"][1]["body"]["partials"]
    ),
    "signer": lambda b: first(b)["contributions"][0].update(signer="0" * 64),
    "verdict": lambda b: b["sections"]["jobs"][0]["verdicts"][0]["body"].update(agrees=False),
    "software": lambda b: job(b)["reproducibility"][1]["software"]["libraries"].update(numpy="0.1"),
    "missing record": lambda b: job(b)["reproducibility"].pop(),
    "repeated record": lambda b: job(b)["reproducibility"].append(job(b)["reproducibility"][1]),
    "order of records": lambda b: job(b)["reproducibility"].reverse(),
    "order of attempts": lambda b: b["sections"]["jobs"][0]["attempts"].reverse(),
}


def job(bundle: dict) -> dict:
    return bundle["sections"]["jobs"][0]


def first(bundle: dict) -> dict:
    return job(bundle)["attempts"][0]


@pytest.mark.parametrize("edit", EDITS)
def test_both_refuse_an_edited_bundle(edit: str) -> None:
    raw = small_bundle()
    EDITS[edit](raw)
    assert not verify_bundle(raw, checks=CHECKS).ok
    with pytest.raises(ACCEPTED_OF_MALFORMED):
        second_verifier.verify(resealed(raw))


def test_the_file_is_one_spelling() -> None:
    raw = json.loads(small_bundle_bytes())
    with pytest.raises(second_verifier.Wrong, match="canonical"):
        second_verifier.verify(json.dumps(raw).encode())


@pytest.mark.parametrize(
    "value",
    [
        0.1,
        1.0,
        123456.0,
        1e-7,
        1.5e-6,
        1e21,
        1e20,
        1e-5,
        5e-324,
        1.7976931348623157e308,
        -2.5,
        3e22,
    ],
)
def test_its_numbers_are_those_of_rfc_8785(value: float) -> None:
    assert second_verifier.number(value).encode() == canonical(value)
