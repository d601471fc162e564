"""docs/reference is what ``make docs`` writes now."""

from __future__ import annotations

import click

from tests.docs import reference


def test_the_command_line_s_reference_is_current() -> None:
    assert (reference.FOLDER / "cli.md").read_text() == reference.cli(), "run: make docs"


def test_the_api_s_reference_is_current() -> None:
    text = reference.api(reference.described())
    assert (reference.FOLDER / "api.md").read_text() == text, "run: make docs"


def test_commands_below_groups_are_walked() -> None:
    group = click.Group("a", commands={"b": click.Group("b", commands={"c": click.Command("c")})})
    assert [path for path, _ in reference.commands(group, ("a",))] == [
        ("a",),
        ("a", "b"),
        ("a", "b", "c"),
    ]


def test_an_operation_says_what_it_takes_and_answers() -> None:
    schema = {
        "paths": {
            "/api/jobs/{id}": {
                "post": {
                    "summary": "Send ``it``",
                    "parameters": [
                        {"name": "id", "in": "path", "required": True},
                        {"name": "as", "in": "query", "schema": {"type": "string"}},
                    ],
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/x/Signed"}}}
                    },
                    "responses": {
                        "201": {"content": {"text/csv": {"schema": {}}}},
                        "404": {"description": "absent"},
                    },
                }
            }
        }
    }
    text = reference.api(schema)
    assert "### `POST /api/jobs/{id}`\n\nSend `it`\n" in text
    assert text.endswith(
        "- `as`: string in the query\n"
        "- Request: `application/json` of `Signed`\n"
        "- Answer 201: `text/csv`\n"
    )
