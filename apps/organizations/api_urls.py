"""Addresses of joining and of a site's own record."""

from __future__ import annotations

from django.urls import path

from apps.organizations import api

urlpatterns = [
    path("ca", api.AuthorityView.as_view(), name="api-ca"),
    path("join", api.JoinView.as_view(), name="api-join"),
    path("site", api.SiteView.as_view(), name="api-site"),
    path("site/certificate", api.RenewalView.as_view(), name="api-site-certificate"),
    path("sites", api.SitesView.as_view(), name="api-sites"),
]
