"""FederatedClient: what a scientist calls beside the organization's own data."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import httpx

from federated.api.coordinator import CoordinatorAPI
from federated.errors import Conflict, Forbidden, PrivacyWarning
from federated.files import folder_make
from federated.privacy.config import PrivacyConfig
from federated.protocol.agreement import JobAgreement
from federated.protocol.cost import privacy_warnings
from federated.protocol.joint_evaluation import JointEvaluation
from federated.protocol.propose import learning_rate_chosen
from federated.protocol.strategy import strategy_make
from federated.sdk.evaluate import evaluation_propose, evaluation_receive
from federated.sdk.global_model import GlobalModel
from federated.sdk.outcome import model_receive, wait_for_end
from federated.sdk.proposal import (
    Asked,
    Features,
    dictionary_choose,
    participants_choose,
    privacy_choose,
    spec_propose,
)
from federated.sdk.waiting import wait_until
from federated.site.agent import SiteAgent
from federated.site.folder import AgentRuns, SiteHome
from federated.site.site import Site
from federated.site.work.key import epoch_of
from federated.wire.job import Cancel, DataDictionary, JobSpec, ModelSpec, ServerOptimizer

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from federated.training.fit import TableFit

ELSEWHERE_SECONDS = 45.0
STRATEGY_OPTIONS = (
    "strategy",
    "server_optimizer",
    "learning_rate",
    "momentum",
    "local_epochs",
    "local_learning_rate",
    "batch_size",
    "mu",
)
JOB_OPTIONS = ("minimum_cohort", "round_seconds", "aggregation", "purpose")
log = logging.getLogger("federated")


class FederatedClient:
    """A member of the consortium, by its site's credentials.

    ``credentials`` is the PEM that ``federated join`` wrote; its folder is the site's home, which
    keeps the ledger, the key share and what was signed. ``tenant_id`` must be the organization in
    the certificate. ``progress`` shows a bar while receive_update waits; ``transport`` replaces the
    network (httpx). Use it as a context manager, or call close(), to end an agent it started.

    Raises NotFound or CredentialsExposed for the file, Forbidden for another organization's.
    """

    def __init__(
        self,
        tenant_id: str,
        coordinator_url: str,
        credentials: str | os.PathLike[str],
        *,
        progress: bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.home = SiteHome.of(credentials)
        organization = self.home.credentials.organization
        if tenant_id != organization:
            raise Forbidden(
                f"tenant_id is {tenant_id!r}, but {self.home.pem} is the certificate of "
                f"{organization!r}"
            )
        self.tenant_id = tenant_id
        self.api = CoordinatorAPI.for_site(
            coordinator_url, self.home.credentials, transport=transport
        )
        self._site = Site(self.home, self.api, log.info)
        self._url = coordinator_url
        self._progress = progress
        self._agent: SiteAgent | None = None
        self._guard = threading.Lock()

    def submit_training(  # noqa: PLR0917
        self,
        model: nn.Module | ModelSpec | str | os.PathLike[str],
        local_data: str | os.PathLike[str] | pd.DataFrame,
        epochs: int,
        participants: Sequence[str] | None = None,
        target: str | dict[str, Any] | None = None,
        features: Features | None = None,
        dictionary: DataDictionary | dict[str, Any] | str | None = None,
        privacy: PrivacyConfig | None = None,
        *,
        dataset: str | None = None,
        nominal_records: int | None = None,
        max_records: int | None = None,
        strategy: str | None = None,
        server_optimizer: str | dict[str, Any] | ServerOptimizer | None = None,
        learning_rate: float | None = None,
        momentum: float | None = None,
        local_epochs: int | None = None,
        local_learning_rate: float | None = None,
        batch_size: int | None = None,
        mu: float | None = None,
        minimum_cohort: int | None = None,
        round_seconds: int | None = None,
        aggregation: Literal["packed", "masked"] | None = None,
        purpose: str | None = None,
    ) -> str:
        """Propose a job and return its id.

        ``purpose`` says in a line what the model is to be used for: sites approve it with the rest,
        and the model's card shows it.

        ``aggregation`` is chosen by the model's size where it is not given: long vectors are
        masked, short ones packed into ciphertexts.
        ``local_data`` (Parquet, CSV or a DataFrame) stays here and is what this site trains on.
        ``epochs`` are passes over each site's rows: rounds for ``strategy`` "fedsgd" (the default);
        "fedavg" and "fedprox" make ``local_epochs`` of them a round, and need
        ``privacy=PrivacyConfig(unit="organization", ...)``. The other options are strategy_make's;
        what is not given here may stand in the ``.pt`` file's ``spec``. FedSGD's learning rate is
        as large as the job's noise allows (learning_rate_chosen) where it is not given.

        ``target`` is a column's name (positive above 0) or the fields of a BinaryTarget,
        MulticlassTarget (``classes``) or RegressionTarget (``lower``, ``upper``).

        Everything is checked before anything is sent: raises InvalidInput for a model that is not
        allowed, features without public bounds, a column that the data lacks, options that do not
        go together, or a job that does not fit the key. Warns (PrivacyWarning) with the numbers
        where noise swamps the signal.
        """
        from federated.training.model import load_model
        from federated.training.server import ServerState

        source = Path(model) if isinstance(model, os.PathLike) else model
        loaded = load_model(source)
        asked = Asked(features, target, dataset, nominal_records, max_records, dictionary)
        name = Path(local_data).stem if isinstance(local_data, str | os.PathLike) else None
        data = dictionary_choose(asked, loaded.spec, self.api, name=name)
        self._check_data(local_data, data)
        facts = self.api.site()
        epoch = epoch_of(self._site, self.api.key_current().digest())
        state = ServerState.initial(loaded.parameters)
        given = {
            "strategy": strategy,
            "server_optimizer": server_optimizer,
            "learning_rate": learning_rate,
            "momentum": momentum,
            "local_epochs": local_epochs,
            "local_learning_rate": local_learning_rate,
            "batch_size": batch_size,
            "mu": mu,
            "minimum_cohort": minimum_cohort,
            "round_seconds": round_seconds,
            "aggregation": aggregation,
            "purpose": purpose,
        }
        options = {
            name: loaded.spec.get(name) if value is None else value for name, value in given.items()
        }
        chosen: dict[str, Any] = {k: options[k] for k in STRATEGY_OPTIONS if options[k] is not None}
        spec = spec_propose(
            loaded=loaded,
            data=data,
            strategy=strategy_make(epochs=epochs, **chosen),
            participants=participants_choose(
                participants, self.api.roster(), epoch, own=self.tenant_id
            ),
            privacy=privacy_choose(privacy, loaded.spec, facts["defaults"]),
            epoch=epoch,
            proposer=self.tenant_id,
            initial_state=state.digest(),
            training={
                "round_seconds": facts["defaults"].get("round_seconds"),
                **{k: options[k] for k in JOB_OPTIONS if options[k] is not None},
            },
        )
        if "learning_rate" not in chosen and isinstance(chosen.get("server_optimizer", ""), str):
            spec = learning_rate_chosen(spec)
        JobAgreement(spec, epoch).check()
        for warning in privacy_warnings(spec):
            warnings.warn(warning, PrivacyWarning, stacklevel=2)
        return self._submit(spec, state.to_bytes(), local_data)

    def check_data(
        self,
        local_data: str | os.PathLike[str] | pd.DataFrame,
        dictionary: DataDictionary | dict[str, Any] | str,
    ) -> TableFit:
        """Count by column which cells are missing, unlisted or clamped, and look at the target.

        ``dictionary`` is a DataDictionary, its fields or a registered name. Nothing about the data
        is sent. Raises InvalidInput for a table that does not fit.
        """
        from federated.training.data import load_table
        from federated.training.fit import table_fit

        data = dictionary_choose(Asked(dictionary=dictionary), {}, self.api, name=None)
        return table_fit(load_table(local_data), data)

    def receive_update(self, job_id: str, timeout: float | None = None) -> GlobalModel:
        """Wait until the job ends, showing its progress, and return its model.

        ``timeout`` is in seconds. Raises JobEnded where the job failed, was declined or
        cancelled, with the reason; TimedOut, after which it can be called again.
        """
        return model_receive(self._site, *self._ended(job_id, timeout))

    def submit_evaluation(
        self,
        job_id: str,
        bins: int = 8,
        privacy: PrivacyConfig | None = None,
        participants: Sequence[str] | None = None,
        *,
        minimum_cohort: int | None = None,
        round_seconds: int | None = None,
    ) -> str:
        """Propose a joint evaluation of the model that a job released; the id of the new job.

        Each site counts its held-out rows by class and score bin (at most 8); the noisy sum is
        released once, for a charge of its own. ``privacy`` is its target, the coordinator's default
        unless given; ``participants`` the job's own. Raises NotFound for a job that this site did
        not approve, InvalidInput where it holds no rows out or the evaluation is not allowed.
        """
        spec, state = evaluation_propose(
            self._site,
            job_id,
            bins=bins,
            privacy=privacy,
            participants=participants,
            minimum_cohort=minimum_cohort,
            round_seconds=round_seconds,
        )
        for warning in privacy_warnings(spec):
            warnings.warn(warning, PrivacyWarning, stacklevel=2)
        return self._submit(spec, state, self._site.data.path(job_id, spec.data.dataset))

    def receive_evaluation(self, job_id: str, timeout: float | None = None) -> JointEvaluation:
        """Wait until a joint evaluation ends, and return its metrics with their intervals.

        Raises as receive_update does.
        """
        return evaluation_receive(self._site, *self._ended(job_id, timeout))

    def _ended(self, job_id: str, timeout: float | None) -> tuple[dict[str, Any], float | None]:
        """A finished job, and the moment that what follows may take until."""
        if self.home.job(job_id).binding() is not None:
            self._ensure_agent()
        deadline = None if timeout is None else time.monotonic() + timeout
        return wait_for_end(self.api, job_id, deadline=deadline, show=self._progress), deadline

    def cancel(self, job_id: str, reason: str = "") -> None:
        """Ask, signed, that a job stops; what was charged stays charged."""
        spec = JobSpec.parse(self.api.job(job_id)["spec"]["body"])
        self.api.job_cancel(
            self._site.identity.sign(
                Cancel(
                    job_id=job_id,
                    spec=spec.digest(),
                    organization=self.tenant_id,
                    reason=reason[:500],
                )
            )
        )

    def close(self) -> None:
        """End the agent that this client started, and its connections."""
        with self._guard:
            agent, self._agent = self._agent, None
        if agent is not None:
            agent.stop()
            agent.api.close()
        self.api.close()

    def __enter__(self) -> FederatedClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_data(self, local_data: Any, data: DataDictionary) -> None:
        from federated.training.data import encode, load_table
        from federated.training.fit import table_fit

        table = load_table(local_data)
        encode(table, data)
        fit = table_fit(table, data)
        if fit.notable:
            log.warning("the data here, known to this site alone: %s", fit.line())

    def _submit(self, spec: JobSpec, state: bytes, local_data: Any) -> str:
        folder = self.home.job(spec.job_id)
        if isinstance(local_data, str | os.PathLike):
            path = Path(local_data).expanduser().resolve()
        else:
            from federated.training.tables import table_store

            path = folder_make(folder.path) / "data.parquet"
            table_store(local_data, path)
            path.chmod(0o600)
        folder.bind(path)
        self._ensure_agent()
        return self.api.job_submit(self._site.identity.sign(spec), state)

    def _ensure_agent(self) -> None:
        """Run an agent in this process, unless one runs for these credentials already.

        Raises Conflict where one runs on another machine, which cannot read this home.
        """
        with self._guard:
            if self._agent is not None or self.home.agent_runs():
                return
            self._check_elsewhere()
            agent = SiteAgent(self.home, self._url, say=log.info)
            with contextlib.suppress(AgentRuns):
                agent.start()
                self._agent = agent

    def _check_elsewhere(self) -> None:
        def gone(facts: dict[str, Any]) -> bool:
            return not facts.get("present") or self._seen_here(facts.get("last_seen_at"))

        deadline = time.monotonic() + ELSEWHERE_SECONDS
        facts = wait_until(self.api.site, gone, deadline=deadline, pause=1.0)
        if not gone(facts):
            raise Conflict(
                f"an agent with the credentials of {self.tenant_id} runs elsewhere (seen "
                f"{facts['last_seen_at']}); submit from its home, or stop it there"
            )

    def _seen_here(self, seen: str | None) -> bool:
        """Whether the coordinator last saw an agent of this very home, not long gone."""
        here = self.home.agent_seen()
        if seen is None or here is None:
            return seen is None
        return datetime.fromisoformat(seen).timestamp() <= here + 5.0
