"""A campaign's run: what a site reads of it, and what it sends."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.attempts.intake import message_receive
from apps.benchmarks.models import Run
from apps.benchmarks.selectors.campaigns import campaign_get_for, run_get_for, run_summary
from apps.benchmarks.selectors.exports import FORMATS, export_csv, export_rows
from apps.benchmarks.selectors.transcripts import run_transcript_bytes
from apps.benchmarks.services.attempts import RUNS
from apps.common.api import MemberAPIView, SiteAPIView
from apps.common.bodies import SMALL, message_read
from federated.errors import InvalidInput, NotFound
from federated.wire import campaign as wire
from federated.wire import round as wire_round
from federated.wire.base import Message, Signed

CREATED = {200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT}


class _OfRun:
    """Finds the run of the address, for the organization that asks."""

    organization: Any

    def run(self, campaign_id: Any, number: int) -> Run:
        return run_get_for(
            organization=self.organization.slug, campaign_id=campaign_id, number=number
        )


class RunView(_OfRun, MemberAPIView):
    @extend_schema(summary="A run: context, state, deadline, cohort", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, campaign_id: Any, number: int) -> Response:
        found = self.run(campaign_id, number)
        more = {"context": found.context, "spec": found.spec, "cohort": found.cohort}
        return Response({**run_summary(found), **more})


class RunTranscriptView(_OfRun, MemberAPIView):
    @extend_schema(summary="What may be checked of a closed run", responses=wire.CampaignTranscript)
    def get(self, request: Request, campaign_id: Any, number: int) -> HttpResponse:
        content = run_transcript_bytes(self.run(campaign_id, number))
        return HttpResponse(content, content_type="application/json")


class RunReleaseView(_OfRun, MemberAPIView):
    @extend_schema(summary="The noisy sums and their statistics", responses=wire.CampaignRelease)
    def get(self, request: Request, campaign_id: Any, number: int) -> Response:
        found = self.run(campaign_id, number)
        if found.release is None:
            raise NotFound(f"{str(found).capitalize()} is {found.state}: it has no release.")
        return Response(found.release)


class ExportView(MemberAPIView):
    @extend_schema(
        summary="All releases of a campaign, a row each run, metric and statistic",
        parameters=[OpenApiParameter("as", str, enum=FORMATS, default="json")],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "text/csv"): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request, campaign_id: Any) -> HttpResponse:
        campaign = campaign_get_for(organization=self.organization.slug, campaign_id=campaign_id)
        wanted = request.query_params.get("as", "json")
        if wanted not in FORMATS:
            raise InvalidInput(f"as: allowed are {', '.join(FORMATS)}", field="as")
        rows = export_rows(campaign)
        if wanted == "json":
            return Response({"campaign_id": str(campaign.pk), "rows": rows})
        return HttpResponse(
            export_csv(rows),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="campaign-{campaign.pk}.csv"'},
        )


class _SendView(_OfRun, SiteAPIView):
    """Takes one signed message for a run."""

    kind: ClassVar[type[Message]]
    message: ClassVar[str]
    limit: ClassVar[int | None] = SMALL

    def send(self, request: Request, campaign_id: Any, number: int, **options: Any) -> Response:
        found = self.run(campaign_id, number)
        signed = message_read(request, Signed[self.kind], limit=self.limit)  # type: ignore[name-defined]
        created = message_receive(
            RUNS,
            self.message,
            row=found,
            organization=self.organization.slug,
            signed=signed,
            actor=self.actor,
            **options,
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)


class SubmissionView(_SendView):
    kind = wire.Submission
    message = "submission"
    limit = None

    @extend_schema(
        summary="Submit encrypted, proven votes", request=Signed[wire.Submission], responses=CREATED
    )
    def post(self, request: Request, campaign_id: Any, number: int) -> Response:
        return self.send(request, campaign_id, number)

    @extend_schema(
        summary="Replace the submission before the close",
        parameters=[
            OpenApiParameter("replaces", str, required=True, description="the old one's digest")
        ],
        request=Signed[wire.Submission],
        responses=CREATED,
    )
    def put(self, request: Request, campaign_id: Any, number: int) -> Response:
        replaces = request.query_params.get("replaces", "")
        if len(replaces) != 64:
            raise InvalidInput(
                "replaces: the digest of the submission to replace", field="replaces"
            )
        return self.send(request, campaign_id, number, replaces=replaces)


class RunReceiptView(_SendView):
    kind = wire_round.ChargeReceipt
    message = "receipt"

    @extend_schema(
        summary="Tell that the site's ledger has charged the run",
        request=Signed[wire_round.ChargeReceipt],
        responses=CREATED,
    )
    def post(self, request: Request, campaign_id: Any, number: int) -> Response:
        return self.send(request, campaign_id, number)


class NoiseView(_SendView):
    kind = wire.TrusteeNoise
    message = "noise"

    @extend_schema(
        summary="Send a trustee's proven noise",
        request=Signed[wire.TrusteeNoise],
        responses=CREATED,
    )
    def post(self, request: Request, campaign_id: Any, number: int) -> Response:
        return self.send(request, campaign_id, number)


class RunShareView(_SendView):
    kind = wire_round.DecryptionShare
    message = "share"

    @extend_schema(
        summary="Send a trustee's proven decryption share",
        request=Signed[wire_round.DecryptionShare],
        responses=CREATED,
    )
    def post(self, request: Request, campaign_id: Any, number: int) -> Response:
        return self.send(request, campaign_id, number)


class RunRefusalView(_SendView):
    kind = wire_round.Refusal
    message = "refusal"

    @extend_schema(
        summary="Refuse to charge or to decrypt, with a reason",
        request=Signed[wire_round.Refusal],
        responses=CREATED,
    )
    def post(self, request: Request, campaign_id: Any, number: int) -> Response:
        return self.send(request, campaign_id, number)


class RunVerdictView(_SendView):
    kind = wire_round.Verdict
    message = "verdict"

    @extend_schema(
        summary="Judge a release after recomputing it",
        request=Signed[wire_round.Verdict],
        responses=CREATED,
    )
    def post(self, request: Request, campaign_id: Any, number: int) -> Response:
        return self.send(request, campaign_id, number)
