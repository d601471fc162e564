"""An attempt at a round: what a site reads of it, and what it sends."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.attempts.intake import message_receive
from apps.common.api import MemberAPIView, SiteAPIView
from apps.common.bodies import SMALL, message_read
from apps.training.models import Round
from apps.training.selectors.jobs import round_get_for, round_summary
from apps.training.selectors.transcripts import transcript_bytes
from apps.training.services.attempts import ROUNDS
from federated.errors import NotFound
from federated.wire import round as wire
from federated.wire.base import Message, Signed

CREATED = {200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT}


class Attempting:
    """Finds the attempt of the address, for the organization that asks."""

    organization: Any

    def attempt(self, job_id: Any, number: int, attempt: int) -> Round:
        slug = self.organization.slug
        return round_get_for(organization=slug, job_id=job_id, number=number, attempt=attempt)


class RoundView(Attempting, MemberAPIView):
    @extend_schema(summary="An attempt: context, state, deadline", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, job_id: Any, number: int, attempt: int) -> Response:
        found = self.attempt(job_id, number, attempt)
        return Response({**round_summary(found), "context": found.context})


class TranscriptView(Attempting, MemberAPIView):
    @extend_schema(
        summary="What participants may check of a closed attempt", responses=wire.Transcript
    )
    def get(self, request: Request, job_id: Any, number: int, attempt: int) -> HttpResponse:
        content = transcript_bytes(self.attempt(job_id, number, attempt))
        return HttpResponse(content, content_type="application/json")


class ReleaseView(Attempting, MemberAPIView):
    @extend_schema(summary="The decoded sum and the next state's digest", responses=wire.Release)
    def get(self, request: Request, job_id: Any, number: int, attempt: int) -> Response:
        found = self.attempt(job_id, number, attempt)
        if found.release is None:
            raise NotFound(f"{str(found).capitalize()} is {found.state}: it has no release.")
        return Response(found.release)


class _SendView(Attempting, SiteAPIView):
    """Takes one signed message for an attempt."""

    kind: ClassVar[type[Message]]
    message: ClassVar[str]
    limit: ClassVar[int | None] = SMALL

    def send(self, request: Request, job_id: Any, number: int, attempt: int) -> Response:
        found = self.attempt(job_id, number, attempt)
        signed = message_read(request, Signed[self.kind], limit=self.limit)  # type: ignore[name-defined]
        created = message_receive(
            ROUNDS,
            self.message,
            row=found,
            organization=self.organization.slug,
            signed=signed,
            actor=self.actor,
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)


class ContributionView(_SendView):
    kind = wire.Contribution
    message = "contribution"
    limit = None

    @extend_schema(
        summary="Send the encrypted, proven contribution",
        request=Signed[wire.Contribution],
        responses=CREATED,
    )
    def post(self, request: Request, job_id: Any, number: int, attempt: int) -> Response:
        return self.send(request, job_id, number, attempt)


class ReceiptView(_SendView):
    kind = wire.ChargeReceipt
    message = "receipt"

    @extend_schema(
        summary="Tell that the site's ledger has charged the attempt",
        request=Signed[wire.ChargeReceipt],
        responses=CREATED,
    )
    def post(self, request: Request, job_id: Any, number: int, attempt: int) -> Response:
        return self.send(request, job_id, number, attempt)


class ShareView(_SendView):
    kind = wire.DecryptionShare
    message = "share"
    limit = None

    @extend_schema(
        summary="Send a trustee's proven decryption share",
        request=Signed[wire.DecryptionShare],
        responses=CREATED,
    )
    def post(self, request: Request, job_id: Any, number: int, attempt: int) -> Response:
        return self.send(request, job_id, number, attempt)


class RefusalView(_SendView):
    kind = wire.Refusal
    message = "refusal"

    @extend_schema(
        summary="Refuse to charge or to decrypt, with a reason",
        request=Signed[wire.Refusal],
        responses=CREATED,
    )
    def post(self, request: Request, job_id: Any, number: int, attempt: int) -> Response:
        return self.send(request, job_id, number, attempt)


class VerdictView(_SendView):
    kind = wire.Verdict
    message = "verdict"

    @extend_schema(
        summary="Judge a release after recomputing it",
        request=Signed[wire.Verdict],
        responses=CREATED,
    )
    def post(self, request: Request, job_id: Any, number: int, attempt: int) -> Response:
        return self.send(request, job_id, number, attempt)
