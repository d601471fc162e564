"""What a site accepts: its organization's file, which the coordinator cannot weaken.

Example::

    approve: auto              # auto, portal (a person says yes there) or never
    evaluations: auto          # the same for joint evaluations; as approve where it is left out
    max_epsilon: 1.0           # a job's target
    max_delta: 1.0e-5
    allow_high_epsilon: false  # jobs above epsilon 10, each with its proposer's reason
    max_rounds: 100
    proposers: any             # or a list of organizations
    minimum_cohort: 3
    minimum_colluding: 1
    minimum_key_bits: 3072
    key_epochs: ask            # a person compares each (federated key accept); or the list of
                               # fingerprints that were read out at ceremonies; or any
    keep_contributions_days: 30  # of a job that is over: this site's own signed ciphertexts
    retire_keys: superseded    # a share goes once a newer key is accepted here and no job of
                               # this site needs it; ask: only by federated key retire
    portal_allotments: lower   # a lower allotment asked in the portal holds at once; or confirm
    allotment: {epsilon: 8.0, delta: 1.0e-4, period: year, max_queries_per_tenant: 100}
    campaigns: {approve: auto, max_epsilon: 2.0, max_runs: 366, metrics: any}
    datasets:
      heart:
        path: data/heart.parquet
        held_out: 0.3          # a fraction, or a file of its own; scored here, for nobody else
        allotment: {epsilon: 4.0}
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from federated.errors import Forbidden, InvalidInput
from federated.wire.base import Digest, Name, Slug
from federated.wire.campaign import CampaignSpec, MetricKey
from federated.wire.job import Evaluation, JobSpec
from federated.wire.key import KeyEpoch


class PolicyRefusal(Forbidden):
    """The site's policy says no; the message says which line and what it allows."""

    code = "policy_refusal"
    title = "The site's policy does not allow the job"


def _number(value: object) -> object:
    """YAML 1.1 reads ``1e-5`` as text; a number in text is one."""
    if isinstance(value, str):
        return float(value)
    return value


Number = Annotated[float, BeforeValidator(_number)]


