"""The console's addresses at the root."""

from __future__ import annotations

from django.urls import path

from apps.console import views

urlpatterns = [path("operator/", views.operator, name="operator")]
