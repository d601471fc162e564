"""Data dictionaries: public, registered once under the dataset's name."""

from __future__ import annotations

from tests.training.world import DICTIONARY, World


def test_registered_once_and_read_by_all(world: World) -> None:
    first = world["northwind"].post("dictionaries", DICTIONARY)
    again = world["summit"].post("dictionaries", DICTIONARY)
    assert (first.status_code, again.status_code) == (201, 200)
    told = world["harbor"].get("dictionaries/ward").json()
    assert type(DICTIONARY).parse(told) == DICTIONARY
    listed = world["harbor"].get("dictionaries").json()["dictionaries"]
    assert [row["name"] for row in listed] == ["ward"]


def test_a_name_stands_for_one_dictionary(world: World) -> None:
    world["northwind"].post("dictionaries", DICTIONARY)
    other = DICTIONARY.model_copy(update={"nominal_records": 7})
    answer = world["northwind"].post("dictionaries", other)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_absent(world: World) -> None:
    assert world["northwind"].get("dictionaries/nothing").status_code == 404


def test_bad_bounds(world: World) -> None:
    body = DICTIONARY.canonical().replace(b'"lower":-1', b'"lower":5', 1)
    answer = world["northwind"].post("dictionaries", body)
    assert answer.status_code == 422
    assert "lower must be below upper" in answer.json()["detail"]
