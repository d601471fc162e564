"""Training: gradients or updates with the sites' own noise; an abandoned attempt is retried."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federated.aggregation.base import Sealed, Sink, Total
from federated.errors import InvalidInput
from federated.privacy import discrete_gaussian
from federated.protocol.agreement import JobAgreement
from federated.protocol.checks import blaming
from federated.protocol.cost import share_sigma
from federated.protocol.identity import SiteIdentity
from federated.protocol.kinds.base import Kind
from federated.protocol.layout import clamp_of
from federated.training.server import ServerState, server_step
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.job import Evaluation, JobSpec
from federated.wire.round import (
    Cohort,
    Contribution,
    ExpiredContribution,
    Reason,
    Release,
    RoundContext,
    Transcript,
)
from federated.wire.site import Work

_PIECE = 1 << 14


class Training(Kind):
    """A round of a job. The server's step follows from its release, then the next round."""

    name = "training"
    spec = JobSpec
    agreement = JobAgreement
    contribution = "contribution"
    work = Work.TRAIN
    gone = Reason.CONTRIBUTION_EXPIRED
    changed = Reason.OWN_CONTRIBUTION_CHANGED
    attempts_most = 4

    def takes(self, spec: Any) -> bool:
        return super().takes(spec) and not isinstance(spec.strategy, Evaluation)

    def spec_check(self, transcript: Transcript, *, agreement: JobAgreement) -> None:
        super().spec_check(transcript, agreement=agreement)
        with blaming("spec"):
            agreement.verify_by(transcript.spec, agreement.spec.proposer)

    def epsilon(self, spec: JobSpec) -> float | None:
        return spec.privacy.epsilon

    def contribution_check(
        self, signed: Signed[Contribution], *, agreement: JobAgreement, context: RoundContext
    ) -> None:
        """The bytes of a masked vector are not needed for it: its digest is signed and proven.

        Whoever reads them checks them against it (total_of).
        """
        body = signed.body
        agreement.verify(signed)
        digest = context.digest()
        if body.context != digest:
            raise InvalidInput(
                f"context: bound to {body.context[:16]}, this attempt's is {digest[:16]}"
            )
        agreement.aggregator.verify(
            Sealed(
                tuple(decode_bytes(ciphertext) for ciphertext in body.ciphertexts),
                decode_bytes(body.proof),
                body.masked,
            ),
            context=bytes.fromhex(digest),
            organization=body.organization,
        )

    def cohort(self, *, context: str, members: Mapping[str, str]) -> Cohort:
        return Cohort(context=context, members=dict(members))

    def product(self, transcript: Transcript, *, agreement: JobAgreement) -> list[int]:
        combined = agreement.aggregator.combine(
            [
                [decode_bytes(ciphertext) for ciphertext in signed.body.ciphertexts]
                for signed in transcript.contributions
            ]
        )
        return [int.from_bytes(ciphertext, "big") for ciphertext in combined]

    def state_check(self, context: RoundContext, state: ServerState) -> None:
        if context.model != state.digest():
            raise InvalidInput(
                f"the round starts from state {context.model[:16]}, "
                f"recomputed is {state.digest()[:16]}"
            )

    def release(
        self,
        transcript: Transcript,
        plaintexts: list[int],
        *,
        agreement: JobAgreement,
        state: ServerState,
        total: Total | None,
    ) -> tuple[Release, ServerState]:
        """Decode the sum, step the server state. Raises MaskKeyInvalid as well."""
        cohort, masked = transcript.cohort(), agreement.spec.aggregation == "masked"
        decoded = agreement.aggregator.decode(
            plaintexts, len(cohort.members), context=bytes.fromhex(cohort.context), total=total
        )
        after = self.step(state, decoded, agreement.spec)
        release = Release(
            context=cohort.context,
            cohort=cohort.digest(),
            values=() if masked else tuple(decoded.tolist()),
            state=after.digest(),
            sum=_digest(decoded) if masked else None,
        )
        return release, after

    def step(self, state: ServerState, decoded: NDArray[np.int64], spec: JobSpec) -> ServerState:
        """The server state that follows from a decoded sum."""
        return server_step(
            state,
            decoded,
            strategy=spec.training,
            privacy=spec.privacy,
            denominator=spec.denominator,
        )

    def release_compare(self, shown: Release, expected: Release) -> None:
        if (expected.values, expected.sum) != (shown.values, shown.sum):
            raise InvalidInput("the released sum differs from the one the shares combine to")
        if expected != shown:
            raise InvalidInput("the released state differs from the recomputed server step")


TRAINING = Training()


def contribution_make(
    *,
    agreement: JobAgreement,
    context: RoundContext,
    identity: SiteIdentity,
    gradient: NDArray[np.int64],
    sink: Sink | None = None,
) -> Signed[Contribution]:
    """The signed contribution of a bounded gradient sum (int64, shape (d,), grid units).

    Coordinates are clamped, then the noise share of the context's smallest cohort is added. Every
    call draws fresh noise and randomness: store the result before it is sent, and resend those very
    bytes. ``sink`` takes the masked vector of a masked job, piece by piece, so that no more than
    pieces of it are in memory.
    Raises InvalidInput for another shape or type, or a masked job without a sink.
    """
    spec = agreement.spec
    if gradient.shape != (spec.dimension,) or gradient.dtype != np.int64:
        raise InvalidInput(
            f"gradient has shape {gradient.shape} and type {gradient.dtype}; "
            f"({spec.dimension},) and int64 are allowed"
        )
    digest = context.digest()
    sealed = agreement.aggregator.encrypt(
        _noisy(gradient, spec, share_sigma(spec, minimum_cohort=agreement.minimum(context))),
        context=bytes.fromhex(digest),
        organization=identity.organization,
        sink=sink,
    )
    return identity.sign(
        Contribution(
            context=digest,
            organization=identity.organization,
            ciphertexts=tuple(encode_bytes(ciphertext) for ciphertext in sealed.ciphertexts),
            proof=encode_bytes(sealed.proof),
            masked=sealed.masked,
        )
    )


def _noisy(gradient: NDArray[np.int64], spec: JobSpec, sigma: float) -> Iterator[NDArray[np.int64]]:
    """The clamped gradient with its noise share, in pieces."""
    clamp = clamp_of(spec)
    for at in range(0, len(gradient), _PIECE):
        piece = np.clip(gradient[at : at + _PIECE], -clamp, clamp)
        if sigma > 0:
            piece += discrete_gaussian.sample(sigma, len(piece))
        yield piece


def expired_of(signed: Signed[Contribution]) -> ExpiredContribution:
    """What stays of a contribution after its retention."""
    body = signed.body
    return ExpiredContribution(
        organization=body.organization,
        envelope=signed.digest(),
        ciphertexts=len(body.ciphertexts),
        proof=hashlib.sha256(decode_bytes(body.proof)).hexdigest(),
        masked=body.masked,
    )


def _digest(values: NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<i8").data).hexdigest()
