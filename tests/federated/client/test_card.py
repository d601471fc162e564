"""`federated card`: from a verified bundle alone, as HTML and JSON; hostile names stay text."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from federated.card.card import FORMAT, bundle_card
from federated.card.card import card_make as card_of_sources
from federated.card.page import card_page
from federated.card.source import source_of, sources_of
from federated.command.main import main
from federated.errors import InvalidInput
from federated.provenance.bundle import Bundle
from federated.wire.job import JobSpec
from federated.wire.record import JobRecord
from tests.federated.provenance.small_bundle import (
    evaluation_bundle_bytes,
    evaluation_record,
    masked_record,
    organizations_record,
    small_bundle,
    small_bundle_bytes,
    small_record,
)


def card_make(record: JobRecord, *, evaluations: tuple[JobRecord, ...] = ()) -> dict[str, Any]:
    return card_of_sources(source_of(record), evaluations=sources_of(evaluations))


HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\u202e"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def one_line(done: Result) -> str:
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    return done.stderr


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "bundle.json"
    made.write_bytes(evaluation_bundle_bytes(with_training=True))
    return made


def test_a_card_has_what_the_record_shows() -> None:
    card = card_make(small_record(), evaluations=(evaluation_record(),))
    spec = small_record().attempts[0].spec.body
    assert card["format"] == FORMAT
    assert card["model"]["state"] == small_record().attempts[-1].release.state
    assert card["model"]["parameters"] == spec.model.parameters
    assert card["privacy"]["spent"]["coordinator"] == pytest.approx(1.0, abs=1e-3)
    assert card["privacy"]["spent"]["insiders"] > card["privacy"]["spent"]["coordinator"]
    assert [one["rounds"] for one in card["participants"]] == [2, 2, 2, 2]
    assert [one["reproducibility"] for one in card["rounds"]] == [
        made.digest() for made in small_record().reproducibility
    ]
    (software,) = card["software"]
    assert (software["first_round"], software["last_round"]) == (1, 2)
    (evaluation,) = card["evaluations"]
    assert {"auc", "accuracy"} <= evaluation["metrics"].keys()
    assert evaluation["metrics"]["auc"]["low"] < evaluation["metrics"]["auc"]["high"]
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_the_command_writes_a_page_and_json(path: Path, tmp_path: Path) -> None:
    done = run("card", path, "-o", tmp_path / "card.html")
    assert done.exit_code == 0, done.stderr
    page = (tmp_path / "card.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert not {"script", "img", "link", "a", "iframe"} & set(tags.seen)
    assert "Performance after round 2" in page and "AUC" in page
    told = run("card", path, "--json")
    card = json.loads(told.stdout)
    assert card_page(card) == page
    assert card["verification"]["held"] > 20
    assert any("trust" in one["name"] for one in card["verification"]["skipped"])
    assert card["logs"][0]["size"] > 0


def test_a_card_without_an_evaluation_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(small_bundle_bytes())
    card = json.loads(run("card", path, "--json").stdout)
    assert card["evaluations"] == []
    assert "No joint evaluation of this model is in the record." in card_page(card)


def test_an_evaluation_of_another_model_is_left_out() -> None:
    other = organizations_record("sgd")
    assert card_make(other, evaluations=(evaluation_record(),))["evaluations"] == []
    first = small_record()
    cut = first.model_copy(update={"attempts": first.attempts[:1]})
    # It evaluates what round 2 released, which this record does not hold.
    assert card_make(cut, evaluations=(evaluation_record(),))["evaluations"] == []


def test_there_is_no_card_of_what_does_not_verify(path: Path, tmp_path: Path) -> None:
    raw = small_bundle()
    raw["sections"]["jobs"][0]["reproducibility"][0]["software"]["python"] = "PyPy 9"
    Bundle.model_validate(raw).write(path)
    said = one_line(run("card", path, "-o", tmp_path / "card.html"))
    assert "does not verify" in said and "reproducibility" in said
    assert not (tmp_path / "card.html").exists()


def test_bad_input_is_one_line(path: Path, tmp_path: Path) -> None:
    assert "-o FILE" in one_line(run("card", path))
    assert "--job" in one_line(run("card", path, "--json", "--job", "another"))
    path.write_bytes(evaluation_bundle_bytes(with_training=False))
    assert "no job that trained" in one_line(run("card", path, "--json"))
    path.write_bytes(b"{}")
    assert "[bundle_invalid]" in one_line(run("card", path, "--json"))


def test_nothing_released_is_no_model() -> None:
    first = small_record().attempts[0].model_copy(update={"release": None})
    with pytest.raises(InvalidInput, match="released no round"):
        card_make(small_record().model_copy(update={"attempts": (first,)}))
    with pytest.raises(InvalidInput, match="no attempt"):
        card_make(small_record().model_copy(update={"attempts": ()}))


def replaced(value: object) -> object:
    """The card with every text turned hostile that others can choose, and every other one too."""
    if isinstance(value, dict):
        return {
            name: value[name] if name in ("kind", "initial") else replaced(value[name])
            for name in value
        }
    if isinstance(value, list):
        return [replaced(item) for item in value]
    return f"{value}{HOSTILE}" if isinstance(value, str) else value


def test_hostile_texts_stay_text() -> None:
    bundle = Bundle.model_validate_json(evaluation_bundle_bytes(with_training=True))
    honest = bundle_card(bundle)
    page = card_page(replaced(honest))
    tags, plain = Tags(), Tags()
    tags.feed(page)
    plain.feed(card_page(honest))
    assert tags.seen == plain.seen
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;") > 50


@pytest.mark.parametrize("kind", ["masked", "organizations"])
def test_public_seeds_are_told(kind: str) -> None:
    record: JobRecord = masked_record()[0] if kind == "masked" else organizations_record("adam")
    card = card_make(record)
    assert [one["round"] for one in card["seeds"]["rounds"]] == [1, 2]
    assert "Public seeds" in card_page(card)


def test_the_purpose_is_the_proposers() -> None:
    assert "not stated by the proposer" in card_page(card_make(small_record()))
    source = source_of(small_record())
    spec = JobSpec.parse(source.spec.dump() | {"purpose": "to plan beds <b>"})
    card = card_of_sources(replace(source, spec=spec))
    assert card["task"]["purpose"] == "to plan beds <b>"
    assert "to plan beds &lt;b&gt;" in card_page(card)


def test_an_unverified_card_says_so() -> None:
    assert "Not verified: " in card_page(card_make(small_record()))


def test_it_needs_neither_torch_nor_django(path: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from federated.command.main import main\n"
        f"arguments = ['card', {str(path)!r}, '-o', {str(tmp_path / 'c.html')!r}]\n"
        "main(arguments, standalone_mode=False)\n"
        "assert not {'torch', 'django', 'pandas', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
