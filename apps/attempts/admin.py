from django.contrib import admin

from apps.attempts.models import Attempt, AttemptMessage, Participant
from apps.common.admin import ReadOnlyAdmin


class ParticipantInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Participant
    fk_name = "agreement"
    fields = ("organization", "state", "reason", "answered_at")
    readonly_fields = ("organization", "state", "reason", "answered_at")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    list_display = ["agreement", "number", "attempt", "state", "reason", "opened_at", "released_at"]
    list_filter = ["agreement__kind", "state"]
    exclude = ["spec", "approvals", "context", "product", "release"]


@admin.register(AttemptMessage)
class AttemptMessageAdmin(ReadOnlyAdmin):
    list_display = ["attempt", "name", "organization", "reason", "detail", "created_at"]
    list_filter = ["name"]
    exclude = ["content"]
