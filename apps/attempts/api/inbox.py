"""The one address that a site polls."""

from __future__ import annotations

from django.core.cache import cache
from django.utils import timezone
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.attempts.selectors.inbox import inbox_of
from apps.common.api import SiteAPIView
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_token
from apps.organizations.models import Site
from federated.wire.site import Inbox

SEEN_SECONDS = 5


class InboxView(SiteAPIView):
    @extend_schema(
        summary="All that the site must do now, and when to ask again",
        parameters=[OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER)],
        responses={
            200: Inbox,
            304: OpenApiResponse(description="As before: same tasks, same wait"),
        },
    )
    def get(self, request: Request) -> Response:
        slug = self.organization.slug
        self._seen()
        # Read before the rows: a change in between rings a bell that this answer has not heard.
        etag = f'"{bell_token(slug)}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if etag in parse_etags(request.headers.get("If-None-Match", "")):
            return Response(status=304, headers=headers)
        return Response(inbox_of(slug).dump(), headers=headers)

    def _seen(self) -> None:
        try:
            due = cache.add(f"seen:{self.site.pk}", 1, SEEN_SECONDS)
        except RedisError:
            due = False
        if due:
            with as_coordinator():
                Site.objects.filter(pk=self.site.pk).update(last_seen_at=timezone.now())
