from django.contrib import admin

from apps.common.admin import ReadOnlyAdmin
from apps.organizations.models import JoinToken, Organization, Site, SiteCertificate


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyAdmin):
    list_display = ["slug", "name", "state", "created_at"]
    list_filter = ["state"]
    search_fields = ["slug", "name"]


@admin.register(Site)
class SiteAdmin(ReadOnlyAdmin):
    list_display = ["organization", "name", "state", "last_seen_at"]
    list_filter = ["state"]
    list_select_related = ["organization"]
    exclude = ["encryption_key"]


@admin.register(SiteCertificate)
class SiteCertificateAdmin(ReadOnlyAdmin):
    list_display = ["fingerprint", "site", "not_after", "revoked_at"]
    list_select_related = ["site"]
    search_fields = ["fingerprint", "serial"]


@admin.register(JoinToken)
class JoinTokenAdmin(ReadOnlyAdmin):
    list_display = ["organization", "site_name", "expires_at", "used_at"]
    list_select_related = ["organization"]
    exclude = ["secret_hash"]
