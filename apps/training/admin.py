from django.contrib import admin

from apps.attempts.admin import ParticipantInline
from apps.common.admin import ReadOnlyAdmin
from apps.training.models import DataDictionary, Job


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ["id", "proposer", "state", "reason", "created_at", "started_at", "ended_at"]
    list_filter = ["state", "proposer"]
    exclude = ["spec"]
    inlines = [ParticipantInline]


@admin.register(DataDictionary)
class DataDictionaryAdmin(ReadOnlyAdmin):
    list_display = ["name", "organization", "digest", "created_at"]
