"""Masked vectors beside a bundle: fetched, verified and replayed from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from federated.command.root import main
from federated.errors import InvalidInput, NotFound
from federated.provenance.bundle import load_bundle
from federated.verify.replay import record_of, replay_job
from federated.verify.vectors import VectorFolder
from tests.federated.provenance.small_bundle import masked_bundle_bytes, masked_record


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.json"
    path.write_bytes(masked_bundle_bytes())
    return path


@pytest.fixture
def folder(tmp_path: Path, bundle: Path) -> VectorFolder:
    made = VectorFolder.create(tmp_path / "vectors")
    attempts = record_of(load_bundle(bundle)).attempts
    size, gone = made.fill(attempts, lambda transcript, digest: [masked_record()[1][digest]])
    assert (size, gone) == (2 * 4 * 16, [])
    return made


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def test_verify_with_and_without_the_vectors(bundle: Path, folder: VectorFolder) -> None:
    code, said = run("verify", bundle, "--vectors", folder.path)
    assert (code, said.count("sum of 4 masked vectors and server step recomputed")) == (0, 2)
    code, said = run("verify", bundle)
    assert (code, said.count("sum not checked: its masked vectors are not in a bundle")) == (0, 2)
    lost = masked_record()[0].attempts[0].contributions[1].body
    folder.file(lost.masked).unlink()
    code, said = run("verify", bundle, "--vectors", folder.path)
    assert code == 0
    assert f"sum not checked: the masked vectors of {lost.organization} are not in" in said
    assert "sum not checked: the state before it was not recomputed either" in said


def test_replay(bundle: Path, folder: VectorFolder, tmp_path: Path) -> None:
    done = replay_job(load_bundle(bundle), vectors=folder)
    assert done.state.digest() == masked_record()[0].attempts[-1].release.state
    model = tmp_path / "model.safetensors"
    code, said = run("replay", bundle, "-o", model, "--vectors", folder.path)
    assert (code, "2 rounds recomputed" in said, model.exists()) == (0, True, True)
    code, said = run("replay", bundle, "-o", model)
    assert (code, "federated bundle --vectors" in said) == (1, True)
    folder.file(masked_record()[0].attempts[0].contributions[0].body.masked).unlink()
    with pytest.raises(InvalidInput, match="is not in"):
        replay_job(load_bundle(bundle), vectors=folder)


def test_other_bytes_are_not_kept(bundle: Path, tmp_path: Path) -> None:
    made = VectorFolder.create(tmp_path / "vectors")
    with pytest.raises(InvalidInput, match="came with digest"):
        made.fill(record_of(load_bundle(bundle)).attempts, lambda transcript, digest: [b"other"])
    assert not list(made.path.iterdir())


def test_what_is_gone_is_named(bundle: Path, tmp_path: Path) -> None:
    def fetch(transcript: object, digest: str) -> list[bytes]:
        if digest == masked_record()[0].attempts[0].contributions[0].body.masked:
            raise NotFound("no such masked vector")
        return [masked_record()[1][digest]]

    made = VectorFolder.create(tmp_path / "vectors")
    size, gone = made.fill(record_of(load_bundle(bundle)).attempts, fetch)
    assert (size, gone) == (7 * 16, ["lakeside in round 1.1"])


def test_a_folder_that_is_not_there(bundle: Path, tmp_path: Path) -> None:
    code, said = run("verify", bundle, "--vectors", tmp_path / "nothing")
    assert (code, "no such folder" in said) == (1, True)
