"""docs/develop/errors.md lists every error a user can meet, with its status."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from federated.errors import DomainError
from federated.wire.round import Reason

ROOT = Path(__file__).parents[2]
NOT_IMPORTED = re.compile(r"__main__|migrations|gunicorn_config|\.demo\.|management")
ROW = re.compile(r"^\| `(?P<code>[a-z0-9_]+)` \| (?P<status>\d{3}) \| (?P<retry>yes|no) \|", re.M)


def every_error() -> dict[str, type[DomainError]]:
    for package in ("federated", "apps", "portal"):
        root = importlib.import_module(package)
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            # Running a module is not importing it, and migrations raise nothing of ours.
            if not re.search(
                r"__main__|migrations|gunicorn_config|\.demo\.|management", found.name
            ):
                importlib.import_module(found.name)
    known: dict[str, type[DomainError]] = {}
    waiting = [DomainError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.split(".")[0] in ("federated", "apps", "portal"):
            known.setdefault(kind.code, kind)
    return known


@pytest.fixture(scope="module")
def errors() -> dict[str, type[DomainError]]:
    return every_error()


@pytest.fixture(scope="module")
def listed() -> dict[str, tuple[int, bool]]:
    text = (ROOT / "docs" / "develop" / "errors.md").read_text()
    return {m["code"]: (int(m["status"]), m["retry"] == "yes") for m in ROW.finditer(text)}


def test_every_error_is_listed_and_no_other(errors, listed):
    assert set(listed) == set(errors)


def test_status_and_retry_are_the_code_s(errors, listed):
    actual = {code: (kind.status, kind.retryable) for code, kind in errors.items()}
    assert listed == actual


def test_every_reason_of_a_refusal_is_listed() -> None:
    text = (ROOT / "docs" / "develop" / "errors.md").read_text()
    section = text.split("## Refusals of sites")[1]
    assert set(re.findall(r"`([a-z_]+)`", section)) == {"refused", *Reason}
