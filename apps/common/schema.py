"""The OpenAPI description: every operation lists the problems it may answer with."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

from apps.common.errors import PROBLEM_TYPE

PROBLEMS = {
    "401": "No known credential.",
    "403": "Known, but not allowed.",
    "404": "Absent, or another organization's.",
    "405": "The method is not allowed here.",
    "406": "No representation that the client accepts.",
    "409": "The state does not allow it.",
    "413": "Over a size limit.",
    "415": "The content type is not accepted.",
    "422": "A shape, value or field is not valid.",
    "500": "An error of the portal's own.",
    "503": "Not available now; try again.",
}


class Problem(serializers.Serializer):  # type: ignore[type-arg]
    """RFC 9457 problem details."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    retryable = serializers.BooleanField()
    fields = serializers.DictField(required=False)  # type: ignore[assignment]


class SiteScheme(OpenApiAuthenticationExtension):
    """A site's client certificate."""

    target_class = "apps.common.permissions.SiteAuthentication"
    name = "siteCertificate"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "mutualTLS", "description": "issued by the consortium's CA"}


class Schema(AutoSchema):
    def _get_response_bodies(
        self, direction: Literal["request", "response"] = "response"
    ) -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status, description in PROBLEMS.items():
            if status not in bodies:
                bodies[status] = self._get_response_for_code(
                    OpenApiResponse(Problem, description), status, [PROBLEM_TYPE]
                )
        return bodies
