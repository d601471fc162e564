"""After a site has approved, no cell ends a round: bad rows are masked, counted, and not sent."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from apps.attempts.models import Participant
from apps.training.models import Job
from federated.errors import InvalidInput
from federated.site.local_data import read, split
from federated.training.data import load_table
from tests.federated.client.portal import SiteAtWork, home_make
from tests.federated.client.test_agent import Sites
from tests.training.world import CAST, DICTIONARY, World


@pytest.fixture
def sites(db: None, tmp_path: Path) -> Sites:
    made = Sites({slug: SiteAtWork(home_make(tmp_path, slug, held_out=0.3)) for slug in CAST})
    made.world = World()
    made.world.publish_key()
    made.world["harbor"].work()
    return made


def spoil(path: Path) -> pd.DataFrame:
    """Three rows get a cell that cannot be read, one of them two."""
    table = load_table(path).astype(object)
    table.loc[0, "x0"] = "secret"
    table.loc[1, "x1"] = "inf"
    table.loc[2, ["x0", "y"]] = ["1e999", "yes"]
    table.to_csv(path, index=False)
    return table


def test_a_table_that_went_bad_after_approval_ends_no_round(sites: Sites) -> None:
    job = sites.start()
    site = sites["lakeside"]
    rows = len(spoil(site.home.path / "ward.csv"))
    site.restart()  # it reads the file again
    sites.play(job)
    assert (job.state, job.reason) == (Job.State.FINISHED, "")
    assert site.said(f"ward.csv: 3 of {rows} rows masked")
    assert site.said("y 1") and not site.said("secret")
    assert not [line for line in site.lines if "failed" in line or "REFUSED" in line]
    sent = b"".join(body for _, body in site.transport.bodies)
    assert b"rows masked" not in sent and b"secret" not in sent


def test_a_table_without_a_single_record_left_ends_no_round(sites: Sites) -> None:
    job = sites.start()
    site = sites["summit"]
    path = site.home.path / "ward.csv"
    load_table(path).assign(y="").to_csv(path, index=False)
    site.restart()
    sites.play(job)
    assert (job.state, job.reason) == (Job.State.FINISHED, "")


def test_before_approval_a_bad_cell_is_declined_and_named_to_this_sites_people(
    sites: Sites,
) -> None:
    site = sites["lakeside"]
    spoil(site.home.path / "ward.csv")
    job = sites.start()
    assert job.state == Job.State.DECLINED
    told = Participant.objects.get(agreement=job, organization="lakeside").reason
    assert told == "the site's data does not fit the dictionary of ward"
    assert site.said("row 3: not a number")


def test_a_masked_row_moves_no_other_row(tmp_path: Path) -> None:
    path, lines = tmp_path / "ward.csv", []
    columns = {f.name: [place / 100 for place in range(40)] for f in DICTIONARY.features}
    pd.DataFrame({**columns, "y": 1}).to_csv(path, index=False)
    before = split(path, DICTIONARY, 0.3, seed="a")
    gone = load_table(path)["x0"].astype(float)[:3].astype("float32").tolist()
    spoil(path)
    after = split(path, DICTIONARY, 0.3, seed="a", say=lines.append)
    for part in ("training", "held_out"):
        kept = [row for row in getattr(before, part).features.tolist() if row[0] not in gone]
        assert getattr(after, part).features.tolist() == kept
    assert lines == [
        "ward.csv: 3 of 40 rows masked, they contribute nothing; "
        "cells that cannot be read by column: y 1, x0 2, x1 1 (stays here)"
    ]
    with pytest.raises(InvalidInput, match="not a number"):
        read(path, DICTIONARY)


def test_a_missing_column_is_an_error_at_any_time(tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    pd.DataFrame({"y": [1]}).to_csv(path, index=False)
    with pytest.raises(InvalidInput, match="no column x0"):
        read(path, DICTIONARY, say=lambda line: None)
