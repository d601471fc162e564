"""The console's addresses at the root."""

from __future__ import annotations

from django.urls import path

from apps.console import views, views_benchmarks, views_provenance, views_report

urlpatterns = [
    path("operator/", views.operator, name="operator"),
    path("operator/benchmarks/", views_benchmarks.operator, name="operator_benchmarks"),
    path("operator/schedules/", views_benchmarks.schedule, name="operator_schedule"),
    path("operator/report/", views_report.operator_period, name="operator_report"),
    path("operator/events/", views_provenance.operator_events, name="operator_events"),
    path(
        "operator/events/<uuid:event_id>/",
        views_provenance.operator_event,
        name="operator_event",
    ),
]
