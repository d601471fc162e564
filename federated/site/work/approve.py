"""Approving a job: all that a site checks before it sets aside budget and countersigns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from federated.errors import DomainError, InvalidInput, Unavailable
from federated.extras import MissingExtra
from federated.protocol.agreement import JobAgreement
from federated.protocol.cost import job_cost
from federated.protocol.evaluation import evaluation_check
from federated.site.folder import SiteHome
from federated.site.site import Site, Waiting, pins_check, reserve, short
from federated.site.work.evaluate import held_out_of, trained_of
from federated.site.work.key import epoch_of
from federated.site.work.round import catch_up
from federated.training.server import ServerState
from federated.wire.base import Signed
from federated.wire.job import LARGEST_EPSILON, Decline, Evaluation, JobSpec

if TYPE_CHECKING:
    from federated.training.fit import TableFit


class DataUnfit(InvalidInput):
    """The local data does not fit; ``local`` says why, for this site's people alone."""

    code = "data_unfit"
    title = "The site's data does not fit the job"

    def __init__(self, dataset: str, local: str) -> None:
        super().__init__(f"the site's data does not fit the dictionary of {dataset}")
        self.local = local


def job_decide(site: Site, job_id: str) -> None:
    """Sign an Approval, or a Decline with the reason; the same bytes when asked again.

    Raises Waiting where the policy leaves the decision to a person who has not made it, and the
    coordinator's errors as they are: neither decides anything.
    """
    folder = site.home.job(job_id)
    job = site.api.job(job_id)
    signed: Signed[JobSpec] = Signed[JobSpec].parse(job["spec"])
    spec = signed.body
    if spec.job_id != job_id:
        raise InvalidInput(f"job {spec.job_id} came for {job_id}")
    declined = folder.signed(Decline, "decline")
    if declined is not None and declined.body.spec == spec.digest():
        site.api.job_decline(declined)
        return
    kept, fit = folder.spec(), None
    if kept is None or kept.digest() != spec.digest():
        agreement = JobAgreement(spec, epoch_of(site, spec.key_epoch))
        state = site.api.model(spec.initial_state)
        try:
            _check(site, signed, agreement, state)
            _check_person(site, spec, job)
            reserve(site, agreement)
            folder.state_keep(0, [state])
            folder.spec_keep(spec)
            fit = site.data.fit(spec)
        except Unavailable:
            raise
        except DomainError as error:
            _decline(site, spec, error)
            return
    approval = site.agreement(spec).approval(site.organization)
    site.api.job_approve(folder.signed_keep("approval", site.identity.sign(approval)))
    site.say(f"job {job_id[:8]} of {spec.proposer} approved: {_summary(spec)}")
    if fit is not None and fit.notable:
        site.say(f"job {job_id[:8]}: {_data_line(fit)}")


def spec_check(site: Site, signed: Signed[JobSpec], agreement: JobAgreement) -> None:
    """Check a spec's signature, keys, claimed privacy and fit, against what this site knows.

    Raises InvalidInput or SignatureInvalid naming what is wrong.
    """
    agreement.verify_by(signed, signed.body.proposer)
    pins_check(site, agreement)
    agreement.check()


def _check(site: Site, signed: Signed[JobSpec], agreement: JobAgreement, content: bytes) -> None:
    """All that the site decides by itself, before budget and people are asked."""
    spec = signed.body
    site.home.epoch_folder(spec.key_epoch).check_not_retired()
    spec_check(site, signed, agreement)
    site.home.policy().check(spec, organization=site.organization)
    state = ServerState.from_bytes(content)
    if state.digest() != spec.initial_state:
        raise InvalidInput("the initial state is not the one that the spec names")
    if isinstance(spec.strategy, Evaluation):
        evaluation_accept(site, spec, spec.strategy)
        _check_data(site, spec)
        held_out_of(site, spec)
        return
    if state.step != 0 or state.parameters.shape != (spec.model.parameters,):
        raise InvalidInput(
            f"the initial state has step {state.step} and {state.parameters.size} parameters, "
            f"the model {spec.model.parameters}"
        )
    _check_data(site, spec)


def evaluation_accept(site: Site, spec: JobSpec, evaluation: Evaluation) -> None:
    """Check that the evaluation is of a release that this site recomputed.

    Raises InvalidInput naming what is wrong.
    """
    trained = trained_of(site, evaluation)
    folder = site.home.job(evaluation.job_id)
    if evaluation.round <= trained.strategy.rounds:
        catch_up(site, evaluation.job_id, upto=evaluation.round)
    state = folder.state_read(evaluation.round)
    if state is None:
        raise InvalidInput(
            f"strategy.round: this site holds no state of round {evaluation.round} of job "
            f"{evaluation.job_id}"
        )
    evaluation_check(spec, trained=trained, state=state)


def _check_data(site: Site, spec: JobSpec) -> None:
    """Encode the site's rows, and count how they fit. The coordinator learns neither."""
    try:
        site.data.check(spec)
        site.data.fit(spec)
    except MissingExtra:
        raise  # a matter of this installation, which a person mends: no reason to decline
    except DomainError as error:
        raise DataUnfit(spec.data.dataset, error.message) from error


def _check_person(site: Site, spec: JobSpec, job: dict[str, Any]) -> None:
    """A policy of ``portal`` waits for a yes there; the site's own scientist's job has one."""
    own = site.home.job(spec.job_id).binding() is not None
    if own or site.home.policy().decision(spec) != "portal":
        return
    if not job.get("approved_by_person"):
        raise Waiting(
            f"job {spec.job_id[:8]} of {spec.proposer} waits for a person's approval: "
            f"{cost_line(site.home, spec)}; {_data_line(site.data.fit(spec))}; by column: "
            f"federated data check {spec.job_id} --home {site.home.path}"
        )


def _data_line(fit: TableFit) -> str:
    """How the site's own rows fit: said here, and never sent."""
    return f"the data here, known to this site alone: {fit.line()}"


def cost_line(home: SiteHome, spec: JobSpec) -> str:
    """What the job would take of this site's own ledger, and leave, in words."""
    cost = job_cost(spec)
    told = home.ledger.outlook(cost, home.policy().allotment_of(cost.dataset))
    line = (
        f"it would cost epsilon {told.alone:.3f} of {cost.dataset} per {cost.unit} at delta "
        f"{told.allotment.delta:g}; {max(told.left, 0):.3f} is left of "
        f"{told.allotment.epsilon:g} a {told.allotment.period}, "
    )
    return line + (f"{told.after:.3f} would be" if told.after >= 0 else f"{-told.after:.3f} short")


def _decline(site: Site, spec: JobSpec, error: DomainError) -> None:
    decline = Decline(
        job_id=spec.job_id,
        spec=spec.digest(),
        organization=site.organization,
        reason=short(error)[:500],
    )
    folder = site.home.job(spec.job_id)
    local = f" ({error.local})" if isinstance(error, DataUnfit) else ""
    site.say(f"job {spec.job_id[:8]} of {spec.proposer} declined: {short(error)}{local}")
    site.api.job_decline(folder.signed_keep("decline", site.identity.sign(decline)))


def _summary(spec: JobSpec) -> str:
    reason = spec.privacy.high_epsilon_reason
    return (
        f"{spec.strategy.rounds} rounds, epsilon {spec.privacy.epsilon:g} at delta "
        f"{spec.privacy.delta:g} a {spec.privacy.unit}, {len(spec.participants)} sites"
        + (f"; epsilon above {LARGEST_EPSILON:g}, because: {reason}" if reason else "")
        + (f"; for: {spec.purpose}" if spec.purpose else "")
    )
