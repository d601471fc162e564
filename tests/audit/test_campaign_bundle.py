"""A campaign's bundle, exported by the portal and verified offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.provenance.models import Event
from apps.provenance.tags import Tag
from federated.errors import NotFound
from federated.provenance.bundle import load_bundle
from federated.provenance.verify import verify_bundle
from federated.verify.campaigns import campaign_checks
from federated.verify.witnesses import witness_checks
from tests.benchmarks.conftest import consortium
from tests.benchmarks.world import Consortium

__all__ = ["consortium"]


def verified(path: Path, content: bytes) -> dict[str, str]:
    path.write_bytes(content)
    report = verify_bundle(path, checks=[campaign_checks, witness_checks()])
    return {check.name.split(" ", 2)[-1]: check.status for check in report.checks}


def test_a_campaigns_bundle_verifies_and_a_changed_one_does_not(
    consortium: Consortium, tmp_path: Path
) -> None:
    found = consortium.released()
    consortium.step()
    api = consortium["northwind"].api
    content = api.campaign_bundle(str(found.agreement_id))
    checks = verified(tmp_path / "bundle.json", content)
    for name in ("votes", "noise", "release", "in the log"):
        assert checks[f"run 1 {name}"] == "ok", checks
    assert set(checks.values()) <= {"ok", "skipped"}, checks
    bundle = load_bundle(json.loads(content))
    sections: Any = bundle.sections
    release = sections["campaigns"][0]["runs"][0]["release"]
    release["metrics"][0]["statistics"]["mean"]["value"] += 1
    forged = bundle.model_copy(update={"digest": None}).to_bytes()
    changed = verified(tmp_path / "changed.json", forged)
    assert changed["run 1 release"] == "failed"


def test_an_export_is_an_event_and_needs_a_closed_run(consortium: Consortium) -> None:
    found = consortium.opened()
    api = consortium["northwind"].api
    with pytest.raises(NotFound, match="No run of this campaign has closed"):
        api.campaign_bundle(str(found.agreement_id))
    assert not Event.objects.filter(tag=Tag.BUNDLE_EXPORTED).exists()
