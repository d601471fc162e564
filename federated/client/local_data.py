"""A job's rows on this machine: where they lie, which are held out, encoded once.

Held-out rows are split off before training by a seed made of the organization's and the data
set's names alone, so that a restarted agent leaves out the same rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from federated.client.home import SiteHome
from federated.errors import NotFound
from federated.wire.job import DataDictionary, JobSpec

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
        whole = read(self.path(spec.job_id, name), spec.data)
        entry = self._home.policy().datasets.get(name)
        held_out = entry.held_out if entry else None
        if held_out is None:
            return Rows(whole, None)
        if isinstance(held_out, Path):
            return Rows(whole, read(held_out, spec.data))
        return split(whole, held_out, seed=f"{self._home.credentials.organization}/{name}")


def read(path: Path, dictionary: DataDictionary) -> Dataset:
    """The rows of a file as the dictionary encodes them."""
    from federated.training.data import encode, load_table

    return encode(load_table(path), dictionary)


def split(whole: Dataset, fraction: float, *, seed: str) -> Rows:
    """Hold out a fraction of the rows (rounded down), chosen by the seed text."""
    from federated.training.data import Dataset

    count = len(whole.target)
    digest = hashlib.sha256(f"held-out/{seed}".encode()).digest()
    order = np.random.default_rng(int.from_bytes(digest, "big")).permutation(count)
    cut = int(fraction * count)
    held, rest = np.sort(order[:cut]), np.sort(order[cut:])
    return Rows(
        Dataset(features=whole.features[rest], target=whole.target[rest]),
        Dataset(features=whole.features[held], target=whole.target[held]),
    )