Decision = Literal["auto", "portal", "never"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Allotment(Section):
    """What the organization grants per data set over a calendar period (UTC)."""

    epsilon: Annotated[Number, Field(gt=0, le=1000)] = 8.0
    delta: Annotated[Number, Field(gt=0, lt=0.5)] = 1e-4
    period: Literal["year", "quarter", "month", "lifetime"] = "year"
    max_queries_per_tenant: Annotated[int, Field(ge=1)] = 100


class Dataset(Section):
    """Where a data set lies on this machine; relative paths start at the policy's folder."""

    path: Path
    held_out: Annotated[Number, Field(gt=0, lt=1)] | Path | None = None
    allotment: Allotment | None = None


class CampaignRules(Section):
    """What benchmark campaigns may ask; ``approve`` is the policy's own where it is not given.

    ``max_epsilon`` is of one run, against everybody who may read the release.
    """

    approve: Literal["auto", "portal", "never"] | None = None
    max_epsilon: Annotated[Number, Field(gt=0)] = 2.0
    max_runs: Annotated[int, Field(ge=1)] = 366
    metrics: Literal["any"] | tuple[MetricKey, ...] = "any"


class Policy(Section):
    """See the module's example; what a file leaves out has these defaults."""

    approve: Decision = "portal"
    evaluations: Decision | None = None
    max_epsilon: Annotated[Number, Field(gt=0)] = 1.0
    max_delta: Annotated[Number, Field(gt=0, lt=1)] = 1e-5
    allow_high_epsilon: bool = False
    max_rounds: Annotated[int, Field(ge=1)] = 1000
    proposers: Literal["any"] | tuple[Slug, ...] = "any"
    minimum_cohort: Annotated[int, Field(ge=3)] = 3
    minimum_colluding: Annotated[int, Field(ge=1)] = 1
    minimum_key_bits: Annotated[int, Field(ge=512)] = 3072
    key_epochs: Literal["ask", "any"] | tuple[Digest, ...] = "ask"
    retire_keys: Literal["superseded", "ask"] = "superseded"
    keep_contributions_days: Annotated[int, Field(ge=0, le=36_500)] = 30
    portal_allotments: Literal["lower", "confirm"] = "lower"
    allotment: Allotment = Allotment()
    campaigns: CampaignRules = CampaignRules()
    datasets: dict[Name, Dataset] = {}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """The policy in a YAML file; all defaults where there is none.

        Raises InvalidInput naming the line's key and what is allowed.
        """
        file = Path(path)
        try:
            content = yaml.safe_load(file.read_text())
        except FileNotFoundError:
            return cls()
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{file}: not YAML: {error}") from error
        if content is not None and not isinstance(content, dict):
            raise InvalidInput(f"{file}: must be a mapping of keys to values")
        try:
            policy = cls.model_validate(content or {})
        except ValidationError as error:
            raise InvalidInput(f"{file}: {_explain(error)}") from error
        return policy.model_copy(
            update={"datasets": {k: _placed(v, file) for k, v in policy.datasets.items()}}
        )

    def allotment_of(self, dataset: str) -> Allotment:
        """What is granted for a data set: its own line, else the general one."""
        entry = self.datasets.get(dataset)
        return (entry.allotment if entry else None) or self.allotment

    def check_key(self, epoch: KeyEpoch, *, bits: int) -> None:
        """Raises PolicyRefusal for a key that is too short, or is not among the pinned ones.

        With ``key_epochs: any`` the site takes the coordinator's word for who dealt the key; with
        ``ask`` a person compares the fingerprint, which is not decided here.
        """
        if bits < self.minimum_key_bits:
            raise PolicyRefusal(
                f"policy minimum_key_bits: the key has {bits}, at least {self.minimum_key_bits}"
            )
        if not isinstance(self.key_epochs, str) and epoch.digest() not in self.key_epochs:
            raise PolicyRefusal(
                f"policy key_epochs: fingerprint {epoch.digest()[:16]} is not among them"
            )

    def decision(self, spec: JobSpec) -> Decision:
        """Whether such a job is approved by itself, waits for a person, or is never approved."""
        if isinstance(spec.strategy, Evaluation):
            return self.evaluations or self.approve
        return self.approve

    def check(self, spec: JobSpec, *, organization: str) -> None:
        """Raises PolicyRefusal with the first line of the policy that does not allow the job.

        Whether it is approved by itself or waits for a person is not decided here.
        """
        privacy = spec.privacy
        if self.decision(spec) == "never":
            of = isinstance(spec.strategy, Evaluation) and self.evaluations is not None
            line, what = ("evaluations", "joint evaluations") if of else ("approve", "jobs")
            raise PolicyRefusal(f"policy {line}: never; this site takes no {what} now")
        if self.proposers != "any" and spec.proposer not in {*self.proposers, organization}:
            raise PolicyRefusal(
                f"policy proposers: {spec.proposer} is not among {', '.join(self.proposers)}"
            )
        if privacy.mechanism == "none" or privacy.epsilon is None or privacy.delta is None:
            raise PolicyRefusal('privacy mechanism "none" is epsilon = infinity on these rows')
        if privacy.high_epsilon_reason is not None and not self.allow_high_epsilon:
            raise PolicyRefusal(
                f"policy allow_high_epsilon: false; the job asks epsilon {privacy.epsilon:g}"
            )
        limits: tuple[tuple[str, float, float], ...] = (
            ("max_epsilon", privacy.epsilon, self.max_epsilon),
            ("max_delta", privacy.delta, self.max_delta),
            ("max_rounds", spec.strategy.rounds, self.max_rounds),
        )
        for line, asked, allowed in limits:
            if asked > allowed:
                raise PolicyRefusal(f"policy {line}: the job asks {asked:g}, allowed {allowed:g}")
        floors = (
            ("minimum_cohort", spec.minimum_cohort, self.minimum_cohort),
            ("minimum_colluding", privacy.colluding, self.minimum_colluding),
        )
        for line, given, needed in floors:
            if given < needed:
                raise PolicyRefusal(f"policy {line}: the job has {given}, at least {needed}")


def check_campaign(policy: Policy, spec: CampaignSpec, *, organization: str) -> None:
    """Raises PolicyRefusal with the first line of the policy that does not allow the campaign."""
    rules = policy.campaigns
    if approval_of(policy) == "never":
        raise PolicyRefusal("policy campaigns.approve: never; this site takes part in none now")
    if policy.proposers != "any" and spec.creator not in {
        *policy.proposers,
        organization,
        "operator",
    }:
        raise PolicyRefusal(
            f"policy proposers: {spec.creator} is not among {', '.join(policy.proposers)}"
        )
    if spec.noise.epsilon > rules.max_epsilon:
        raise PolicyRefusal(
            f"policy campaigns.max_epsilon: a run asks {spec.noise.epsilon:g}, allowed "
            f"{rules.max_epsilon:g}"
        )
    if spec.noise.delta is not None and spec.noise.delta > policy.max_delta:
        raise PolicyRefusal(
            f"policy max_delta: a run asks {spec.noise.delta:g}, allowed {policy.max_delta:g}"
        )
    if spec.runs > rules.max_runs:
        raise PolicyRefusal(
            f"policy campaigns.max_runs: the campaign asks {spec.runs}, allowed {rules.max_runs}"
        )
    if spec.minimum_cohort < policy.minimum_cohort:
        raise PolicyRefusal(
            f"policy minimum_cohort: the campaign has {spec.minimum_cohort}, at least "
            f"{policy.minimum_cohort}"
        )
    if rules.metrics != "any":
        others = [metric.key for metric in spec.metrics if metric.key not in rules.metrics]
        if others:
            raise PolicyRefusal(
                f"policy campaigns.metrics: {', '.join(others)} is not among "
                f"{', '.join(rules.metrics)}"
            )


def approval_of(policy: Policy) -> Literal["auto", "portal", "never"]:
    """Who approves campaigns."""
    return policy.campaigns.approve or policy.approve


def _placed(dataset: Dataset, file: Path) -> Dataset:
    base = file.resolve().parent
    held_out = dataset.held_out
    return dataset.model_copy(
        update={
            "path": base / dataset.path.expanduser(),
            "held_out": base / held_out.expanduser() if isinstance(held_out, Path) else held_out,
        }
    )


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "(root)"
    if first["type"] == "extra_forbidden":
        known = ", ".join(Policy.model_fields)
        allowed = f" (allowed: {known})" if len(first["loc"]) == 1 else ""
        return f"{where}: no such key{allowed}"
    return f"{where}: {first['msg']}"
