from django.contrib import admin

from apps.aggregation.models import KeyConfirmation, KeyEpoch
from apps.common.admin import ReadOnlyAdmin


@admin.register(KeyEpoch)
class KeyEpochAdmin(ReadOnlyAdmin):
    list_display = ["number", "state", "digest", "created_at", "activated_at"]
    list_filter = ["state"]
    exclude = ["message"]


@admin.register(KeyConfirmation)
class KeyConfirmationAdmin(ReadOnlyAdmin):
    list_display = ["epoch", "organization", "created_at"]
    exclude = ["message"]
