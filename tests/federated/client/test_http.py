"""The HTTP client: problems become errors, outages are waited out, an unchanged inbox is kept."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpx
import pytest

from federated.api.coordinator import CoordinatorAPI
from federated.api.transport import Interrupted, TlsFailed, error_class
from federated.errors import (
    BudgetExceeded,
    Conflict,
    DomainError,
    InvalidInput,
    NotFound,
    Unavailable,
)
from federated.wire.site import Inbox, KeyTask, Work

URL = "https://coordinator.test"


def api_of(
    answer: Callable[[httpx.Request], httpx.Response], *, retry_seconds: float = 0.0
) -> CoordinatorAPI:
    return CoordinatorAPI(
        URL,
        ssl.create_default_context(),
        transport=httpx.MockTransport(answer),
        retry_seconds=retry_seconds,
    )


def problem(error: DomainError) -> httpx.Response:
    return httpx.Response(error.status, json=error.problem())


@pytest.mark.parametrize("error", [NotFound("no job"), InvalidInput("round: 0"), Conflict("late")])
def test_a_problem_is_raised_as_the_error_of_its_code(error: DomainError) -> None:
    with pytest.raises(type(error), match=error.message) as caught:
        api_of(lambda request: problem(error)).site()
    assert caught.value.code == error.code


def test_a_problems_fields_come_along() -> None:
    error = BudgetExceeded("too much", excess=0.4)
    with pytest.raises(BudgetExceeded) as caught:
        api_of(lambda request: problem(error)).site()
    assert caught.value.fields == {"excess": 0.4}


def test_a_code_that_only_the_portal_knows_keeps_its_kind_and_name() -> None:
    body = {"code": "closed", "detail": "too late", "status": 409}
    with pytest.raises(Conflict, match="too late") as caught:
        api_of(lambda request: httpx.Response(409, json=body)).site()
    assert caught.value.code == "closed"


def test_every_known_code_has_a_class_that_a_message_makes() -> None:
    for code in ("invalid_input", "proof_invalid", "refused", "tls_failed", "unheard_of"):
        assert error_class(code, 422)("said").code == code


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b'{"code": 1}'])
def test_an_answer_that_is_no_problem_is_still_an_error_by_status(content: bytes) -> None:
    with pytest.raises(NotFound, match="HTTP 404"):
        api_of(lambda request: httpx.Response(404, content=content)).site()


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b'"text"'])
def test_an_answer_that_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="not "):
        api_of(lambda request: httpx.Response(200, content=content)).site()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_outage_is_waited_out(status: int) -> None:
    answers = iter([status, status, 200])

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(next(answers), json={"organization": "northwind"})

    assert api_of(answer, retry_seconds=30).site() == {"organization": "northwind"}


def test_a_broken_connection_is_tried_again_with_the_same_bytes() -> None:
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        if len(bodies) == 1:
            raise httpx.ReadError("reset")
        return httpx.Response(201, json={"job_id": "1"})

    api = api_of(answer, retry_seconds=30)
    assert api._json("POST", "/api/jobs", b"{}") == {"job_id": "1"}
    assert bodies == [b"{}", b"{}"]


def test_an_outage_that_lasts_is_said() -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(Unavailable, match="coordinator.test does not answer .ConnectError"):
        api_of(down).site()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed", "not of this consortium's CA"),
        ("[SSL: TLSV1_ALERT_CERTIFICATE_REVOKED] alert", "refuses this site's certificate"),
    ],
)
def test_a_failed_handshake_is_not_tried_again(text: str, said: str) -> None:
    calls = 0

    def fail(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise httpx.ConnectError(text)

    with pytest.raises(TlsFailed, match=said):
        api_of(fail, retry_seconds=30).site()
    assert calls == 1


def test_an_interrupted_call_stops_waiting() -> None:
    def down(request: httpx.Request) -> httpx.Response:
        api.interrupt()
        raise httpx.ConnectError("refused")

    api = api_of(down, retry_seconds=3600)
    with pytest.raises(Interrupted):
        api.site()


def test_an_unchanged_inbox_is_the_one_kept() -> None:
    task = KeyTask(kind=Work.KEY, epoch="0" * 64)
    tags: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tags.append(request.headers.get("If-None-Match"))
        if tags[-1] == '"7"':
            return httpx.Response(304, headers={"ETag": '"7"'})
        inbox = Inbox(tasks=(task,), wait_ms=50)
        return httpx.Response(200, content=inbox.canonical(), headers={"ETag": '"7"'})

    api = api_of(answer)
    assert api.inbox() == api.inbox()
    assert api.inbox().tasks == (task,)
    assert tags == [None, '"7"', '"7"']


def test_only_https_is_spoken() -> None:
    with pytest.raises(InvalidInput, match="must start with https://"):
        CoordinatorAPI("http://coordinator.test", ssl.create_default_context())
