"""`federated verify` says how many witnesses, bound to pinned site keys, cosigned up to where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from federated.site.bundle_checks import site_checks

from federated.command.main import main
from federated.errors import InvalidInput
from federated.provenance.bundle import Bundle
from federated.provenance.checkpoint import (
    Checkpoint,
    VerifierKey,
    parse_checkpoint,
    sign_checkpoint,
    split_note,
)
from federated.provenance.cosignature import CosignerKey, cosign, witness_name
from federated.provenance.verify import Check
from federated.site.folder import About, SiteHome
from federated.site.witness import Head, Witness
from federated.verify.witnesses import witness_checks
from tests import second_verifier
from tests.federated.client.authority import Authority, write_private
from tests.federated.protocol.conftest import CAST
from tests.federated.provenance.small_bundle import (
    KEY,
    ORIGIN,
    TIME,
    WITNESSES,
    small_bundle,
    small_bundle_bytes,
)


def found(raw: dict, *keys: str) -> list[Check]:
    return list(witness_checks(keys)(Bundle.model_validate(raw)))


def one(raw: dict, *keys: str) -> Check:
    *_, check = found(raw, *keys)
    return check


def test_enough_witnesses_make_a_log_final() -> None:
    check = one(small_bundle())
    size = parse_checkpoint(small_bundle()["logs"][0]["checkpoints"][2]).size
    assert check.status == "ok"
    assert "cosigned by 4 of 4 witnesses" in check.detail
    assert f"final up to size {size}: {size} of {size} events" in check.detail
    log = small_bundle()["logs"][0]
    witnesses = second_verifier.check_witnesses(small_bundle()["sections"])
    assert second_verifier.final_size(log, witnesses, 4) == size


def without(raw: dict, *names: str) -> dict:
    """The bundle as if these witnesses had been away."""
    log = raw["logs"][0]
    for position, note in enumerate(log["checkpoints"]):
        kept = [
            line
            for line in note.splitlines(keepends=True)
            if not any(f"/{name}/witness" in line for name in names)
        ]
        log["checkpoints"][position] = "".join(kept)
    return raw


def test_one_that_is_away_lowers_what_is_final() -> None:
    check = one(without(small_bundle(), CAST[0]))
    assert (check.status, "final up to size 7" in check.detail) == ("ok", True)


def test_too_few_are_no_failure_and_not_final() -> None:
    check = one(without(small_bundle(), *CAST[:2]))
    assert check.status == "skipped"
    assert "2 of 4 witnesses" in check.detail and "3 make it final" in check.detail
    check = one(without(small_bundle(), *CAST))
    assert (check.status, "no witness" in check.detail) == ("skipped", True)


def test_a_witness_whose_site_key_no_spec_pins_does_not_count() -> None:
    raw = small_bundle()
    raw["sections"]["jobs"] = []
    checks = found(raw)
    assert [check.status for check in checks] == ["skipped"] * 5
    keys = [str(CosignerKey.of(witness_name(ORIGIN, name), WITNESSES[name])) for name in CAST]
    assert one(raw, *keys).status == "ok"


def test_a_key_that_was_known_before_must_be_the_bundles() -> None:
    other = CosignerKey.of(witness_name(ORIGIN, CAST[0]), Ed25519PrivateKey.generate())
    assert any(check.status == "failed" for check in found(small_bundle(), str(other)))
    with pytest.raises(InvalidInput):
        witness_checks(["x"])


def test_cosignatures_by_strangers_and_false_ones_fail() -> None:
    for line in (
        "— somebody/else AAAAAAAAAAAAAAAAAAAAAA==\n",
        cosign("another text\n", WITNESSES[CAST[3]], name=witness_name(ORIGIN, CAST[3]), time=TIME),
    ):
        raw = small_bundle()
        raw["logs"][0]["checkpoints"][2] += line
        assert one(raw).status == "failed"


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    made = SiteHome.create(tmp_path / CAST[0])
    write_private(made.pem, Authority().admit(CAST[0]))
    made.about_write(About(CAST[0], ORIGIN, "https://127.0.0.1:1"))
    return made


def remember(home: SiteHome, head: Checkpoint) -> None:
    witness = Witness(home)
    key = witness.log_key("consortium", str(VerifierKey.of(ORIGIN, KEY)))
    note = sign_checkpoint(head, KEY)
    witness.head_keep("consortium", Head(head, note))
    assert witness.head("consortium", key) is not None


def test_a_bundle_is_compared_with_what_the_site_itself_cosigned(
    home: SiteHome, tmp_path: Path
) -> None:
    file = tmp_path / "bundle.json"
    file.write_bytes(small_bundle_bytes())

    def verify() -> tuple[int, str]:
        done = CliRunner().invoke(main, ["verify", str(file), "--home", str(home.path)])
        return done.exit_code, done.stdout

    assert "cosigned nothing of it" in verify()[1]
    head = parse_checkpoint(small_bundle()["logs"][0]["checkpoints"][1])
    remember(home, head)
    code, shown = verify()
    assert (code, "1 checkpoints are those that this site cosigned" in shown) == (0, True)
    assert "cosigned by 4 of 4 witnesses" in shown


def test_a_bundle_of_a_fork_is_evidence(home: SiteHome) -> None:
    raw = small_bundle()
    head = parse_checkpoint(raw["logs"][0]["checkpoints"][0])
    remember(home, Checkpoint(head.origin, head.size, b"\x55" * 32))
    (check,) = site_checks(home)(Bundle.model_validate(raw))
    assert (check.status, "fork" in check.detail) == ("failed", True)
    (evidence,) = Witness(home).evidence()
    assert json.loads(evidence.canonical())["kind"] == "fork"
    assert split_note(evidence.shown)[0] == head.text()
