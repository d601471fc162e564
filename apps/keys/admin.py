from django.contrib import admin

from apps.common.admin import ReadOnlyAdmin
from apps.keys.models import KeyConfirmation, KeyEpoch, KeyRetirement


@admin.register(KeyEpoch)
class KeyEpochAdmin(ReadOnlyAdmin):
    list_display = ["number", "state", "digest", "created_at", "activated_at", "retired_at"]
    list_filter = ["state"]
    exclude = ["message"]


@admin.register(KeyConfirmation)
class KeyConfirmationAdmin(ReadOnlyAdmin):
    list_display = ["epoch", "organization", "created_at"]
    exclude = ["message"]


@admin.register(KeyRetirement)
class KeyRetirementAdmin(ReadOnlyAdmin):
    list_display = ["epoch", "organization", "created_at"]
    exclude = ["message"]
