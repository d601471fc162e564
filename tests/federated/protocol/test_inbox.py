"""The inbox: sites of version 0.1 read today's, today's sites read that of version 0.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from federated.errors import InvalidInput
from federated.wire.base import canonical
from federated.wire.site import (
    FIELDS,
    AllotTask,
    AttemptTask,
    CampaignTask,
    CosignTask,
    Inbox,
    JobTask,
    KeyTask,
    RunTask,
    Work,
)

GOLDEN = (Path(__file__).parents[2] / "vectors" / "inbox.json").read_bytes().rstrip()
"""One task of each kind and object, as version 0.1 wrote it."""
JOB = "0b0f4a52-6d0e-4b1c-9f0a-2f6f1f5b7a01"
CAMPAIGN = "0b0f4a52-6d0e-4b1c-9f0a-2f6f1f5b7a02"
REQUEST = "0b0f4a52-6d0e-4b1c-9f0a-2f6f1f5b7a03"
EPOCH = "ab" * 32


class OldTask(BaseModel):
    """The one task of version 0.1: every field but the kind optional, no other allowed."""

    model_config = ConfigDict(strict=True, extra="forbid")

    kind: Work
    job_id: str | None = None
    round: int | None = None
    attempt: int | None = None
    epoch: str | None = None
    request: str | None = None
    campaign_id: str | None = None
    run: int | None = None
    log: str | None = None
    size: int | None = None


def inbox() -> Inbox:
    attempts = (Work.TRAIN, Work.CHARGE, Work.DECRYPT, Work.VERIFY)
    runs = (Work.SUBMIT, Work.CHARGE, Work.NOISE, Work.DECRYPT, Work.VERIFY)
    return Inbox(
        tasks=(
            KeyTask(kind=Work.KEY, epoch=EPOCH),
            KeyTask(kind=Work.RETIRE, epoch=EPOCH),
            AllotTask(request=REQUEST),
            JobTask(job_id=JOB),
            *(AttemptTask.of(kind, JOB, 2, 1) for kind in attempts),
            CampaignTask(campaign_id=CAMPAIGN),
            *(RunTask.of(kind, CAMPAIGN, 3) for kind in runs),
            CosignTask(log="consortium", size=54),
            CosignTask(log="own", size=7),
        ),
        wait_ms=75,
    )


def test_the_bytes_are_those_of_version_0_1() -> None:
    assert inbox().canonical() == GOLDEN
    # The portal writes a task's fields in this order.
    assert list(inbox().dump()["tasks"][0]) == list(OldTask.model_fields) == list(FIELDS)


def test_a_site_of_version_0_1_reads_what_is_sent_today() -> None:
    for task in inbox().tasks:
        assert canonical(OldTask.model_validate_json(task.canonical()).model_dump(mode="json")) == (
            task.canonical()
        )


def test_an_inbox_of_version_0_1_is_read_today() -> None:
    assert Inbox.parse(GOLDEN) == inbox()


@given(st.data())
def test_a_field_that_a_task_does_not_have_is_null_or_absent(data: st.DataObject) -> None:
    tasks = json.loads(GOLDEN)["tasks"]
    sent = [
        {n: v for n, v in t.items() if v is not None or data.draw(st.booleans())} for t in tasks
    ]
    assert Inbox.parse({"tasks": sent, "wait_ms": 75}) == inbox()


def test_the_same_task_is_the_same_key() -> None:
    assert set(Inbox.parse(GOLDEN).tasks) == set(inbox().tasks)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"kind": "mend"}, "kind: one of key, "),
        ({"kind": ["key"]}, "kind: one of key, "),
        ({}, "kind: one of key, "),
        ({"kind": "key"}, "epoch: Field required"),
        ({"kind": "key", "epoch": EPOCH, "run": 2}, "run: Extra inputs"),
        ({"kind": "key", "epoch": EPOCH, "colour": None}, "colour: Extra inputs"),
        ({"kind": "allot"}, "request: Field required"),
        ({"kind": "cosign", "log": "theirs", "size": 1}, "log: Input should be 'consortium'"),
        ({"kind": "approve"}, "job_id: Field required"),
        ({"kind": "approve", "job_id": JOB, "campaign_id": CAMPAIGN}, "job_id: Extra inputs"),
        ({"kind": "train", "job_id": JOB}, "round: Field required"),
        ({"kind": "charge", "job_id": JOB, "round": 0, "attempt": 1}, "round: .* greater than"),
        ({"kind": "train", "campaign_id": CAMPAIGN, "run": 1}, "kind: "),
        ({"kind": "noise", "job_id": JOB, "round": 1, "attempt": 1}, "kind: "),
        ({"kind": "noise", "campaign_id": CAMPAIGN}, "run: Field required"),
    ],
)
def test_a_task_that_does_not_say_what_it_is_of_is_refused(task: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^Inbox: tasks\.0.*{said}"):
        Inbox.parse({"tasks": [task], "wait_ms": 1})


def test_work_of_a_run_is_not_of_an_attempt() -> None:
    with pytest.raises(InvalidInput, match="kind: "):
        AttemptTask.of(Work.NOISE, JOB, 1, 1)
    with pytest.raises(InvalidInput, match="kind: "):
        RunTask.of(Work.TRAIN, CAMPAIGN, 1)
