"""A job's rows on this machine: where they lie, which are held out, encoded once.

Whether a row is held out depends on its place in the table and a seed made of the organization's
and the data set's names, on nothing else: a restarted agent leaves out the same rows, a longer
table moves none from one part to the other, and blanking a record out moves no other record. If
the count of records decided, one record could change which others are trained on, and the noise
covers no more than one record's own influence.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from federated.errors import NotFound
from federated.site.folder import SiteHome
from federated.wire.job import DataDictionary, Evaluation, JobSpec

if TYPE_CHECKING:
    from federated.training.data import Dataset


@dataclass(frozen=True)
class Rows:
    """What a job trains on and what only this site scores its models on."""

    training: Dataset
    held_out: Dataset | None


class LocalData:
    """Rows by job, encoded by the approved spec's dictionary and kept in memory."""

    def __init__(self, home: SiteHome) -> None:
        self._home = home
        self._rows: dict[str, Rows] = {}

    def path(self, job_id: str, dataset: str) -> Path:
        """The scientist's choice for the job, else the policy's for the data set.

        Raises NotFound where neither names one.
        """
        bound = self._home.job(job_id).binding()
        if bound is not None:
            return bound
        entry = self._home.policy().datasets.get(dataset)
        if entry is None:
            raise NotFound(
                f"dataset {dataset}: no path under datasets in {self._home.policy_path}, "
                "and no local data was given for the job"
            )
        return entry.path

    def rows(self, spec: JobSpec) -> Rows:
        """Raises NotFound for no data, InvalidInput for a column that the data lacks."""
        key = spec.digest()
        if key not in self._rows:
            self._rows = {key: self._read(spec)}
        return self._rows[key]

    def _read(self, spec: JobSpec) -> Rows:
        name = spec.data.dataset
        # An evaluation looks at the rows of the job that trained its model, split as they were.
        job_id = spec.strategy.job_id if isinstance(spec.strategy, Evaluation) else spec.job_id
        path = self.path(job_id, name)
        entry = self._home.policy().datasets.get(name)
        held_out = self._home.job(job_id).held_out(entry.held_out if entry else None)
        if isinstance(held_out, float):
            seed = f"{self._home.credentials.organization}/{name}"
            return split(path, spec.data, held_out, seed=seed)
        apart = None if held_out is None else read(held_out, spec.data)
        return Rows(read(path, spec.data), apart)


def read(path: Path, dictionary: DataDictionary) -> Dataset:
    """The rows of a file as the dictionary encodes them."""
    from federated.training.data import encode, load_table

    return encode(load_table(path), dictionary)


def split(path: Path, dictionary: DataDictionary, fraction: float, *, seed: str) -> Rows:
    """The rows of a file, each held out with probability ``fraction`` by seed text and place."""
    from federated.training.data import Dataset, encode, load_table, with_target

    table = load_table(path)
    whole = encode(table, dictionary)
    places = np.flatnonzero(with_target(table, dictionary))
    digest = hashlib.sha256(f"held-out/{seed}".encode()).digest()
    drawn = np.random.default_rng(int.from_bytes(digest, "big")).random(len(table))
    held = (drawn < fraction)[places]
    training, apart = (
        Dataset(features=whole.features[part], target=whole.target[part]) for part in (~held, held)
    )
    return Rows(training, apart)
