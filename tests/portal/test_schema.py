"""The OpenAPI description is whole, and every operation says how it fails."""

from __future__ import annotations

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

from apps.common.schema import PROBLEMS


@pytest.fixture(scope="module")
def description() -> dict:
    with GENERATOR_STATS.silence():
        return SchemaGenerator().get_schema(request=None, public=True)


def test_every_operation_lists_its_problems(description):
    operations = [
        operation
        for methods in description["paths"].values()
        for name, operation in methods.items()
        if name in {"get", "post", "put", "patch", "delete"}
    ]
    assert len(operations) > 3
    for operation in operations:
        assert set(PROBLEMS) <= set(operation["responses"]), operation["operationId"]
    problem = operations[0]["responses"]["404"]["content"]["application/problem+json"]
    assert problem["schema"]["$ref"].endswith("/Problem")


def test_who_may_call_is_described(description):
    schemes = description["components"]["securitySchemes"]
    assert schemes["siteCertificate"]["type"] == "mutualTLS"
    assert {"siteCertificate": []} in description["paths"]["/api/site"]["get"]["security"]
    assert "security" not in description["paths"]["/api/join"]["post"]


@pytest.mark.django_db
def test_it_is_served(client):
    response = client.get("/api/schema")
    assert response.status_code == 200
    assert b"/api/join" in response.content
