"""Bundles that an earlier release exported verify and replay unchanged.

``tests/vectors/bundles`` holds them as they were exported: ``job`` and ``campaign`` by the portal,
the others in process. ``expected.json`` says how many checks of each held, and which model a
replay recomputes. A change of formats that these files do not survive is not a refactoring.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from federated.command.main import main
from tests import second_verifier

FOLDER = Path(__file__).parents[2] / "vectors" / "bundles"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def verify(name: str, *options: str) -> dict:
    vectors = FOLDER / name
    beside = ("--vectors", str(vectors)) if vectors.is_dir() else ()
    path = FOLDER / f"{name}.json"
    result = CliRunner().invoke(main, ["verify", str(path), "--json", *beside, *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_file_is_the_one_that_was_exported(name: str) -> None:
    content = (FOLDER / f"{name}.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == EXPECTED[name]["sha256"]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_check_that_held_holds(name: str) -> None:
    checks = verify(name)["checks"]
    assert [check for check in checks if check["status"] == "failed"] == []
    held = sum(check["status"] == "ok" for check in checks)
    assert held == EXPECTED[name]["held"]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_second_verifier_agrees(name: str) -> None:
    vectors = FOLDER / name
    beside = [str(vectors)] if vectors.is_dir() else []
    content = (FOLDER / f"{name}.json").read_bytes()
    second_verifier.verify(content, *map(Path, beside))


@pytest.mark.parametrize("name", sorted(n for n in EXPECTED if EXPECTED[n]["model"]))
def test_a_replay_recomputes_the_same_model(name: str, tmp_path: Path) -> None:
    vectors = FOLDER / name
    beside = ["--vectors", str(vectors)] if vectors.is_dir() else []
    path = tmp_path / "model"
    arguments = ["replay", str(FOLDER / f"{name}.json"), "-o", str(path), *beside]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    written = path.with_suffix(".safetensors").read_bytes()
    assert hashlib.sha256(written).hexdigest() == EXPECTED[name]["model"]
