"""The console's addresses under ``/o/<slug>/``."""

from __future__ import annotations

from django.urls import path

from apps.console.benchmarks import views as benchmarks
from apps.console.budget import views as budget
from apps.console.card import views as card
from apps.console.events import views as events
from apps.console.home import views as home
from apps.console.job import views as job
from apps.console.report import views as report
from apps.console.verify import views as verify

urlpatterns = [
    path("", home.home, name="home"),
    path("budget/", budget.budget, name="budget"),
    path("budget/allot", budget.budget_allot, name="budget_allot"),
    path("benchmarks/", benchmarks.benchmarks, name="benchmarks"),
    path("benchmarks/<uuid:campaign_id>/", benchmarks.campaign, name="campaign"),
    path(
        "benchmarks/<uuid:campaign_id>/approve",
        benchmarks.campaign_approve,
        name="campaign_approve",
    ),
    path("jobs/<uuid:job_id>/", job.job, name="job"),
    path("jobs/<uuid:job_id>/card", card.card, name="card"),
    path("jobs/<uuid:job_id>/live", job.job_live, name="job_live"),
    path("jobs/<uuid:job_id>/approve", job.job_approve, name="job_approve"),
    path("jobs/<uuid:job_id>/decline", job.job_decline, name="job_decline"),
    path("jobs/<uuid:job_id>/verify", verify.job_verify, name="job_verify"),
    path("benchmarks/<uuid:campaign_id>/verify", verify.campaign_verify, name="campaign_verify"),
    path("jobs/<uuid:job_id>/report/", report.job, name="job_report"),
    path("benchmarks/<uuid:campaign_id>/report/", report.campaign, name="campaign_report"),
    path("report/", report.period, name="report"),
    path("events/", events.events, name="events"),
    path("events/<str:log>/<uuid:event_id>/", events.event, name="event"),
    path("verify/", verify.verify, name="verify"),
    path("verify/<uuid:verification_id>/", verify.verification, name="verification"),
    path("verify/<uuid:verification_id>/live", verify.verification_live, name="verification_live"),
    path("jobs/<uuid:job_id>/cancel", job.job_cancel, name="job_cancel"),
]
