"""The verify page: a bundle is checked in the portal, each check by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.audit.verification import file_verify, job_verify
from apps.common.uploads import UPLOAD_MOST
from apps.federation.selectors.jobs import job_get_for
from federated.errors import Conflict, InvalidInput
from federated.provenance.verify import Report


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def verify(request: Any) -> HttpResponse:
    """Check an uploaded bundle; it is read, told about and forgotten."""
    context: dict[str, Any] = {"section": "verify", "most": UPLOAD_MOST}
    status = 200
    if request.method == "POST":
        try:
            uploaded = request.FILES.get("bundle")
            if uploaded is None:
                raise InvalidInput(f"bundle: choose a file of at most {UPLOAD_MOST} bytes")
            context["file"] = uploaded.name
            context |= _shown(
                file_verify(
                    path=Path(uploaded.temporary_file_path()),
                    organization=request.organization.slug,
                )
            )
        except (Conflict, InvalidInput) as error:
            context["error"] = error.message
            status = error.status
    return render(request, "console/verify.html", context, status=status)


@require_POST
@never_cache
def job_verified(request: Any, job_id: UUID) -> HttpResponse:
    slug = request.organization.slug
    found = job_get_for(organization=slug, job_id=job_id)
    context: dict[str, Any] = {"section": "verify", "most": UPLOAD_MOST, "job": str(found.pk)}
    status = 200
    try:
        context |= _shown(job_verify(job=found, organization=slug))
    except (Conflict, InvalidInput) as error:
        context["error"] = error.message
        status = error.status
    return render(request, "console/verify.html", context, status=status)


def _shown(report: Report) -> dict[str, Any]:
    skipped = sum(check.status == "skipped" for check in report.checks)
    return {"report": report, "skipped": skipped}
