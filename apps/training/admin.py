from django.contrib import admin

from apps.common.admin import ReadOnlyAdmin
from apps.training.models import DataDictionary, Job, JobParticipant, Refusal, Round


class ParticipantInline(admin.TabularInline):  # type: ignore[type-arg]
    model = JobParticipant
    fields = ["organization", "state", "reason", "answered_at"]
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ["id", "proposer", "state", "reason", "created_at", "started_at", "ended_at"]
    list_filter = ["state", "proposer"]
    exclude = ["spec"]
    inlines = [ParticipantInline]


@admin.register(Round)
class RoundAdmin(ReadOnlyAdmin):
    list_display = ["job", "number", "attempt", "state", "reason", "opened_at", "released_at"]
    list_filter = ["state"]
    exclude = ["context", "product", "release"]


@admin.register(Refusal)
class RefusalAdmin(ReadOnlyAdmin):
    list_display = ["round", "organization", "reason", "detail", "created_at"]
    exclude = ["content"]


@admin.register(DataDictionary)
class DataDictionaryAdmin(ReadOnlyAdmin):
    list_display = ["name", "organization", "digest", "created_at"]
