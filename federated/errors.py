"""The one tree of errors a user can meet.

DomainError
 x InvalidInput            bad shape, value or field
   . TooLarge              over a size limit
   . SignatureInvalid      a signature does not verify
   . ProofInvalid          a zero-knowledge proof does not verify
   . MaskKeyInvalid        the released sum of mask keys is out of range
 x NotAuthenticated        no credential, or one that is not known
 x Forbidden               known, but not allowed
 x NotFound                absent, or another organization's
 x Conflict                the object's state does not allow it
   . BudgetExceeded        the charge does not fit the allotment
   . AllotmentBelowSpent   less than what is spent or reserved
 x Unavailable             try again later

Every leaf carries a stable code, the HTTP status it maps to (RFC 9457) and whether the same
request may succeed later. Messages are safe to show: they name the field and what is allowed,
never a secret or a record.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """Base of all errors that are answers rather than defects."""

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "The request cannot be done"
    status: ClassVar[int] = 400
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields

    def problem(self) -> dict[str, Any]:
        """The RFC 9457 problem details of this error."""
        return {
            "type": f"urn:federated:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.message,
            "code": self.code,
            "retryable": self.retryable,
            **({"fields": self.fields} if self.fields else {}),
        }


class InvalidInput(DomainError):
    code = "invalid_input"
    title = "The input is not valid"
    status = 422


class TooLarge(InvalidInput):
    code = "too_large"
    title = "The input is over a size limit"
    status = 413


class SignatureInvalid(InvalidInput):
    code = "signature_invalid"
    title = "The signature does not verify"


class ProofInvalid(InvalidInput):
    code = "proof_invalid"
    title = "The proof does not verify"


class MaskKeyInvalid(InvalidInput):
    code = "mask_key_invalid"
    title = "A mask key was out of range"


class NotAuthenticated(DomainError):
    code = "not_authenticated"
    title = "No known credential"
    status = 401


class Forbidden(DomainError):
    code = "forbidden"
    title = "Not allowed"
    status = 403


class NotFound(DomainError):
    code = "not_found"
    title = "Not found"
    status = 404


class Conflict(DomainError):
    code = "conflict"
    title = "The state does not allow it"
    status = 409


class BudgetExceeded(Conflict):
    code = "budget_exceeded"
    title = "The charge does not fit the allotment"


class AllotmentBelowSpent(Conflict):
    code = "allotment_below_spent"
    title = "The allotment would be below what is spent or reserved"


class Unavailable(DomainError):
    code = "unavailable"
    title = "Not available now"
    status = 503
    retryable = True


class PrivacyWarning(UserWarning):
    """A privacy setting that is allowed, and that makes the result useless or hard to read."""
