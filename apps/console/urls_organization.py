"""The console's addresses under ``/o/<slug>/``."""

from __future__ import annotations

from django.urls import path

from apps.console import (
    views,
    views_benchmarks,
    views_card,
    views_provenance,
    views_report,
    views_verify,
)

urlpatterns = [
    path("", views.home, name="home"),
    path("budget/", views.budget, name="budget"),
    path("budget/allot", views.budget_allot, name="budget_allot"),
    path("benchmarks/", views_benchmarks.benchmarks, name="benchmarks"),
    path("benchmarks/<uuid:campaign_id>/", views_benchmarks.campaign, name="campaign"),
    path(
        "benchmarks/<uuid:campaign_id>/approve",
        views_benchmarks.campaign_approve,
        name="campaign_approve",
    ),
    path("jobs/<uuid:job_id>/", views.job, name="job"),
    path("jobs/<uuid:job_id>/card", views_card.card, name="card"),
    path("jobs/<uuid:job_id>/live", views.job_live, name="job_live"),
    path("jobs/<uuid:job_id>/approve", views.job_approve, name="job_approve"),
    path("jobs/<uuid:job_id>/decline", views.job_decline, name="job_decline"),
    path("jobs/<uuid:job_id>/verify", views_verify.job_verify, name="job_verify"),
    path(
        "benchmarks/<uuid:campaign_id>/verify",
        views_verify.campaign_verify,
        name="campaign_verify",
    ),
    path("jobs/<uuid:job_id>/report/", views_report.job, name="job_report"),
    path("benchmarks/<uuid:campaign_id>/report/", views_report.campaign, name="campaign_report"),
    path("report/", views_report.period, name="report"),
    path("events/", views_provenance.events, name="events"),
    path("events/<str:log>/<uuid:event_id>/", views_provenance.event, name="event"),
    path("verify/", views_verify.verify, name="verify"),
    path("verify/<uuid:verification_id>/", views_verify.verification, name="verification"),
    path(
        "verify/<uuid:verification_id>/live",
        views_verify.verification_live,
        name="verification_live",
    ),
    path("jobs/<uuid:job_id>/cancel", views.job_cancel, name="job_cancel"),
]
