"""What a site reads of an attempt and what it sends: a family of views made from a kind's messages.

``attempt_paths`` and ``answer_paths`` give an app its addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import URLPattern, path
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiTypes,
    extend_schema,
    extend_schema_view,
)
from rest_framework.request import Request
from rest_framework.response import Response

from apps.attempts.models import Attempt
from apps.attempts.played import Played, Sent
from apps.attempts.selectors.agreements import agreement_played_for, attempt_get_for
from apps.attempts.selectors.transcripts import transcript_bytes
from apps.attempts.services import answers
from apps.attempts.services.intake import message_receive
from apps.common.api import MemberAPIView, OrganizationAPIView, SiteAPIView
from apps.common.bodies import message_read
from federated.errors import InvalidInput, NotFound
from federated.wire.base import Signed

CREATED = {200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT}
REPLACES = OpenApiParameter("replaces", str, required=True, description="the old one's digest")


class OfPlayed(OrganizationAPIView):
    """Finds what the address names, for the organization that asks."""

    played: ClassVar[Played]
    name: ClassVar[str]
    """Of the message that it takes."""

    def agreement(self, where: dict[str, Any]) -> Any:
        pk = where[f"{self.played.subject}_id"]
        return agreement_played_for(self.played, organization=self.organization.slug, pk=pk)

    def attempt(self, where: dict[str, Any]) -> Attempt:
        which = {name: where[name] for name in ("number", "attempt") if name in where}
        pk = where[f"{self.played.subject}_id"]
        return attempt_get_for(self.played, organization=self.organization.slug, pk=pk, **which)

    def signed(self, request: Request, sent: Sent) -> Any:
        return message_read(request, Signed[sent.wire], limit=sent.limit)  # type: ignore[name-defined]


class AttemptView(OfPlayed, MemberAPIView):
    def get(self, request: Request, **where: Any) -> Response:
        return Response(self.played.describe(self.attempt(where)))


class TranscriptView(OfPlayed, MemberAPIView):
    def get(self, request: Request, **where: Any) -> HttpResponse:
        content = transcript_bytes(self.attempt(where))
        return HttpResponse(content, content_type="application/json")


class ReleaseView(OfPlayed, MemberAPIView):
    def get(self, request: Request, **where: Any) -> Response:
        attempt = self.attempt(where)
        if attempt.release is None:
            state = self.played.state_name(attempt)
            raise NotFound(f"{str(attempt).capitalize()} is {state}: it has no release.")
        return Response(attempt.release)


class MessageView(OfPlayed, SiteAPIView):
    """Takes one signed message."""

    def post(self, request: Request, **where: Any) -> Response:
        return self.receive(request, where)

    def receive(self, request: Request, where: dict[str, Any], **options: Any) -> Response:
        attempt = self.attempt(where)
        signed = self.signed(request, self.played.messages[self.name])
        created = message_receive(
            self.name,
            attempt=attempt,
            organization=self.organization.slug,
            signed=signed,
            actor=self.actor,
            **options,
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)


class ReplaceableView(MessageView):
    """Takes one that may be replaced before the close."""

    def put(self, request: Request, **where: Any) -> Response:
        replaces = request.query_params.get("replaces", "")
        if len(replaces) != 64:
            raise InvalidInput(
                f"replaces: the digest of the {self.name} to replace", field="replaces"
            )
        return self.receive(request, where, replaces=replaces)


class AnswerView(OfPlayed, SiteAPIView):
    """Takes a site's signed answer to a spec."""

    service: ClassVar[Callable[..., bool]]

    def post(self, request: Request, **where: Any) -> Response:
        agreement = self.agreement(where)
        signed = self.signed(request, self.played.answers[self.name])
        created = type(self).service(
            agreement, organization=self.organization.slug, signed=signed, actor=self.actor
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)


def _made(base: type[OfPlayed], operations: dict[str, Any], **attributes: Any) -> Any:
    made: Any = type(base.__name__, (base,), attributes)
    return extend_schema_view(**operations)(made).as_view()


def _taking(sent: Sent) -> Any:
    return extend_schema(
        summary=sent.summary,
        request=Signed[sent.wire],  # type: ignore[name-defined]
        responses=CREATED,
    )


def attempt_paths(played: Played, address: str) -> Iterator[URLPattern]:
    """The addresses of an attempt of these kinds, which lies at ``address``."""
    read: dict[str, tuple[type[OfPlayed], Any]] = {
        "": (AttemptView, OpenApiTypes.OBJECT),
        "/transcript": (TranscriptView, played.transcript_type),
        "/release": (ReleaseView, played.release_type),
    }
    for (below, (base, answer)), summary in zip(read.items(), played.summaries, strict=True):
        operation = extend_schema(summary=summary, responses=answer)
        yield path(f"{address}{below}", _made(base, {"get": operation}, played=played))
    for name, sent in played.messages.items():
        operations = {"post": _taking(sent)}
        if name in played.replaceable:
            operations["put"] = extend_schema(
                summary=f"Replace the {name} before the close",
                parameters=[REPLACES],
                request=Signed[sent.wire],  # type: ignore[name-defined]
                responses=CREATED,
            )
        taking = ReplaceableView if name in played.replaceable else MessageView
        yield path(f"{address}/{name}", _made(taking, operations, played=played, name=name))


def answer_paths(played: Played, address: str) -> Iterator[URLPattern]:
    """The addresses at which sites answer the spec that lies at ``address``."""
    services: dict[str, Callable[..., bool]] = {
        "approval": answers.approve,
        "decline": answers.decline,
        **played.statements,
    }
    for name, sent in played.answers.items():
        view = _made(
            AnswerView,
            {"post": _taking(sent)},
            played=played,
            name=name,
            service=staticmethod(services[name]),
        )
        yield path(f"{address}/{name}", view)
