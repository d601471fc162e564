"""Reproducibility records: made of a transcript, logged with the release, caught where they lie."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from federated.protocol.reproducibility import reproducibility_make
from federated.provenance.software import (
    LIBRARIES,
    software_differences,
    software_here,
    source_digest,
)
from federated.provenance.verify import verify_bundle
from federated.verify.rounds import round_checks
from federated.verify.vectors import VectorFolder
from federated.wire.record import JobRecord
from federated.wire.reproducibility import PublicSeeds, ReproducibilityRecord
from tests import second_verifier
from tests.federated.protocol.conftest import CAST
from tests.federated.provenance.small_bundle import (
    bundle_bytes,
    masked_record,
    organizations_record,
    small_bundle_bytes,
    small_consortium,
    small_record,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "reproducibility.json"


def with_record(record: JobRecord, number: int, **changes: object) -> JobRecord:
    made = list(record.reproducibility)
    made[number] = made[number].model_copy(update=changes)
    return record.model_copy(update={"reproducibility": tuple(made)})


def found(record: JobRecord) -> dict[str, str]:
    report = verify_bundle(json.loads(bundle_bytes(record)), checks=[round_checks])
    return {check.name: f"{check.status}: {check.detail}" for check in report.checks}


def test_a_record_has_every_public_input() -> None:
    attempt, made = small_record().attempts[1], small_record().reproducibility[1]
    spec = small_consortium().spec
    assert made.inputs.spec == spec.digest()
    assert made.inputs.state == small_record().attempts[0].release.state
    assert made.inputs.contributions == attempt.cohort().members
    assert made.state == attempt.release.state
    assert set(made.software.libraries) == set(LIBRARIES)
    assert "not installed" not in made.software.libraries.values()
    assert made.seeds == PublicSeeds()


def test_seeds_are_those_of_masks_and_minibatches() -> None:
    masked = [made.seeds.mask for made in masked_record()[0].reproducibility]
    assert None not in masked and len(set(masked)) == 2
    for made in organizations_record("sgd").reproducibility:
        assert sorted(made.seeds.minibatches) == sorted(CAST)
        assert len(set(made.seeds.minibatches.values())) == len(CAST)


@pytest.mark.parametrize("part", ["inputs", "seeds", "state", "round"])
def test_a_false_record_is_caught_even_where_the_log_names_it(part: str) -> None:
    made = small_record().reproducibility[1]
    lies = {
        "inputs": made.inputs.model_copy(update={"state": "0" * 64}),
        "seeds": PublicSeeds(mask="1" * 64),
        "state": "2" * 64,
        "round": 7,
    }
    forged = with_record(small_record(), 1, **{part: lies[part]})
    failures = [line for line in found(forged).items() if line[1].startswith("failed")]
    assert len(failures) == 1
    assert failures[0][0].endswith("round 2.1 reproducibility")
    assert part in failures[0][1]
    with pytest.raises(second_verifier.Wrong, match="not the transcript's"):
        second_verifier.verify(bundle_bytes(forged))


def test_releases_from_before_there_were_records_verify() -> None:
    old = small_record().model_copy(update={"reproducibility": ()})
    told = found(old)
    assert not any(line.startswith("failed") for line in told.values())
    assert sum(line == "skipped: released without a record" for line in told.values()) == 2
    second_verifier.verify(bundle_bytes(old))


def test_a_masked_jobs_records_need_no_vectors(tmp_path: Path) -> None:
    raw = json.loads(bundle_bytes(masked_record()[0]))
    checks = [partial(round_checks, vectors=VectorFolder(tmp_path))]
    told = verify_bundle(raw, checks=checks).checks
    assert [c.status for c in told if c.name.endswith("reproducibility")] == ["ok", "ok"]


def test_the_golden_record() -> None:
    golden = json.loads(VECTORS.read_text())
    record = ReproducibilityRecord.parse(golden["record"])
    assert record.canonical().decode() == golden["canonical"]
    assert record.digest() == golden["digest"]
    assert second_verifier.digest("reproducibility-record", golden["record"]) == golden["digest"]


def test_a_record_is_of_a_release() -> None:
    attempt = small_record().attempts[0].model_copy(update={"release": None})
    with pytest.raises(Exception, match="no release"):
        reproducibility_make(attempt, spec=small_consortium().spec, software=software_here())


def test_the_source_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.py").write_text("1")
    (tmp_path / "two.py").write_text("2")
    before = source_digest(tmp_path)
    (tmp_path / "two.pyc").write_text("compiled")
    assert source_digest(tmp_path) == before
    (tmp_path / "two.py").write_text("3")
    changed = source_digest(tmp_path)
    (tmp_path / "two.py").rename(tmp_path / "three.py")
    assert len({before, changed, source_digest(tmp_path)}) == 3


def test_differences_are_named() -> None:
    here = software_here()
    assert software_differences(here, here) == []
    other = here.model_copy(
        update={"source": "0" * 64, "libraries": here.libraries | {"numpy": "1.0"}}
    )
    lines = software_differences(other, here)
    assert lines == [
        f"source {'0' * 16}, here {here.source[:16]}",
        f"numpy 1.0, here {here.libraries['numpy']}",
    ]


def test_the_file_carries_them() -> None:
    raw = json.loads(small_bundle_bytes())
    assert len(raw["sections"]["jobs"][0]["reproducibility"]) == 2
