"""Teaches drf-spectacular the wire messages: their JSON schema is the API's."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.plumbing import ResolvedComponent

REF = "#/components/schemas/{model}"


class MessageExtension(OpenApiSerializerExtension):
    target_class = "federated.wire.base.Message"
    match_subclasses = True

    def get_name(self, auto_schema: Any, direction: str) -> str:
        return re.sub(r"[^A-Za-z0-9]+", "", self.target.__name__)

    def map_serializer(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        schema: dict[str, Any] = self.target.model_json_schema(ref_template=REF)
        for name, part in schema.pop("$defs", {}).items():
            component = ResolvedComponent(
                name=name, type=ResolvedComponent.SCHEMA, object=name, schema=part
            )
            auto_schema.registry.register_on_missing(component)
        return schema
