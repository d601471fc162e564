"""Dictionaries, jobs, models."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api import MemberAPIView
from apps.common.bodies import SMALL, message_read
from apps.common.pagination import keyset_page
from apps.training.api.octets import (
    OCTETS,
    PART_HEADER,
    RANGE_HEADER,
    RECEIVED,
    SENT,
    AnyType,
    octets_answer,
    part_of,
)
from apps.training.models import DataDictionary
from apps.training.selectors.evaluations import evaluation_describe
from apps.training.selectors.jobs import (
    dictionary_get,
    job_describe,
    job_get_for,
    job_summary,
    jobs_of,
    model_get_for,
)
from apps.training.services import jobs
from apps.training.services.states import state_receive
from apps.training.storage import state_open
from federated.wire import job as wire
from federated.wire.base import Bytes, Message, Signed, decode_bytes

CREATED = {200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT}


class Proposal(Message):
    """A signed spec and the bytes of the server state (safetensors) that it starts from.

    Null for a state that was sent before, to the address of its digest.
    """

    TAG = "proposal"

    spec: Signed[wire.JobSpec]
    state: Bytes | None


class DictionariesView(MemberAPIView):
    @extend_schema(summary="Registered data dictionaries", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        rows = DataDictionary.objects.order_by("name")
        listed = [
            {"name": r.name, "organization": r.organization, "digest": r.digest} for r in rows
        ]
        return Response({"dictionaries": listed})

    @extend_schema(
        summary="Register a data dictionary under its dataset's name (a site)",
        request=wire.DataDictionary,
        responses=CREATED,
    )
    def post(self, request: Request) -> Response:
        row, created = jobs.dictionary_register(
            dictionary=message_read(request, wire.DataDictionary, limit=4 * SMALL),
            organization=self.organization.slug,
            actor=self.actor,
        )
        body = {"name": row.name, "digest": row.digest}
        return Response(body, status=201 if created else 200)


class DictionaryView(MemberAPIView):
    @extend_schema(summary="A data dictionary, by dataset name", responses=wire.DataDictionary)
    def get(self, request: Request, name: str) -> Response:
        return Response(dictionary_get(name=name).message)


class JobsView(MemberAPIView):
    @extend_schema(
        summary="The organization's jobs, newest first (?cursor=, ?limit=)",
        operation_id="jobs_list",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        page = keyset_page(
            jobs_of(self.organization.slug),
            cursor=query.get("cursor"),
            limit=query.get("limit"),
        )
        listed = [job_summary(job) for job in page.items]
        return Response({"jobs": listed, "next_cursor": page.next_cursor})

    @extend_schema(
        summary="Propose a job (a site); the same again is answered as before",
        request=Proposal,
        responses=CREATED,
    )
    def post(self, request: Request) -> Response:
        proposal = message_read(request, Proposal)
        job, created = jobs.job_propose(
            signed=proposal.spec,
            state=None if proposal.state is None else decode_bytes(proposal.state),
            organization=self.organization.slug,
            actor=self.actor,
        )
        return Response({"job_id": str(job.pk)}, status=201 if created else 200)


class JobView(MemberAPIView):
    @extend_schema(
        summary="A job: spec, state, participants, rounds, epsilons; an evaluation's results",
        operation_id="job_get",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, job_id: Any) -> Response:
        slug = self.organization.slug
        job = job_get_for(organization=slug, job_id=job_id)
        told = job_describe(job, organization=slug)
        return Response(told | evaluation_describe(job, organization=slug))


class ModelView(MemberAPIView):
    content_negotiation_class = AnyType

    @extend_schema(
        summary="A server state of a job that the organization takes part in (safetensors)",
        parameters=[RANGE_HEADER],
        responses=SENT,
    )
    def get(self, request: Request, digest: str) -> HttpResponse | StreamingHttpResponse:
        model = model_get_for(organization=self.organization.slug, digest=digest)
        file, size = state_open(model)
        return octets_answer(request, file, size=size, digest=digest)

    @extend_schema(
        summary="Upload the state that a job to be proposed starts from, in parts (a site)",
        description="`Content-Range` as with a masked vector. 202 until the state is whole, then "
        "201. It waits a day for its proposal, which gives `state: null`.",
        request={OCTETS: OpenApiTypes.BINARY},
        parameters=[PART_HEADER],
        responses=RECEIVED,
    )
    def put(self, request: Request, digest: str) -> Response:
        part = part_of(request, "server state")
        received, whole = state_receive(
            organization=self.organization.slug, digest=digest, part=part
        )
        body = {"received": received, "digest": digest}
        return Response(body, status=201 if whole else 202)
