from django.contrib import admin

from apps.accounts.models import Membership, User
from apps.common.admin import ReadOnlyAdmin


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ["email", "name", "is_active", "is_operator", "last_login"]
    list_filter = ["is_active", "is_operator"]
    search_fields = ["email", "name"]
    exclude = ["password"]


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ["user", "organization", "role"]
    list_filter = ["role"]
    list_select_related = ["user", "organization"]
