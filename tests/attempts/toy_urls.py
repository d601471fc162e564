"""The portal's addresses with those of the toy kind: its app's line in portal/urls_api.py."""

from __future__ import annotations

from django.urls import include, path

from portal.urls import handler400, handler403, handler404, handler500
from portal.urls import urlpatterns as portal

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [path("api/", include("tests.attempts.toy")), *portal]
