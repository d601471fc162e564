"""The ``federated`` command lists its subcommands without importing them."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from federated.command.main import COMMANDS, main


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_line_in_the_list_is_the_commands_own(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=500) == COMMANDS[name][1]


def test_every_command_is_listed() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    assert all(f"\n  {name} " in shown for name in COMMANDS)


def test_an_unknown_command_is_refused() -> None:
    done = CliRunner().invoke(main, ["verfy"])
    assert done.exit_code == 2
    assert "No such command 'verfy'" in done.output


@pytest.mark.parametrize("arguments", [["--help"], ["verify", "--help"]])
def test_help_loads_no_arithmetic_and_no_network(arguments: list[str]) -> None:
    code = (
        "import sys; from federated.command.main import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "heavy = {'numpy', 'pydantic', 'httpx', 'cryptography', 'gmpy2', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
