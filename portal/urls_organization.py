"""Addresses of one organization, under ``/o/<slug>/``."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("api/", include("portal.urls_api")),
    path("", include("apps.console.urls_organization")),
]

handler400 = "apps.common.errors.handler400"
handler403 = "apps.common.errors.handler403"
handler404 = "apps.common.errors.handler404"
handler500 = "apps.common.errors.handler500"
