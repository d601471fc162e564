"""`federated verify`, `replay`, `bundle`: one clear line for what is wrong, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federated.command.root import main
from federated.errors import InvalidInput
from federated.provenance.bundle import Bundle
from federated.provenance.checkpoint import VerifierKey
from federated.provenance.software import software_here
from federated.training.model import read_model
from federated.verify.replay import replay_job
from federated.wire.base import canonical
from federated.wire.round import Release
from tests.federated.provenance.small_bundle import small_bundle, small_bundle_bytes, small_record


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "bundle.json"
    made.write_bytes(small_bundle_bytes())
    return made


def test_an_honest_file_passes(path: Path) -> None:
    done = run("verify", path, "--json")
    assert (done.exit_code, json.loads(done.stdout)["ok"]) == (0, True)


BAD = {
    "empty": b"",
    "truncated": small_bundle_bytes()[:5000],
    "no json": b"\x89PNG\r\n\x1a\n",
    "no utf-8": b'{"format": "\xff"}',
    "foreign": b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}\n',
    "a list": b"[1, 2, 3]\n",
    "deep": b"[" * 100_000,
    "spelled otherwise": json.dumps(json.loads(small_bundle_bytes())).encode(),
    "no digest": json.dumps(small_bundle()).encode(),
}


@pytest.mark.parametrize("command", ["verify", "replay"])
@pytest.mark.parametrize("kind", BAD)
def test_no_bundle_is_one_line(path: Path, kind: str, command: str) -> None:
    path.write_bytes(BAD[kind])
    done = run(command, path, *(["-o", path.with_name("m")] if command == "replay" else []))
    assert (done.exit_code, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "[bundle_invalid]" in done.stderr


def test_a_foreign_key_is_a_failed_check(path: Path) -> None:
    key = small_bundle()["logs"][0]["verifier_key"]
    assert run("verify", path, "--log-key", key).exit_code == 0
    done = run("verify", path, "--log-key", "consortium+00000000+AAAA")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "--log-key: " in done.stderr
    assert "--witness-key: " in run("verify", path, "--witness-key", "x").stderr
    stranger = str(VerifierKey.of("another", Ed25519PrivateKey.generate()))
    done = run("verify", path, "--log-key", stranger)
    assert (done.exit_code, done.stdout.count("FAILED")) == (1, 1)
    assert "the bundle has no such log" in done.stdout
    own = str(VerifierKey.of("consortium", Ed25519PrivateKey.generate()))
    done = run("verify", path, "--log-key", own)
    assert (done.exit_code, "the bundle's key is not the pinned key" in done.stdout) == (1, True)
    done = run("verify", path, "--log-key", own, "--log-key", key)
    assert (done.exit_code, "two keys of one log" in done.stderr) == (1, True)


def test_the_verdict_counts_what_was_not_checked(path: Path) -> None:
    checks = json.loads(run("verify", path, "--json").stdout)["checks"]
    skipped = [check["name"] for check in checks if check["status"] == "skipped"]
    assert skipped == ["log consortium: key", "trust", "chain"]
    last = run("verify", path).stdout.splitlines()[-1]
    assert last == f"{len(checks) - 3} checks hold, 3 could not be made"


@pytest.mark.parametrize("option", ["", "--trust", "--home"])
def test_what_cannot_be_read_is_one_line(path: Path, option: str) -> None:
    folder = path.parent
    for given in (folder, folder / "none"):
        done = run("verify", *([path, option, given] if option else [given]))
        assert (done.exit_code, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1


EVIL = "\x1b[2J\x1b[32m\u202e\x9ball checks hold\x1b[0m\r\nall checks hold:b:[/]"


@pytest.mark.parametrize(
    "write",
    [
        lambda raw: raw["logs"][0].update(origin=EVIL),
        lambda raw: raw["logs"][0]["events"][0].update(id=EVIL),
        lambda raw: raw["sections"].update({EVIL: []}),
        lambda raw: raw.update({EVIL: []}),
    ],
)
def test_a_bundle_writes_no_verdict_of_its_own(path: Path, write: Callable[[dict], None]) -> None:
    raw = json.loads(path.read_bytes())
    write(raw)
    path.write_bytes(bundle_file(raw))
    done = run("verify", path)
    assert done.exit_code == 1
    told = done.stdout + done.stderr
    assert "\\x1b[2J" in told and ":b:[/]" in told
    assert not {each for each in told if not each.isprintable()} - {"\n"}
    assert not any(line.startswith("all checks hold") for line in told.splitlines())


def bundle_file(raw: dict) -> bytes:
    content = {name: value for name, value in raw.items() if name != "digest"}
    return canonical(content | {"digest": sha256(canonical(content)).hexdigest()}) + b"\n"


def test_a_replay_gives_the_released_model_bit_for_bit(path: Path, tmp_path: Path) -> None:
    done = run("replay", path, "-o", tmp_path / "model")
    assert done.exit_code == 0, done.stderr
    replayed = replay_job(Bundle.model_validate(small_bundle()))
    assert replayed.state.digest() == small_record().attempts[-1].release.state
    spec, parameters = read_model(tmp_path / "model.safetensors")
    assert spec == replayed.spec.model
    assert parameters.tobytes() == replayed.parameters.tobytes()
    first = (tmp_path / "model.safetensors").read_bytes()
    run("replay", path, "-o", tmp_path / "again")
    assert (tmp_path / "again.safetensors").read_bytes() == first


def test_a_replay_of_an_edited_record_is_refused(path: Path, tmp_path: Path) -> None:
    raw = small_bundle()
    raw["sections"]["jobs"][0]["attempts"][1]["release"]["values"][0] += 1
    Bundle.model_validate(raw).write(path)
    done = run("replay", path, "-o", tmp_path / "model")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "released sum differs" in done.stderr
    assert not (tmp_path / "model.safetensors").exists()


def with_software(raw: dict, number: int, **changes: object) -> None:
    raw["sections"]["jobs"][0]["reproducibility"][number]["software"].update(changes)


def test_a_replay_says_under_what_the_model_was_made(path: Path, tmp_path: Path) -> None:
    told = run("replay", path, "-o", tmp_path / "model").stdout.replace("\n", " ")
    assert f"numpy {software_here().libraries['numpy']}" in told
    assert "differs" not in told and "every bit agrees" in told
    raw = small_bundle()
    with_software(raw, 1, python="PyPy 9.9")
    Bundle.model_validate(raw).write(path)
    told = run("replay", path, "-o", tmp_path / "model").stdout
    assert told.count("made under") == 2
    assert "differs: Python PyPy 9.9, here CPython" in told and "every bit agrees" in told


def test_bits_that_differ_come_with_what_differs_of_the_software(
    path: Path, tmp_path: Path
) -> None:
    raw = small_bundle()
    with_software(raw, 1, python="PyPy 9.9")
    record = raw["sections"]["jobs"][0]["reproducibility"][1]
    release = raw["sections"]["jobs"][0]["attempts"][1]["release"]
    release["state"] = record["state"] = "0" * 64
    record["release"] = Release.parse(release).digest()
    Bundle.model_validate(raw).write(path)
    done = run("replay", path, "-o", tmp_path / "model")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "round 2.1: the released state differs" in done.stderr
    assert "Python PyPy 9.9" in done.stderr


def test_a_replay_names_the_jobs_there_are() -> None:
    bundle = Bundle.model_validate(small_bundle())
    known = small_record().attempts[0].spec.body.job_id
    with pytest.raises(InvalidInput, match=known):
        replay_job(bundle, "another")


def test_a_folder_that_is_not_there_is_one_line(path: Path, tmp_path: Path) -> None:
    done = run("replay", path, "-o", tmp_path / "none" / "model")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "cannot be written" in done.stderr


def test_a_bundle_needs_a_home(tmp_path: Path) -> None:
    done = run("bundle", "x", "--home", tmp_path / "none", "-o", tmp_path / "b.json")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "[not_found]" in done.stderr
