"""A model card: what a released model is, made of its job's record alone (docs/model-card.md).

The idea is Mitchell et al., Model Cards for Model Reporting (arXiv 1810.03993); what stands here is
only what the record shows: intended use is the data dictionary's task, metrics are those of
joint evaluations, and what nothing shows is listed as a limit.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from federated.card.source import CardSource, sources_of
from federated.card.words import limits, privacy_words, round_words, task_words
from federated.errors import InvalidInput
from federated.protocol.cost import full_sigma, job_epsilons, privacy_warnings, round_rho
from federated.protocol.joint_evaluation import evaluation_of
from federated.provenance.bundle import Bundle, record_read
from federated.provenance.checkpoint import parse_checkpoint
from federated.provenance.verify import Check
from federated.training.network import initial_parameters
from federated.training.server import ServerState
from federated.wire.job import Evaluation
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
    sources = sources_of(record_read(JobRecord, i) for i in items if isinstance(i, dict))
    return {
        **card_make(_chosen(sources, job_id), evaluations=sources),
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


def card_make(source: CardSource, *, evaluations: Iterable[CardSource] = ()) -> dict[str, Any]:
    """The card of one job, as JSON values; evaluations of other models are left out.

    Verifies nothing. Raises InvalidInput for a job that released no model.
    """
    spec = source.spec
    if not source.trains:
        raise InvalidInput(f"job {spec.job_id} is a joint evaluation: it trains no model")
    rounds = _rounds(source)
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
            "purpose": spec.purpose or None,
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
        "participants": _participants(source),
        "data": spec.data.dump(),
        "training": {
            "summary": round_words(spec),
            "strategy": spec.training.dump(),
            "aggregation": spec.aggregation,
            "minimum_cohort": spec.minimum_cohort,
            "denominator": spec.denominator,
            "rounds": spec.training.rounds,
            "released": len(rounds),
            "abandoned": len(source.attempts) - len(rounds),
        },
        "privacy": _privacy(source),
        "evaluations": _evaluations(source, evaluations),
        "software": _software(source),
        "seeds": _seeds(source),
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
            "verdicts": source.verdicts,
            "refusals": source.refusals,
        },
        "decryption": {
            "key_epoch": source.epoch.number,
            "threshold": source.epoch.threshold,
            "trustees": len(source.epoch.trustees),
            "max_colluding": source.epoch.max_colluding,
        },
        "limits": limits(source.epoch),
    }


def card_json(card: dict[str, Any]) -> str:
    """The card as a JSON file for people and programs."""
    return json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _chosen(sources: Sequence[CardSource], job_id: str | None) -> CardSource:
    found = {source.spec.job_id: source for source in sources if source.trains}
    if not found:
        raise InvalidInput("the bundle holds no job that trained a model")
    if job_id is None and len(found) == 1:
        return next(iter(found.values()))
    if job_id not in found:
        raise InvalidInput(f"--job: the bundle holds the models of {', '.join(sorted(found))}")
    return found[job_id]


def _rounds(source: CardSource) -> list[dict[str, Any]]:
    """The released rounds, in order, each by its digests."""
    records = {made.release: made.digest() for made in source.records}
    return [
        {
            "round": one.round,
            "attempt": one.attempt,
            "members": list(one.members),
            "context": one.context,
            "cohort": one.cohort,
            "release": one.release,
            "state": one.state,
            "reproducibility": records.get(one.release or ""),
        }
        for one in source.released
    ]


def _participants(source: CardSource) -> list[dict[str, Any]]:
    counted = Counter(name for one in source.released for name in one.members)
    return [
        {
            "organization": name,
            "site_key": key,
            "rounds": counted[name],
            "trustee": source.epoch.trustee(name) is not None,
        }
        for name, key in source.site_keys().items()
    ]


def _privacy(source: CardSource) -> dict[str, Any]:
    """The spec's privacy, and what its attempts cost that the whole cohort was charged for."""
    spec = source.spec
    charged = sum(one.charged for one in source.attempts)
    spent = job_epsilons(spec, rounds=charged)
    return {
        **spec.privacy.dump(),
        "honest": spec.honest,
        "noise_of_a_sum": full_sigma(spec),
        "rho_of_a_round": _finite(round_rho(spec)),
        "charged_attempts": charged,
        "spent": {name: _finite(value) for name, value in spent.items()},
        **privacy_words(spec),
        "warnings": privacy_warnings(spec),
    }


def _evaluations(source: CardSource, others: Iterable[CardSource]) -> list[dict[str, Any]]:
    """The results of evaluations whose model is one that this job released."""
    released = {one.round: one.state for one in source.released}
    known = (source.spec.job_id, source.spec.digest())
    found = []
    for other in others:
        strategy = other.spec.strategy
        if not isinstance(strategy, Evaluation) or other.counts is None:
            continue
        if (strategy.job_id, strategy.spec) != known:
            continue
        if released.get(strategy.round) != other.spec.initial_state:
            continue
        last = other.released[-1]
        told = evaluation_of(
            other.spec,
            other.counts,
            last.members,
            minimum_cohort=last.minimum_cohort,
            verified=False,
        ).dump()
        del told["verified"]
        epsilon = {name: _finite(value) for name, value in told["epsilon"].items()}
        more = {"round": strategy.round, "proposed_at": other.spec.proposed_at}
        found.append(told | more | {"epsilon": epsilon})
    return found


def _software(source: CardSource) -> list[dict[str, Any]]:
    """What released the rounds, each software once, with the rounds it released."""
    rounds: dict[str, list[int]] = {}
    known = {}
    for made in source.records:
        digest = made.software.digest()
        known[digest] = made.software
        rounds.setdefault(digest, []).append(made.round)
    return [
        {**known[digest].dump(), "first_round": min(listed), "last_round": max(listed)}
        for digest, listed in rounds.items()
    ]


def _seeds(source: CardSource) -> dict[str, Any]:
    """Where training began, and the seeds of each round that have any.

    ``initial`` is ``drawn``: from the seed that is the model's digest, ``zeros``, or ``brought`` by
    the proposer. The digest tells: a large state may not be here.
    """
    initial = "brought"
    begun, model = source.spec.initial_state, source.spec.model
    if begun == ServerState.initial(np.zeros(model.parameters)).digest():
        initial = "zeros"
    elif begun == ServerState.initial(initial_parameters(model)).digest():
        initial = "drawn"
    listed = [
        {"round": made.round, **made.seeds.dump()}
        for made in source.records
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
