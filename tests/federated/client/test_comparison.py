"""Did this site get worse than alone: computed here, kept here, never sent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from federated.command.main import main
from federated.errors import Conflict, InvalidInput, NotFound
from federated.site.comparison import comparison_line, comparison_of, differences, verdict
from federated.training.alone import Difference, compare, train_alone
from federated.training.data import Dataset
from federated.training.metrics import auc, score
from tests.federated.protocol.conftest import Consortium
from tests.training.world import CAST, World

from .portal import SiteAtWork, home_make
from .test_agent import Sites


@pytest.fixture
def sites(db: None, tmp_path: Path) -> Sites:
    made = Sites({slug: SiteAtWork(home_make(tmp_path, slug, held_out=0.3)) for slug in CAST})
    made.world = World()
    made.world.publish_key()
    made.world["harbor"].work()
    return made


def data(rows: int, seed: int = 1) -> Dataset:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (rows, 3)).astype(np.float32)
    target = (features[:, 0] + rng.normal(0, 0.3, rows) > 0).astype(np.float32)
    return Dataset(features=features, target=target)


def test_every_site_compares_and_sends_nothing_of_it(sites: Sites) -> None:
    job = sites.start()
    sites.play(job)
    job_id = str(job.pk)
    for site in sites.values():
        site.step()
        assert site.agent.comparing is not None
        site.agent.comparing.join(60)
        kept = site.home.job(job_id).comparison()
        assert kept is not None and kept["held_out_rows"] + kept["training_rows"] == 60
        line = next(line for line in site.lines if "own" in line and "alone" in line)
        assert line.endswith("(stays here)") and f"job {job_id[:8]}" in line
        # The federated side is the last point of the curve.
        one = differences(kept)["auc"]
        assert one.federated == site.home.job(job_id).curve()[-1]["auc"]
        _sends_nothing(site, job_id)
    site = sites["summit"]
    shown = CliRunner().invoke(main, ["compare", job_id, "--home", str(site.home.path)])
    assert shown.exit_code == 0, shown.output
    assert "known to this site alone" in shown.output and "AUC" in shown.output
    as_json = CliRunner().invoke(main, ["compare", job_id, "--home", str(site.home.path), "--json"])
    assert json.loads(as_json.output) == site.home.job(job_id).comparison()


def _sends_nothing(site: SiteAtWork, job_id: str) -> None:
    """No request before, while or after it is computed names or holds any of it."""
    (site.home.job(job_id).path / "comparison.json").unlink()
    before = len(site.transport.bodies)
    comparison_of(site.agent.site, job_id)
    assert len(site.transport.bodies) == before
    site.step()
    sent = b"".join(path.encode() + body for path, body in site.transport.bodies)
    for word in (b"compar", b'"alone"', b"difference", b"held_out", b"training_rows"):
        assert word not in sent


def test_a_job_that_is_unknown_or_not_over_cannot_be_compared(sites: Sites) -> None:
    site = sites["summit"]
    with pytest.raises(NotFound, match="approved no such job"):
        comparison_of(site.agent.site, "00000000-0000-4000-8000-000000000001")
    job = sites.start()
    with pytest.raises(Conflict, match="verified 0 of 2"):
        comparison_of(site.agent.site, str(job.pk))


def test_training_alone_takes_the_jobs_steps_without_noise(consortium: Consortium) -> None:
    spec, rows = consortium.spec, data(80)
    parameters = train_alone(spec, consortium.state, rows)
    assert np.array_equal(parameters, train_alone(spec, consortium.state, rows))
    found = score(spec.model, spec.data.target, parameters, data(200, seed=2))
    assert found["auc"] is not None and found["auc"] > 0.9


def test_a_worse_model_is_seen_and_an_equal_one_is_not(consortium: Consortium) -> None:
    spec, held_out = consortium.spec, data(200, seed=3)
    good = np.array([4.0, 0.0, 0.0, 0.0])
    bad = np.array([0.5, 2.0, -2.0, 0.0])
    (worse,) = compare(spec, good, bad, held_out).values()
    assert worse.worse("auc") and verdict("auc", worse) == "worse than alone"
    (better,) = compare(spec, bad, good, held_out).values()
    assert better.better("auc") and verdict("auc", better) == "better than alone"
    (same,) = compare(spec, good, good * 2, held_out).values()
    assert (same.difference, same.low, same.high) == (0.0, 0.0, 0.0)
    assert verdict("auc", same) == "no clear difference"
    assert worse.alone == auc(held_out.target, held_out.features[:, 0])


def test_an_error_is_better_where_it_is_lower() -> None:
    grown = Difference(alone=1.0, federated=2.0, difference=1.0, low=0.5, high=1.5)
    assert grown.worse("rmse") and not grown.worse("auc") and grown.better("auc")


def test_one_class_is_said_to_be_undefined(consortium: Consortium) -> None:
    rows = data(30)
    single = replace(rows, target=np.ones(30, dtype=np.float32))
    (found,) = compare(consortium.spec, np.ones(4), np.zeros(4), single).values()
    assert found == Difference(None, None, None, None, None)
    # Nine in ten of one class: the value is there, and so is an interval over what is defined.
    mostly = replace(rows, target=np.array([0.0] * 2 + [1.0] * 28, dtype=np.float32))
    (found,) = compare(consortium.spec, np.ones(4), np.zeros(4), mostly).values()
    assert found.low is not None and found.low <= found.difference <= found.high
    told = comparison_line(
        "00000000-0000", {"held_out_rows": 30, "metrics": {"auc": dict.fromkeys(
            ("alone", "federated", "difference", "low", "high")
        )}}
    )  # fmt: skip
    assert "undefined (they hold one class)" in told


def test_steps_that_diverge_are_an_answer(consortium: Consortium) -> None:
    spec = consortium.spec
    optimizer = spec.training.server_optimizer.model_copy(update={"learning_rate": np.inf})
    wild = spec.model_copy(
        update={"strategy": spec.training.model_copy(update={"server_optimizer": optimizer})}
    )
    with pytest.raises(InvalidInput, match="finite"):
        train_alone(wild, consortium.state, data(20))
