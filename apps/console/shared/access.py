"""Who may see or do what, where the address alone does not say it."""

from __future__ import annotations

from apps.common.requests import OperatorRequest, OrganizationRequest
from apps.common.roles import Role
from federated.errors import Forbidden, NotFound

#: Who may act on jobs; an auditor reads.
ACTING = (Role.ADMIN, Role.SCIENTIST)


def operators_only(request: OperatorRequest) -> None:
    """For everybody else there is nothing here: raises NotFound."""
    if not request.user.is_operator:
        raise NotFound("There is nothing at this address.")


def acting_only(request: OrganizationRequest) -> None:
    """Raises Forbidden for a member who may only read."""
    if request.membership.role not in ACTING:
        raise Forbidden(
            f"Your role here is {request.membership.role}; this needs {' or '.join(ACTING)}."
        )
