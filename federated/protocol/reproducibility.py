"""Making a release's reproducibility record, and checking one against its transcript."""

from __future__ import annotations

from federated.crypto.masking import mask_seed
from federated.errors import InvalidInput
from federated.training.local import minibatch_seed
from federated.wire.job import Evaluation, JobSpec
from federated.wire.reproducibility import (
    PublicInputs,
    PublicSeeds,
    ReproducibilityRecord,
    Software,
)
from federated.wire.round import RoundContext, Transcript


def minibatch_order(context: RoundContext, organization: str) -> str:
    """What seeds a site's order of minibatches: another one each attempt, the same after a kill."""
    return f"{context.digest()}/{organization}"


def reproducibility_make(
    transcript: Transcript, *, spec: JobSpec, software: Software
) -> ReproducibilityRecord:
    """The record of a transcript's release. Raises InvalidInput where it has none."""
    release, context, cohort = transcript.release, transcript.context, transcript.cohort()
    if release is None:
        raise InvalidInput("the transcript has no release, nothing was computed")
    return ReproducibilityRecord(
        job_id=spec.job_id,
        round=context.round,
        attempt=context.attempt,
        software=software,
        inputs=PublicInputs(
            spec=spec.digest(),
            dictionary=spec.data.digest(),
            model=spec.model.digest(),
            key_epoch=spec.key_epoch,
            initial_state=spec.initial_state,
            state=context.model,
            context=context.digest(),
            cohort=cohort.digest(),
            contributions=dict(cohort.members),
        ),
        seeds=_seeds(spec, context, sorted(cohort.members)),
        release=release.digest(),
        state=release.state,
    )


def reproducibility_check(
    record: ReproducibilityRecord, transcript: Transcript, *, spec: JobSpec
) -> None:
    """Everything in a record but the software must follow from the transcript.

    Raises InvalidInput that names the first field that does not.
    """
    expected = reproducibility_make(transcript, spec=spec, software=record.software)
    for part in ("inputs", "seeds"):
        given, wanted = getattr(record, part), getattr(expected, part)
        for name in type(wanted).model_fields:
            if getattr(given, name) != getattr(wanted, name):
                raise InvalidInput(f"{part}.{name} is not the transcript's")
    for name in type(expected).model_fields:
        if getattr(record, name) != getattr(expected, name):
            raise InvalidInput(f"{name} is not the transcript's")


def _seeds(spec: JobSpec, context: RoundContext, members: list[str]) -> PublicSeeds:
    digest = context.digest()
    masked = spec.aggregation == "masked"
    local = not isinstance(spec.strategy, Evaluation) and spec.strategy.kind != "fedsgd"
    return PublicSeeds(
        mask=mask_seed(bytes.fromhex(digest)).hex() if masked else None,
        minibatches={
            name: minibatch_seed(minibatch_order(context, name)).hex()
            for name in (members if local else ())
        },
    )
