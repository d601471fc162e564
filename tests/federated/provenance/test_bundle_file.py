"""Files that are no bundle, cut bundles and huge ones: one clear error, and bounded memory."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.provenance.bundle import BundleInvalid, load_bundle
from federated.provenance.verify import verify_bundle
from federated.verify.campaigns import campaign_checks
from federated.verify.rounds import round_checks
from federated.wire.base import canonical
from tests.federated.provenance.big_bundle import big_bundle_write
from tests.federated.provenance.small_bundle import small_bundle, small_bundle_bytes

MEGABYTE = 2**20
PEAK = """
import re, sys
from pathlib import Path
from federated.command.root import main
for path in sys.argv[1:]:
    try:
        main(["verify", path])
    except SystemExit as end:
        print("exit", end.code)
print("peak", int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""
"""ru_maxrss would do anywhere, but begins at what the parent held when it forked."""

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["logs", "events", "sections", "jobs", "anchors", "attempts", "digest"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def verified_peak(*paths: Path) -> tuple[list[str], int, str]:
    """What `federated verify` said of each file, in one process, and its peak in megabytes."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, paths)], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    codes = [line for line in lines if line.startswith("exit ")]
    return codes, int(lines[-1].split()[1]), done.stderr


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole, path = small_bundle_bytes(), tmp_path / "bundle.json"
    random_ = random.Random(1)
    for length in {0, 1, 2, len(whole) - 1, *random_.sample(range(len(whole)), 200)}:
        path.write_bytes(whole[:length])
        with pytest.raises(BundleInvalid):
            verify_bundle(path, checks=[round_checks])


@given(value=_JSON)
@settings(max_examples=200, deadline=None)
def test_any_other_json_is_refused(value: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "random.json"
    path.write_bytes(canonical(value) + b"\n")
    with pytest.raises(BundleInvalid):
        load_bundle(path)


@given(value=_JSON, place=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_json_anywhere_in_a_bundle_is_a_failure_and_never_a_traceback(
    value: object, place: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw = small_bundle()
    holders = list(_holders(raw))
    holder, key = holders[place % len(holders)]
    before, holder[key] = holder[key], value
    if before == value:
        return
    content = canonical(raw)
    raw["digest"] = hashlib.sha256(content).hexdigest()
    path = tmp_path_factory.getbasetemp() / "spliced.json"
    path.write_bytes(canonical(raw) + b"\n")
    try:
        verify_bundle(path, checks=[round_checks, campaign_checks])
    except BundleInvalid as error:
        assert "\n" not in error.message


def _holders(value):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, dict | list):
            yield from _holders(item)


def test_a_file_read_in_parts_says_what_the_dictionary_says(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(small_bundle_bytes())
    filed = load_bundle(path)
    assert filed.content_digest() == filed.digest
    whole = json.loads(small_bundle_bytes())
    checks = [round_checks, campaign_checks]
    assert verify_bundle(filed, checks=checks) == verify_bundle(whole, checks=checks)


def test_a_part_in_another_spelling_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(small_bundle_bytes().replace(b'"index":1,', b'"index":1e0,', 1))
    with pytest.raises(BundleInvalid, match=r"logs\.0\.events\.1 is not in canonical form"):
        verify_bundle(path)
    path.write_bytes(small_bundle_bytes().replace(b'"round":2,', b'"round": 2,', 1))
    failures = verify_bundle(path, checks=[round_checks]).failures
    assert any("jobs.0.attempts.1 is not in canonical form" in each.detail for each in failures)


@on_linux
def test_an_honest_file_takes_the_memory_of_a_part(tmp_path: Path) -> None:
    size = big_bundle_write(tmp_path / "big.json", events=4000)
    assert size > 64 * MEGABYTE
    codes, peak, errors = verified_peak(tmp_path / "big.json")
    assert codes == ["exit 0"], errors
    assert peak < 160


HOSTILE: dict[str, tuple[bytes, bytes, int]] = {
    "nothing but zeros": (b"", b"\0", MEGABYTE),
    "one string": (b'{"created_at":"', b"a", MEGABYTE),
    "one event of one string": (b'{"logs":[{"events":[{"canonical":"', b"a", MEGABYTE),
    "lists in lists": (b"", b"[", MEGABYTE),
    "events of nothing": (b'{"logs":[{"events":[', b"{},", 40 * MEGABYTE),
    "one attempt of many numbers": (
        b'{"sections":{"jobs":[{"attempts":[{"approvals":[',
        b"1,",
        8 * MEGABYTE,
    ),
    "a frame of many numbers": (b'{"anchors":[', b"1,", 8 * MEGABYTE),
}
"""What each begins with, what follows over and over for so many bytes; then a gap to 1 GB."""


@on_linux
def test_hostile_files_of_a_gigabyte_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    paths = []
    for number, (head, body, length) in enumerate(HOSTILE.values()):
        path = tmp_path / f"{number}.json"
        path.write_bytes(head + body * (length // len(body)))
        os.truncate(path, 2**30)
        paths.append(path)
    codes, peak, errors = verified_peak(*paths)
    assert codes == ["exit 1"] * len(HOSTILE)
    assert len(errors.splitlines()) == len(HOSTILE)
    assert all("[bundle_invalid]" in line for line in errors.splitlines())
    assert peak < 300


@pytest.mark.skipif("BIG_BUNDLE" not in os.environ, reason="a gigabyte: BIG_BUNDLE=1 to run it")
def test_an_honest_gigabyte_verifies_in_half_of_one(tmp_path: Path) -> None:
    assert big_bundle_write(tmp_path / "big.json", events=64_000) > 2**30
    codes, peak, errors = verified_peak(tmp_path / "big.json")
    assert codes == ["exit 0"], errors
    assert peak < 500


def test_a_part_that_is_nested_deeply_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    whole = small_bundle_bytes()
    begin = b'"attempts":[{'
    at = whole.index(begin) + len(begin)
    path = tmp_path / "bundle.json"
    # Where a library has raised the recursion limit, parsing so many would end the process.
    path.write_bytes(whole[:at] + b'"a":' + b"[" * 80_000 + b"]" * 80_000 + b"," + whole[at:])
    with pytest.raises(BundleInvalid, match="nested deeper than 64"):
        load_bundle(path)
