"""Addresses at the root: people sign in, operators administer, sites call the API."""

from __future__ import annotations

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from apps.accounts.views import home

admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.site_header = "Federated Simulation Cloud"

urlpatterns = [
    path("", home, name="home"),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("portal.urls_api")),
    path("api/", include("apps.benchmarks.urls_operator")),
    path("", include("apps.console.urls")),
]

handler400 = "apps.common.errors.handler400"
handler403 = "apps.common.errors.handler403"
handler404 = "apps.common.errors.handler404"
handler500 = "apps.common.errors.handler500"
