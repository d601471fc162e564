from django.urls import path, register_converter

from apps.training.api import inbox, jobs, rounds, vectors


class DigestConverter:
    """A SHA-256 digest, lower-case hexadecimal."""

    regex = "[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        return value

    to_url = to_python


register_converter(DigestConverter, "sha256")
ROUND = "jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>"

urlpatterns = [
    path("inbox", inbox.InboxView.as_view(), name="api-inbox"),
    path("dictionaries", jobs.DictionariesView.as_view(), name="api-dictionaries"),
    path("dictionaries/<str:name>", jobs.DictionaryView.as_view(), name="api-dictionary"),
    path("jobs", jobs.JobsView.as_view(), name="api-jobs"),
    path("jobs/<uuid:job_id>", jobs.JobView.as_view(), name="api-job"),
    path("jobs/<uuid:job_id>/approval", jobs.ApprovalView.as_view(), name="api-approval"),
    path("jobs/<uuid:job_id>/decline", jobs.DeclineView.as_view(), name="api-decline"),
    path("jobs/<uuid:job_id>/cancel", jobs.CancelView.as_view(), name="api-cancel"),
    path("models/<sha256:digest>", jobs.ModelView.as_view(), name="api-model"),
    path(ROUND, rounds.RoundView.as_view(), name="api-round"),
    path(f"{ROUND}/transcript", rounds.TranscriptView.as_view(), name="api-transcript"),
    path(f"{ROUND}/release", rounds.ReleaseView.as_view(), name="api-release"),
    path(f"{ROUND}/vectors/<sha256:digest>", vectors.VectorView.as_view(), name="api-vector"),
    path(f"{ROUND}/contribution", rounds.ContributionView.as_view(), name="api-contribution"),
    path(f"{ROUND}/receipt", rounds.ReceiptView.as_view(), name="api-receipt"),
    path(f"{ROUND}/share", rounds.ShareView.as_view(), name="api-share"),
    path(f"{ROUND}/refusal", rounds.RefusalView.as_view(), name="api-refusal"),
    path(f"{ROUND}/verdict", rounds.VerdictView.as_view(), name="api-verdict"),
]
