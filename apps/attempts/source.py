"""An app's attempts as the protocol's rules see them: what both apps read in the same way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone

from apps.common.models import Model
from apps.common.signed import SignedMessage
from federated.protocol.arrival import Held, work_due
from federated.protocol.attempt import State, View, trustees_asked
from federated.wire.site import Work


class Attempts(ABC):
    """Where an app keeps its attempts and their messages. An object without state."""

    rows: ClassVar[type[Model]]
    """The model of an attempt."""
    owner: ClassVar[str]
    """The attempt's foreign key to its job or campaign."""
    field: ClassVar[str]
    """The messages' foreign key to their attempt."""
    messages: ClassVar[Mapping[str, type[SignedMessage]]]
    """The model of each message by its name (``Kind.taken``), refusals among them."""

    @abstractmethod
    def held(self, row: Any) -> Held:
        """The attempt for ``arrival_check``."""

    @abstractmethod
    def expected(self, row: Any) -> int | None:
        """Contributions that complete it; None while more organizations may still join."""

    @abstractmethod
    def since(self, row: Any) -> datetime | None:
        """When the state was entered in which trustees are asked."""

    def stored(self, state: State) -> str:
        """The column's value of a state."""
        return state.value

    def sent(self, row: Any, message: str) -> QuerySet[Any]:
        """The messages of that name that arrived."""
        rows: QuerySet[Any] = self.messages[message].objects.filter(**{self.field: row})  # type: ignore[attr-defined]
        return rows

    def refusals(self, row: Any) -> dict[str, str]:
        """Those that count, in words, by organization."""
        counting = self.sent(row, "refusal").filter(counts=True)
        rows = counting.values_list("organization", "reason", "detail")
        return {name: f"{reason}: {detail}" for name, reason, detail in rows}

    def view(self, row: Any) -> View:
        """The attempt for ``advance``: of the messages, those that its state waits for."""
        held = self.held(row)
        agreement, taken = held.agreement, held.kind.taken

        def digests(message: str) -> dict[str, str]:
            if taken.get(message) is not held.state:
                return {}
            return dict(self.sent(row, message).values_list("organization", "digest"))

        return View(
            state=held.state,
            deadline=row.deadline.timestamp(),
            minimum=agreement.minimum(held.context),  # type: ignore[arg-type]
            expected=self.expected(row) if held.state is State.COLLECTING else None,
            threshold=agreement.threshold,
            serving=agreement.serving(held.approved),
            noising=held.kind.noising,
            contribution=held.kind.contribution,
            contributions=digests(held.kind.contribution),
            members=held.members,
            receipts=digests("receipt"),
            noise=digests("noise") if held.noised is None else held.noised.noise,
            shares=digests("share"),
            refusals={} if held.state is State.COLLECTING else self.refusals(row),
        )

    def asked(self, row: Any) -> list[str]:
        """The trustees that the attempt asks now."""
        since = self.since(row)
        return trustees_asked(
            self.view(row),
            number=row.number,
            since=None if since is None else since.timestamp(),
            seconds=self.held(row).agreement.seconds,
            now=timezone.now().timestamp(),
        )

    def work(self, row: Any, organization: str, *, sent: set[str]) -> Work | None:
        """What an open attempt asks of an organization that has sent these messages."""
        return work_due(self.held(row), organization, sent=sent, asked=lambda: self.asked(row))
