"""Checks that every kind of joint computation shares: approvals, members, charges.

The coordinator is not trusted: all is recomputed from the agreement that the site keeps, and
signatures by keys that its spec pins. A check that fails raises Refused with its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from federated.errors import InvalidInput, SignatureInvalid
from federated.protocol.agreement import AnyAgreement
from federated.protocol.refused import Refused
from federated.wire.base import Message, Signed
from federated.wire.round import ChargeReceipt, Reason


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Turn an error of a signature, a shape or a proof into the refusal that names ``what``."""
    try:
        yield
    except SignatureInvalid as error:
        raise Refused(Reason.SIGNATURE_INVALID, f"{what}: {error.message}") from error
    except InvalidInput as error:  # ProofInvalid is one
        raise Refused(Reason.PROOF_INVALID, f"{what}: {error.message}") from error


def approval_check(signed: Signed[Any], *, agreement: AnyAgreement) -> None:
    """Check one countersignature: a participant's, of this very spec, with its cost.

    Raises Refused.
    """
    given = signed.body
    name: str = given.organization
    if agreement.participant(name) is None:
        raise Refused(Reason.MEMBER_UNKNOWN, f"approval of {name}")
    expected: Any = agreement.approval(name)
    if type(given) is not type(expected) or given.spec != expected.spec:
        raise Refused(Reason.APPROVAL_MISSING, f"{name} approved another spec")
    with blaming(f"approval of {name}"):
        agreement.verify(signed)
    if given != expected:
        raise Refused(
            Reason.APPROVAL_MISSING,
            f"{name} approved {_terms(given)}; the {agreement.NOUN} is {_terms(expected)}",
        )


def _terms(approval: Message) -> str:
    terms = approval.dump()
    terms |= terms.pop("cost")
    hidden = ("spec", "organization", "unit")
    return ", ".join(f"{name} {value}" for name, value in terms.items() if name not in hidden)


def approvals_check(
    approvals: Sequence[Signed[Any]], needed: Collection[str], *, agreement: AnyAgreement
) -> None:
    """Check every approval, and that all of ``needed`` gave one. Raises Refused."""
    for signed in approvals:
        approval_check(signed, agreement=agreement)
    missing = sorted(set(needed) - {signed.body.organization for signed in approvals})
    if missing:
        raise Refused(Reason.APPROVAL_MISSING, f"not approved by {', '.join(missing)}")


def members_check(
    names: Sequence[str], *, agreement: AnyAgreement, minimum: int, what: str
) -> None:
    """Check that a cohort's organizations are participants, none twice, and enough.

    ``minimum`` is the attempt's: fewer members' noise shares do not reach the target together.
    ``what`` is what people call a contribution. Raises Refused.
    """
    for name in names:
        if agreement.participant(name) is None:
            raise Refused(Reason.MEMBER_UNKNOWN, f"{what} of {name}, not in the spec")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Refused(Reason.MEMBER_REPEATED, f"more than one {what} of {repeated[0]}")
    if len(names) < minimum:
        raise Refused(
            Reason.COHORT_BELOW_MINIMUM,
            f"{len(names)} {what}s ({', '.join(sorted(names))}), "
            f"this attempt's minimum is {minimum}",
        )


def charges_check(
    receipts: Sequence[Signed[ChargeReceipt]], *, agreement: AnyAgreement, cohort: Any
) -> None:
    """Check that every member of the cohort committed this attempt's whole charge.

    Raises Refused: charge_missing names the members without a receipt, charge_mismatch a receipt
    for another cohort or another cost.
    """
    digest = cohort.digest()
    for signed in receipts:
        receipt = signed.body
        name = receipt.organization
        if agreement.participant(name) is None or name not in cohort.members:
            raise Refused(Reason.MEMBER_UNKNOWN, f"receipt of {name}, not in the cohort")
        with blaming(f"receipt of {name}"):
            agreement.verify(signed)
        if receipt.context != cohort.context or receipt.cohort != digest:
            raise Refused(
                Reason.CHARGE_MISMATCH, f"receipt of {name} is for another attempt or cohort"
            )
        if receipt.cost != agreement.cost:
            raise Refused(
                Reason.CHARGE_MISMATCH,
                f"receipt of {name} charges rho {receipt.cost.rho}, "
                f"the spec costs {agreement.cost.rho}",
            )
    missing = sorted(set(cohort.members) - {signed.body.organization for signed in receipts})
    if missing:
        raise Refused(Reason.CHARGE_MISSING, f"no charge by {', '.join(missing)}")
