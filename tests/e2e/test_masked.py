"""A masked job of real processes: its vectors travel, add up, and verify offline afterwards."""

from __future__ import annotations

import json
from pathlib import Path

from federated import FederatedClient
from tests.e2e.conftest import MEMBERS, SEED_TENANT, Consortium, model_file, rows
from tests.patience import patient

SECONDS = patient(240)


def test_a_masked_job_and_its_bundle(consortium: Consortium, tmp_path: Path):
    with FederatedClient(
        tenant_id=SEED_TENANT,
        coordinator_url=consortium.config.url,
        credentials=str(consortium.credentials(SEED_TENANT)),
        progress=False,
    ) as client:
        job_id = client.submit_training(
            model=str(model_file(consortium.folder / "masked_model.pt")),
            local_data=rows(1),
            epochs=2,
            aggregation="masked",
        )
        model = client.receive_update(job_id, timeout=SECONDS)
    assert (model.round, model.verified) == (2, True)
    stored = list((consortium.config.blob_dir / job_id).rglob(f"{SEED_TENANT}.*"))
    assert len(stored) == 2
    bundle, vectors = tmp_path / "bundle.json", tmp_path / "vectors"
    home = ("--home", str(consortium.home("northwind")))
    said = consortium.federated(
        "bundle", job_id, "-o", str(bundle), "--vectors", str(vectors), *home
    )
    assert "bytes of masked vectors fetched" in said
    assert len(list(vectors.iterdir())) == 2 * len(MEMBERS)
    report = json.loads(
        consortium.federated("verify", str(bundle), "--json", "--vectors", str(vectors))
    )
    assert report["ok"]
    sums = [c for c in report["checks"] if c["name"].endswith("release")]
    assert [c["status"] for c in sums] == ["ok", "ok"]
    assert all("sum of 4 masked vectors" in c["detail"] for c in sums)
