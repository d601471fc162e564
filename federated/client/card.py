"""A model card: what a released model is, made of its job's record alone (docs/model-card.md).

The idea is Mitchell et al., Model Cards for Model Reporting (arXiv 1810.03993); what stands here is
only what the record shows: intended use is the data dictionary's task, metrics are those of
joint evaluations, and what nothing shows is listed as a limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from federated.client.card_words import limits, privacy_words, round_words, task_words
from federated.client.joint_evaluation import evaluation_of
from federated.client.verify_evaluations import spec_of
from federated.errors import InvalidInput
from federated.protocol.cost import job_epsilons, privacy_warnings, round_rho
from federated.provenance.bundle import Bundle, record_read
from federated.provenance.checkpoint import parse_checkpoint
from federated.provenance.verify import Check
from federated.training.network import initial_parameters
from federated.training.server import ServerState
from federated.wire.base import decode_bytes
from federated.wire.job import Evaluation, JobSpec
from federated.wire.record import JobRecord

FORMAT = "federated-simulation-cloud/model-card/1"


def bundle_card(
    bundle: Bundle, *, job_id: str | None = None, checks: Sequence[Check] = ()
) -> dict[str, Any]:
    """The card of a bundle's job, with the metrics of the evaluations that the bundle holds.

    ``checks`` are the verifier's results for this bundle. Raises InvalidInput where one failed, or
    where the bundle holds no released model, or several and ``job_id`` names none of them.
    """
    for check in checks:
        if check.status == "failed":
            raise InvalidInput(f"the bundle does not verify: {check.name}: {check.detail}")
    raw = bundle.sections.get("jobs")
    items = raw if isinstance(raw, list) else []
    records = [record_read(JobRecord, item) for item in items if isinstance(item, dict)]
    return {
        **card_make(_chosen(records, job_id), evaluations=records),
        "verification": _verification(checks),
        "logs": [_log(log.origin, log.verifier_key, log.checkpoints[-1]) for log in bundle.logs],
        "anchors": [
            {
                "size": anchor.size,
                "root": anchor.root,
                "chain_id": anchor.chain_id,
                "contract": anchor.contract,
                "transaction": anchor.tx_hash,
                "block": anchor.block_number,
            }
            for anchor in bundle.anchors
        ],
    }


def card_make(record: JobRecord, *, evaluations: Iterable[JobRecord] = ()) -> dict[str, Any]:
    """The card of one job's record, as JSON values; evaluations of other models are left out.

    Verifies nothing. Raises InvalidInput for a job that released no model.
    """
    spec = _trained(record)
    rounds = _rounds(record)
    if not rounds:
        raise InvalidInput(f"job {spec.job_id} released no round, there is no model")
    return {
        "format": FORMAT,
        "job_id": spec.job_id,
        "consortium": spec.consortium,
        "proposer": spec.proposer,
        "proposed_at": spec.proposed_at,
        "task": {
            "summary": task_words(spec),
            "dataset": spec.data.dataset,
            "target": spec.data.target.dump(),
        },
        "model": {
            "round": rounds[-1]["round"],
            "state": rounds[-1]["state"],
            "layers": [layer.dump() for layer in spec.model.layers],
            "inputs": spec.model.inputs,
            "outputs": spec.model.outputs,
            "parameters": spec.model.parameters,
        },
        "participants": _participants(record, spec),
        "data": spec.data.dump(),
        "training": {
            "summary": round_words(spec),
            "strategy": spec.training.dump(),
            "aggregation": spec.aggregation,
            "minimum_cohort": spec.minimum_cohort,
            "denominator": spec.denominator,
            "rounds": spec.training.rounds,
            "released": len(rounds),
            "abandoned": sum(attempt.release is None for attempt in record.attempts),
        },
        "privacy": _privacy(record, spec),
        "evaluations": _evaluations(spec, rounds, evaluations),
        "software": _software(record),
        "seeds": _seeds(record, spec),
        "digests": {
            "spec": spec.digest(),
            "dictionary": spec.data.digest(),
            "model": spec.model.digest(),
            "key_epoch": spec.key_epoch,
            "initial_state": spec.initial_state,
            "state": rounds[-1]["state"],
        },
        "rounds": rounds,
        "statements": {
            "verdicts": len(record.verdicts),
            "refusals": len(record.refusals),
        },
        "decryption": {
            "key_epoch": record.key_epoch.number,
            "threshold": record.key_epoch.threshold,
            "trustees": len(record.key_epoch.trustees),
            "max_colluding": record.key_epoch.max_colluding,
        },
        "limits": limits(record.key_epoch),
    }


def _chosen(records: Sequence[JobRecord], job_id: str | None) -> JobRecord:
    found = {}
    for record in records:
        spec = spec_of(record)
        if spec is not None and not isinstance(spec.strategy, Evaluation):
            found[spec.job_id] = record
    if not found:
        raise InvalidInput("the bundle holds no job that trained a model")
    if job_id is None and len(found) == 1:
        return next(iter(found.values()))
    if job_id not in found:
        raise InvalidInput(f"--job: the bundle holds the models of {', '.join(sorted(found))}")
    return found[job_id]


def _trained(record: JobRecord) -> JobSpec:
    spec = spec_of(record)
    if spec is None:
        raise InvalidInput("no attempt of this job was closed, there is no model")
    if isinstance(spec.strategy, Evaluation):
        raise InvalidInput(f"job {spec.job_id} is a joint evaluation: it trains no model")
    return spec


def _rounds(record: JobRecord) -> list[dict[str, Any]]:
    """The released rounds, in order, each by its digests."""
    records = {made.release: made.digest() for made in record.reproducibility}
    rounds = []
    for attempt in record.attempts:
        if attempt.release is None:
            continue
        digest = attempt.release.digest()
        cohort = attempt.cohort()
        rounds.append(
            {
                "round": attempt.context.round,
                "attempt": attempt.context.attempt,
                "members": sorted(cohort.members),
                "context": cohort.context,
                "cohort": cohort.digest(),
                "release": digest,
                "state": attempt.release.state,
                "reproducibility": records.get(digest),
            }
        )
    return rounds


def _participants(record: JobRecord, spec: JobSpec) -> list[dict[str, Any]]:
    counted = dict.fromkeys((p.organization for p in spec.participants), 0)
    signers: dict[str, str] = {}
    for attempt in record.attempts:
        signers |= {s.body.organization: s.signer for s in attempt.approvals}
        if attempt.release is not None:
            for name in attempt.cohort().members:
                counted[name] += 1
    return [
        {
            "organization": name,
            "site_key": signers.get(name),
            "rounds": rounds,
            "trustee": record.key_epoch.trustee(name) is not None,
        }
        for name, rounds in counted.items()
    ]


def _privacy(record: JobRecord, spec: JobSpec) -> dict[str, Any]:
    """The spec's privacy, and what its attempts cost: each one that charges were signed for."""
    privacy = spec.privacy
    charged = sum(bool(attempt.receipts) for attempt in record.attempts)
    return {
        **privacy.dump(),
        "honest": spec.honest,
        "noise_of_a_sum": privacy.noise_sigma * math.sqrt(len(spec.participants)),
        "rho_of_a_round": _finite(round_rho(spec, honest=spec.honest)),
        "charged_attempts": charged,
        "spent": {
            name: _finite(value) for name, value in job_epsilons(spec, rounds=charged).items()
        },
        **privacy_words(spec),
        "warnings": privacy_warnings(spec),
    }


