"""A state directory of another release is refused before anything in it is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from portal.config import Config
from portal.up.__main__ import main
from portal.up.errors import StateVersion
from portal.up.state_version import VERSION, VERSION_FILE, version_check, version_stamp
from portal.up.supervisor import Supervisor


def contents(state: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(state)): path.read_bytes() if path.is_file() else None
        for path in sorted(state.rglob("*"))
    }


@pytest.fixture(params=["postgres", "valkey", "chain", "tls", "blobs"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What a release before the version file left; with managed services, not all of it."""
    state = tmp_path / "state"
    (state / request.param).mkdir(parents=True)
    (state / request.param / "kept").write_text("data")
    (state / "services.json").write_text('{"postgres": {"port": 5432}}\n')
    return state


def test_an_older_directory_is_refused_and_left_as_it_is(older: Path) -> None:
    before = contents(older)
    with pytest.raises(StateVersion) as refused:
        Supervisor(Config.load(state=older)).run()
    assert contents(older) == before
    for said in (str(older), "no version", f"reads version {VERSION}", "--state"):
        assert said in refused.value.message, refused.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{VERSION + 1}\n", f"has version {VERSION + 1}"),
        (f"{VERSION - 1}\n", f"has version {VERSION - 1}"),
        ("", "has no version that can be read"),
        ("two\n", "has no version that can be read"),
        ("9" * 5000, "has no version that can be read"),
    ],
)
def test_another_version_is_refused_by_its_number(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / VERSION_FILE).write_text(text)
    before = contents(tmp_path)
    outcome = CliRunner().invoke(main, ["--state", str(tmp_path)])
    assert outcome.exit_code == 1
    told = " ".join(outcome.output.split())
    assert "Cannot start" in told
    assert said in told
    assert contents(tmp_path) == before


@pytest.mark.parametrize("other", [None, "bench", "anvil", "up.lock", "secrets", "log"])
def test_a_directory_without_a_portal_s_state_is_a_new_one(
    tmp_path: Path, other: str | None
) -> None:
    if other is not None:
        (tmp_path / other).mkdir()
    version_check(tmp_path)
    version_stamp(tmp_path)
    assert (tmp_path / VERSION_FILE).read_text() == f"{VERSION}\n"
    (tmp_path / "postgres").mkdir()
    version_check(tmp_path)
