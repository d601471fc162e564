from django.urls import path, register_converter

from apps.attempts.api.views import answer_paths, attempt_paths
from apps.training.api import jobs, vectors
from apps.training.services.played import JOBS


class DigestConverter:
    """A SHA-256 digest, lower-case hexadecimal."""

    regex = "[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        return value

    to_url = to_python


register_converter(DigestConverter, "sha256")
JOB = "jobs/<uuid:job_id>"
ROUND = f"{JOB}/rounds/<int:number>/<int:attempt>"

urlpatterns = [
    path("dictionaries", jobs.DictionariesView.as_view(), name="api-dictionaries"),
    path("dictionaries/<str:name>", jobs.DictionaryView.as_view(), name="api-dictionary"),
    path("jobs", jobs.JobsView.as_view(), name="api-jobs"),
    path(JOB, jobs.JobView.as_view(), name="api-job"),
    *answer_paths(JOBS, JOB),
    path("models/<sha256:digest>", jobs.ModelView.as_view(), name="api-model"),
    *attempt_paths(JOBS, ROUND),
    path(f"{ROUND}/vectors/<sha256:digest>", vectors.VectorView.as_view(), name="api-vector"),
]
