"""The OpenAPI description: every operation lists the problems it may answer with."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import serializers

from apps.common.errors import PROBLEM_TYPE

PROBLEMS = {
    "400": "The request is malformed.",
    "401": "No known credential.",
    "403": "Known, but not allowed.",
    "404": "Absent, or another organization's.",
    "405": "The method is not allowed here.",
    "409": "The state does not allow it.",
    "413": "Over a size limit.",
    "415": "The content type is not accepted.",
    "422": "A shape, value or field is not valid.",
    "503": "Not available now; try again.",
}


class Schema(AutoSchema):
    def _get_response_bodies(self, direction: str = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        problem = inline_serializer(
            "Problem",
            {
                "type": serializers.CharField(),
                "title": serializers.CharField(),
                "status": serializers.IntegerField(),
                "detail": serializers.CharField(),
                "code": serializers.CharField(),
                "retryable": serializers.BooleanField(),
                "fields": serializers.DictField(required=False),
            },
        )
        for status, description in PROBLEMS.items():
            if status not in bodies:
                bodies[status] = self._get_response_for_code(
                    OpenApiResponse(problem, description), status, [PROBLEM_TYPE]
                )
        return bodies
