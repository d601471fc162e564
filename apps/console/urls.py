"""The console's addresses at the root."""

from __future__ import annotations

from django.urls import path

from apps.console.events import views as events
from apps.console.operator import views as operator
from apps.console.operator_benchmarks import views as operator_benchmarks
from apps.console.report import views as report

urlpatterns = [
    path("operator/", operator.operator, name="operator"),
    path("operator/benchmarks/", operator_benchmarks.operator, name="operator_benchmarks"),
    path("operator/schedules/", operator_benchmarks.schedule, name="operator_schedule"),
    path("operator/report/", report.operator_period, name="operator_report"),
    path("operator/events/", events.operator_events, name="operator_events"),
    path("operator/events/<uuid:event_id>/", events.operator_event, name="operator_event"),
]
