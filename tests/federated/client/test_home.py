"""A site's folder: what is kept first stays, and one agent runs in it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from federated.protocol.address import Attempt

from federated.errors import Conflict, InvalidInput, NotFound
from federated.files import read_optional, write_durably, write_once
from federated.site.folder import AgentRuns, SiteHome
from federated.wire.round import Contribution, RoundContext
from tests.federated.client.authority import Authority, write_private
from tests.federated.protocol.conftest import Consortium

AT = Attempt("00000000-0000-4000-8000-000000000001", 3, 2)


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    return SiteHome.create(tmp_path / "site")


def test_the_folder_is_private(home: SiteHome) -> None:
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700


def test_a_folder_that_joined_is_not_joined_again(home: SiteHome) -> None:
    write_private(home.pem, b"credentials")
    with pytest.raises(Conflict, match="joined already"):
        SiteHome.create(home.path)


def test_credentials_of_any_name_lead_to_their_home(home: SiteHome) -> None:
    write_private(home.path / "cert.pem", Authority().admit("northwind"))
    found = SiteHome.of(home.path / "cert.pem")
    assert found.path == home.path
    assert found.credentials.organization == "northwind"


def test_no_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="federated join"):
        SiteHome.of(tmp_path / "none" / "cert.pem")


@pytest.mark.parametrize("job_id", ["../../etc", "", "x", AT.job_id.upper().replace("1", "A")])
def test_a_job_id_that_is_no_uuid_names_no_folder(home: SiteHome, job_id: str) -> None:
    with pytest.raises(InvalidInput, match="must be a UUID"):
        home.job(job_id)


def test_one_agent_holds_the_home(home: SiteHome) -> None:
    assert not home.agent_runs()
    with home.lock():
        assert home.agent_runs()
        with pytest.raises(AgentRuns), home.lock():
            pass
    assert not home.agent_runs()


def test_the_first_signed_bytes_of_a_name_are_kept(home: SiteHome, consortium: Consortium) -> None:
    folder = home.job(AT.job_id)
    context = consortium.context()
    first = consortium.contribute("northwind", context)
    second = consortium.contribute("northwind", context)
    assert first != second
    name = AT.file("contribution")
    assert folder.signed_keep(name, first) == first
    assert folder.signed_keep(name, second) == first
    assert folder.signed(Contribution, name) == first
    assert folder.signed(Contribution, Attempt(AT.job_id, 3, 1).file("contribution")) is None


def test_a_context_is_kept_as_it_was_seen_first(home: SiteHome, consortium: Consortium) -> None:
    folder = home.job(AT.job_id)
    one, other = consortium.context(), consortium.context(checkpoint="1" * 64)
    assert folder.message_keep("context", one) == one
    assert folder.message_keep("context", other) == one
    assert folder.message(RoundContext, "context") == one


def test_another_spec_of_an_approved_job_is_refused(home: SiteHome, consortium: Consortium) -> None:
    folder = home.job(AT.job_id)
    folder.spec_keep(consortium.spec)
    assert folder.spec_keep(consortium.spec).digest() == consortium.spec.digest()
    changed = consortium.spec.model_copy(update={"round_seconds": 7})
    with pytest.raises(Conflict, match="another spec"):
        folder.spec_keep(changed)


def test_old_states_go_and_the_initial_one_stays(home: SiteHome) -> None:
    folder = home.job(AT.job_id)
    assert folder.verified_round() is None
    for round in range(5):
        folder.state_keep(round, [bytes([round])])
    assert folder.verified_round() == 4
    kept = [number for number in range(5) if folder.state(number) is not None]
    assert kept == [0, 3, 4]


def test_the_curve_has_one_point_a_round_in_order(home: SiteHome) -> None:
    folder = home.job(AT.job_id)
    for round, auc in ((2, 0.7), (1, None), (2, 0.8)):
        folder.curve_add({"round": round, "auc": auc, "rows": 9})
    assert [(p["round"], p["auc"]) for p in folder.curve()] == [(1, None), (2, 0.8)]


def test_a_key_share_is_kept_private(home: SiteHome, consortium: Consortium) -> None:
    digest = consortium.epoch.digest()
    assert home.share(digest) is None
    home.epoch_folder(digest).share_keep(consortium.shares["northwind"])
    home.epoch_folder(digest).epoch_keep(consortium.epoch)
    path = home.epoch_folder(digest).path / "share.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert home.share(digest) == consortium.shares["northwind"]
    assert home.epoch(digest) == consortium.epoch


def test_writes_leave_nothing_aside(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        write_durably(tmp_path / "a", content)
        assert write_once(tmp_path / "b", content) == b"one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    assert read_optional(tmp_path / "a") == b"two"
    assert read_optional(tmp_path / "c") is None


def test_local_data_is_bound_by_path_alone(home: SiteHome, tmp_path: Path) -> None:
    folder = home.job(AT.job_id)
    folder.bind(tmp_path / "rows.csv")
    assert folder.binding() == tmp_path / "rows.csv"
    assert json.loads((folder.path / "binding.json").read_bytes()) == {
        "path": str(tmp_path / "rows.csv")
    }
