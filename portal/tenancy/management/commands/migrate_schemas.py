"""``migrate_schemas``, and then the grants that the new tables need."""

from __future__ import annotations

from typing import Any

from django_tenants.management.commands import migrate_schemas
from django_tenants.utils import get_public_schema_name, get_tenant_model

from portal.tenancy.grants import grants_apply


class Command(migrate_schemas.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        public = get_public_schema_name()
        if self.schema_name and self.schema_name != public:
            schemas = [self.schema_name]
        elif self.sync_tenant:
            schemas = list(get_tenant_model().objects.values_list("schema_name", flat=True))
        else:
            schemas = []
        grants_apply(public=bool(self.sync_public), schemas=schemas)
