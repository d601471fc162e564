"""Ports of the embedded services."""

from __future__ import annotations

from pathlib import Path

from portal.up import state
from portal.up.state import port_choose


def test_no_outgoing_connection_can_take_a_port_that_was_chosen():
    first = int(state.EPHEMERAL.read_text().split()[0])
    for _ in range(50):
        assert state.PORTS_FROM <= port_choose(set()) < first


def test_a_range_from_low_on_or_an_unknown_one_still_gives_a_port(monkeypatch, tmp_path: Path):
    low = tmp_path / "range"
    low.write_text("1024\t65535\n")
    for file in (low, tmp_path / "missing"):
        monkeypatch.setattr(state, "EPHEMERAL", file)
        assert state.PORTS_FROM <= port_choose(set()) < 65_536


def test_a_port_that_is_taken_already_is_not_chosen(monkeypatch):
    monkeypatch.setattr(state.secrets, "randbelow", lambda _, draws=iter((1, 2)): next(draws))
    assert port_choose({state.PORTS_FROM + 1}) == state.PORTS_FROM + 2