def _evaluations(
    spec: JobSpec, rounds: Sequence[dict[str, Any]], records: Iterable[JobRecord]
) -> list[dict[str, Any]]:
    """The results of evaluations whose model is one that this job released."""
    released = {one["round"]: one["state"] for one in rounds}
    found = []
    for record in records:
        evaluation = spec_of(record)
        if evaluation is None or not isinstance(evaluation.strategy, Evaluation):
            continue
        strategy = evaluation.strategy
        if (strategy.job_id, strategy.spec) != (spec.job_id, spec.digest()):
            continue
        if released.get(strategy.round) != evaluation.initial_state:
            continue
        for attempt in record.attempts:
            if attempt.release is not None:
                members = tuple(sorted(attempt.cohort().members))
                told = evaluation_of(evaluation, attempt.release, members, verified=False).dump()
                del told["verified"]
                epsilon = {name: _finite(value) for name, value in told["epsilon"].items()}
                found.append(
                    told
                    | {"epsilon": epsilon, "round": strategy.round}
                    | {"proposed_at": evaluation.proposed_at}
                )
    return found


def _software(record: JobRecord) -> list[dict[str, Any]]:
    """What released the rounds, each software once, with the rounds it released."""
    rounds: dict[str, list[int]] = {}
    known = {}
    for made in record.reproducibility:
        digest = made.software.digest()
        known[digest] = made.software
        rounds.setdefault(digest, []).append(made.round)
    return [
        {**known[digest].dump(), "first_round": min(listed), "last_round": max(listed)}
        for digest, listed in rounds.items()
    ]


def _seeds(record: JobRecord, spec: JobSpec) -> dict[str, Any]:
    """Where training began, and the seeds of each round that have any.

    ``initial`` is ``drawn``: from the seed that is the model's digest, ``zeros``, or ``brought`` by
    the proposer; the state itself is in the bundle in any case.
    """
    begun = ServerState.from_bytes(decode_bytes(record.initial_state)).parameters
    if not begun.any():
        initial = "zeros"
    elif (begun == initial_parameters(spec.model)).all():
        initial = "drawn"
    else:
        initial = "brought"
    listed = [
        {"round": made.round, **made.seeds.dump()}
        for made in record.reproducibility
        if made.seeds.mask is not None or made.seeds.minibatches
    ]
    return {"initial": initial, "rounds": listed}


def _verification(checks: Sequence[Check]) -> dict[str, Any] | None:
    if not checks:
        return None
    return {
        "held": sum(check.status == "ok" for check in checks),
        "skipped": [
            {"name": check.name, "detail": check.detail}
            for check in checks
            if check.status == "skipped"
        ],
    }


def _log(origin: str, verifier_key: str, note: str) -> dict[str, Any]:
    head = parse_checkpoint(note)
    return {
        "origin": origin,
        "verifier_key": verifier_key,
        "size": head.size,
        "root": head.root.hex(),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
