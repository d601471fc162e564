"""Redirects people to their organization's or the operator's pages after sign-in."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from apps.accounts.selectors import memberships_of
from apps.common.requests import OperatorRequest
from apps.common.urls import organization_url


@require_safe
@login_required
def home(request: OperatorRequest) -> HttpResponse:
    """A member's organization; a choice for members of several; the health page for an operator."""
    memberships = list(memberships_of(user=request.user))
    if len(memberships) == 1:
        return redirect(organization_url(memberships[0].organization.slug, "home"))
    if not memberships and request.user.is_operator:
        return redirect("operator")
    return render(request, "accounts/home.html", {"memberships": memberships})
