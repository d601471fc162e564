"""Errors of starting the services."""

from __future__ import annotations

from federated.errors import Conflict, Unavailable


class AlreadyRunning(Conflict):
    """Another supervisor holds this state directory."""

    code = "already_running"
    title = "The services run already"


class StateVersion(Conflict):
    """The state directory was made by another release; it is left as it is."""

    code = "state_version"
    title = "The state directory is of another release"


class PortInUse(Conflict):
    code = "port_in_use"
    title = "The address is in use"


class ServiceFailed(Unavailable):
    """A service that did not become ready; the message holds the end of its log."""

    code = "service_failed"
    title = "A service did not start"
    retryable = False
