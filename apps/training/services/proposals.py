"""Checks of a proposed job, so that it fails at once rather than at its sites."""

from __future__ import annotations

from mmap import mmap

from django.conf import settings

from apps.keys.models import KeyEpoch
from apps.keys.selectors import check_open, roster
from apps.training.selectors.jobs import job_get_for
from apps.training.storage import state_bytes
from federated.errors import InvalidInput
from federated.protocol.agreement import JobAgreement
from federated.protocol.evaluation import evaluation_check
from federated.protocol.identity import verify_signed
from federated.training.server import ServerState
from federated.wire import key as wire
from federated.wire.base import Signed
from federated.wire.job import Evaluation, JobSpec


def proposal_check(signed: Signed[JobSpec], state: bytes | mmap) -> JobAgreement:
    """The agreement that it would be.

    Raises InvalidInput or SignatureInvalid with the first thing that does not hold.
    """
    spec = signed.body
    if spec.consortium != settings.FSC_CONSORTIUM:
        raise InvalidInput(f"consortium: {spec.consortium}; this is {settings.FSC_CONSORTIUM}")
    _check_participants(signed)
    epoch = _check_epoch(spec)
    if spec.privacy.mechanism == "none" and not settings.FSC_CONFIG.privacy.allow_no_noise:
        raise InvalidInput(
            'privacy.mechanism: "none" is not allowed here (privacy.allow_no_noise is off); '
            'allowed: "gaussian"'
        )
    agreement = JobAgreement(spec, epoch)
    agreement.check()
    _ = agreement.cost
    _check_state(spec, state)
    return agreement


def _check_participants(signed: Signed[JobSpec]) -> None:
    """Every participant is an admitted site, pinned with its present key."""
    spec = signed.body
    sites = {site.organization: site for site in roster().sites}
    for participant in spec.participants:
        site = sites.get(participant.organization)
        if site is None:
            raise InvalidInput(
                f"participants: {participant.organization} has no active site in the consortium"
            )
        if site.public_key != participant.public_key:
            raise InvalidInput(
                f"participants: the key pinned for {participant.organization} is not its site's"
            )
    verify_signed(signed, sites[spec.proposer].public_key)


def _check_epoch(spec: JobSpec) -> wire.KeyEpoch:
    row = check_open(KeyEpoch.objects.filter(digest=spec.key_epoch).first(), spec.key_epoch)
    epoch = row.wire
    trustees = [t.organization for t in epoch.trustees if spec.participant(t.organization)]
    if len(trustees) < epoch.threshold:
        raise InvalidInput(
            f"participants: {len(trustees)} of the key's trustees take part; "
            f"{epoch.threshold} are needed to decrypt"
        )
    return epoch


def _check_state(spec: JobSpec, content: bytes | mmap) -> None:
    state = ServerState.from_bytes(content)
    if state.digest() != spec.initial_state:
        raise InvalidInput(
            f"state: digest {state.digest()[:16]}; the spec names {spec.initial_state[:16]}"
        )
    if isinstance(spec.strategy, Evaluation):
        _check_evaluated(spec, spec.strategy)
        return
    if state.step != 0 or len(state.parameters) != spec.model.parameters:
        raise InvalidInput(
            f"state: step {state.step} with {len(state.parameters)} parameters; "
            f"step 0 with {spec.model.parameters} is needed"
        )


def _check_evaluated(spec: JobSpec, evaluation: Evaluation) -> None:
    """The proposer's job released this very state. Raises NotFound for a job of others, too."""
    trained = job_get_for(organization=spec.proposer, job_id=evaluation.job_id)
    found = trained.states.filter(step=evaluation.round).first()
    if found is None or evaluation.round > trained.wire.strategy.rounds:
        raise InvalidInput(
            f"strategy.round: job {evaluation.job_id} has released no round {evaluation.round}"
        )
    released = ServerState.from_bytes(state_bytes(found))
    evaluation_check(spec, trained=trained.wire, state=released)
