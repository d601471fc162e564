"""The verify pages: a worker runs the verifier, the page follows it check by check."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.audit.models import Verification
from apps.audit.verification import (
    verification_ask,
    verification_ask_file,
    verification_get_for,
    verifications_of,
)
from apps.common.actor import request_actor
from apps.common.requests import OrganizationRequest
from apps.common.uploads import UPLOAD_MOST
from apps.common.urls import organization_url
from apps.console.shared.live import live_answer
from federated.errors import Conflict, InvalidInput

SHOWN = 30


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def verify(request: OrganizationRequest) -> HttpResponse:
    """Verifications so far; a POST takes a bundle, which is kept until it is verified."""
    slug = request.organization.slug
    context: dict[str, Any] = {"section": "verify", "most": UPLOAD_MOST}
    status = 200
    if request.method == "POST":
        try:
            return _shown(request, _uploaded(request))
        except (Conflict, InvalidInput) as error:
            context["error"] = error.message
            status = error.status
    context["verifications"] = verifications_of(slug).defer("checks")[:SHOWN]
    return render(request, "console/verify/verify.html", context, status=status)


def _uploaded(request: OrganizationRequest) -> Verification:
    uploaded = request.FILES.get("bundle")
    # `BoundedUploadHandler` keeps every file on disk.
    if not isinstance(uploaded, TemporaryUploadedFile):
        raise InvalidInput(f"bundle: choose a file of at most {UPLOAD_MOST} bytes")
    return verification_ask_file(
        path=Path(uploaded.temporary_file_path()),
        name=uploaded.name or "",
        organization=request.organization.slug,
        actor=request_actor(request),
    )


@require_POST
def job_verify(request: OrganizationRequest, job_id: UUID) -> HttpResponse:
    return _asked(request, Verification.Kind.JOB, job_id, "job")


@require_POST
def campaign_verify(request: OrganizationRequest, campaign_id: UUID) -> HttpResponse:
    return _asked(request, Verification.Kind.CAMPAIGN, campaign_id, "campaign")


def _asked(
    request: OrganizationRequest, kind: Verification.Kind, subject_id: UUID, page: str
) -> HttpResponse:
    slug = request.organization.slug
    try:
        made = verification_ask(
            kind=kind, subject_id=subject_id, organization=slug, actor=request_actor(request)
        )
    except Conflict as error:
        messages.error(request, error.message)
        return redirect(organization_url(slug, page, subject_id))
    return _shown(request, made)


def _shown(request: OrganizationRequest, made: Verification) -> HttpResponse:
    return redirect(organization_url(request.organization.slug, "verification", made.pk))


@require_safe
@never_cache
def verification(request: OrganizationRequest, verification_id: UUID) -> HttpResponse:
    found = _found(request, verification_id)
    return render(request, "console/verify/verification.html", _context(found))


@require_safe
@never_cache
def verification_live(request: OrganizationRequest, verification_id: UUID) -> HttpResponse:
    """What changes while it runs."""
    found = _found(request, verification_id)
    context = _context(found)
    template, seen = "console/verify/_verification.html", context["seen"]
    return live_answer(request, template, context, seen=seen, over=found.is_over)


def _found(request: OrganizationRequest, verification_id: UUID) -> Verification:
    return verification_get_for(
        organization=request.organization.slug, verification_id=verification_id
    )


def _context(found: Verification) -> dict[str, Any]:
    counts = {status: found.count(status) for status in ("ok", "failed", "skipped")}
    seen = f"{found.state}-{len(found.checks)}"
    number = len(found.checks)
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    file = found.kind == Verification.Kind.FILE
    return {
        "section": "verify",
        "found": found,
        "counts": counts,
        "counted": f"{number} check{'' if number == 1 else 's'}{skipped}",
        "seen": seen,
        "bundle_name": found.subject if file else f"bundle-{found.subject}.json",
    }
