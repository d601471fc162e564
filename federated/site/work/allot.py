"""What an organization's admin asks of the ledger in the portal: decided here, never there."""

from __future__ import annotations

from federated.errors import InvalidInput
from federated.site.allotments import describe
from federated.site.site import Site


def request_decide(site: Site, request_id: str) -> None:
    """Take a request once; the next ledger report tells the portal how it stands.

    The portal's word is all there is for who asked. So nothing that grants more holds before a
    person at this site confirms it. Raises InvalidInput for another organization's request,
    Conflict for other content under an id that came before.
    """
    request = site.api.allotment_request(request_id)
    if request.id != request_id or request.organization != site.organization:
        raise InvalidInput(f"request {request.id} of {request.organization} came for {request_id}")
    lower_at_once = site.home.policy().portal_allotments == "lower"
    answer, new = site.home.ledger.request_take(request, lower_at_once=lower_at_once)
    if not new:
        return
    asked = f"{request.dataset}: {request.requested_by} asks in the portal for "
    asked += f"{describe(request.allotment)} ({request.reason}): {answer.state}, {answer.detail}"
    if answer.state == "waiting":
        asked += f"; federated ledger confirm {request.id} --home {site.home.path}"
    site.say(asked)
