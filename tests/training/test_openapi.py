"""The API's description holds every route of jobs and rounds, with the wire messages' schemas."""

from __future__ import annotations

from typing import Any

import yaml


def test_every_route_and_message_is_described(db: None, client: Any) -> None:
    told = yaml.safe_load(client.get("/api/schema").content)
    attempt = "/api/jobs/{job_id}/rounds/{number}/{attempt}"
    for path in ("inbox", "roster", "keys/current", "jobs", "ledger", "log", "dictionaries"):
        assert f"/api/{path}" in told["paths"], path
    sent = told["paths"][f"{attempt}/contribution"]["post"]
    reference = sent["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = told["components"]["schemas"][reference.rsplit("/", 1)[1]]
    assert set(schema["required"]) == {"body", "signer", "signature"}
    body = schema["properties"]["body"]["$ref"].rsplit("/", 1)[1]
    assert "ciphertexts" in told["components"]["schemas"][body]["properties"]
    assert {"200", "201", "404", "409", "413", "422"} <= set(sent["responses"])


def test_no_reference_hangs(db: None, client: Any) -> None:
    content = client.get("/api/schema").content.decode()
    told = yaml.safe_load(content)

    def references(part: Any) -> Any:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    known = {f"#/components/schemas/{name}" for name in told["components"]["schemas"]}
    assert set(references(told)) <= known
