"""A job's rows on this machine: where they lie, which are held out, encoded once.

Whether a row is held out depends on its place in the table and a seed made of the organization's
and the data set's names, on nothing else: a restarted agent leaves out the same rows, a longer
table moves none from one part to the other, and blanking a record out moves no other record. If
the count of records decided, one record could change which others are trained on, and the noise
covers no more than one record's own influence. Taking a row out of the *table* does move the rows
after it to other places, hence across the split and past ``max_records``: neighbouring tables
differ in a row that is blanked (no target), in its place.

Before a site approves a job, a cell that cannot be read is an error that its people see. After
that a job's rows never raise for what a cell holds: such rows are masked, counted and reported to
the site's own people. A file or a column that is not there is an error at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from federated.errors import NotFound
from federated.site.folder import SiteHome
from federated.wire.job import DataDictionary, Evaluation, JobSpec

if TYPE_CHECKING:
    from federated.training.data import Dataset
    from federated.training.fit import TableFit


_Files = tuple[tuple[Path, int, int], ...]


@dataclass(frozen=True)
class Rows:
    """What a job trains on and what only this site scores its models on."""

    training: Dataset
    held_out: Dataset | None


class LocalData:
    """Rows by job, encoded by the approved spec's dictionary and kept in memory.

    ``say`` takes the line of counts for the site's own people where rows were masked.
    """

    def __init__(self, home: SiteHome, say: Callable[[str], None] = lambda line: None) -> None:
        self._home = home
        self._say = say
        self._rows: dict[str, Rows] = {}
        self._checked: tuple[str, _Files] | None = None
        self._fits: dict[str, TableFit] = {}

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
        """The job's rows, those with a cell that cannot be read masked.

        Raises NotFound for no data, InvalidInput for a column that the data lacks.
        """
        key = spec.digest()
        if key not in self._rows:
            self._rows = {key: self._read(spec, self._say)}
        return self._rows[key]

    def fit(self, spec: JobSpec) -> TableFit:
        """How the rows fit the spec's dictionary: for this site's people, never for others.

        Raises as rows() does.
        """
        from federated.training.data import load_table
        from federated.training.fit import table_fit

        key = spec.digest()
        if key not in self._fits:
            path = self.path(_rows_of(spec), spec.data.dataset)
            self._fits = {key: table_fit(load_table(path), spec.data)}
        return self._fits[key]

    def check(self, spec: JobSpec) -> None:
        """Read the rows for a job that is not approved yet, again where their files have changed.

        So people who mend a table before they approve need not restart the agent. Raises as
        ``rows`` does, and InvalidInput for a cell that cannot be read or no record.
        """
        key = spec.digest()
        seen = key, self._files(spec)
        if self._checked != seen or key not in self._rows:
            self._rows, self._fits = {}, {}
            self._rows = {key: self._read(spec, None)}
            self._checked = seen

    def _files(self, spec: JobSpec) -> _Files:
        """Which files hold the rows, and when they were written."""
        job_id, name = _rows_of(spec), spec.data.dataset
        paths = [self.path(job_id, name)]
        held_out = self._held_out(job_id, name)
        paths += [held_out] if isinstance(held_out, Path) else []
        stats = [(path, path.stat()) for path in paths if path.exists()]
        return tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)

    def _held_out(self, job_id: str, dataset: str) -> float | Path | None:
        entry = self._home.policy().datasets.get(dataset)
        return self._home.job(job_id).held_out(entry.held_out if entry else None)

    def _read(self, spec: JobSpec, say: Callable[[str], None] | None) -> Rows:
        name = spec.data.dataset
        job_id = _rows_of(spec)
        path = self.path(job_id, name)
        held_out = self._held_out(job_id, name)
        if isinstance(held_out, float):
            seed = f"{self._home.credentials.organization}/{name}"
            return split(path, spec.data, held_out, seed=seed, say=say)
        apart = None if held_out is None else read(held_out, spec.data, say=say)
        return Rows(read(path, spec.data, say=say), apart)


def _rows_of(spec: JobSpec) -> str:
    """An evaluation looks at the rows of the job that trained its model, split as they were."""
    return spec.strategy.job_id if isinstance(spec.strategy, Evaluation) else spec.job_id


def read(
    path: Path, dictionary: DataDictionary, *, say: Callable[[str], None] | None = None
) -> Dataset:
    """The rows of a file as the dictionary encodes them.

    With ``say``, rows with a cell that cannot be read are masked and counted in a line; without it
    they raise InvalidInput, as does a file without records.
    """
    return _placed(path, dictionary, say)[0]


def split(
    path: Path,
    dictionary: DataDictionary,
    fraction: float,
    *,
    seed: str,
    say: Callable[[str], None] | None = None,
) -> Rows:
    """The rows of ``read``, each held out with probability ``fraction`` by seed text and place."""
    from federated.training.data import Dataset

    whole, places = _placed(path, dictionary, say)
    digest = hashlib.sha256(f"held-out/{seed}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest, "big"))
    held = (generator.random(int(places.max(initial=-1)) + 1) < fraction)[places]
    training, apart = (
        Dataset(features=whole.features[part], target=whole.target[part]) for part in (~held, held)
    )
    return Rows(training, apart)


def _placed(
    path: Path, dictionary: DataDictionary, say: Callable[[str], None] | None
) -> tuple[Dataset, NDArray[np.int64]]:
    """The rows of ``read``, and the place of each in the table."""
    from federated.training.data import encode, encode_masked, load_table

    table = load_table(path)
    dataset, places, faults = encode_masked(table, dictionary)
    if say is None and (faults.cells or not len(dataset)):
        encode(table, dictionary)  # raises, and says why
    if say is not None and (line := faults.line(path.name)):
        say(line)
    return dataset, places
