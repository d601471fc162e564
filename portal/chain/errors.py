"""Errors of the chain: at start-up, and as answers to JSON-RPC callers."""

from federated.errors import Conflict, Unavailable


class StateInUse(Conflict):
    """Another process holds the state directory."""

    code = "chain_state_in_use"
    title = "The chain's state is in use"


class StateMismatch(Conflict):
    """The state directory belongs to another network."""

    code = "chain_state_mismatch"
    title = "The chain's state is of another network"


class PortInUse(Unavailable):
    """The port is taken."""

    code = "chain_port_in_use"
    title = "The chain's port is in use"


class RpcError(Exception):
    """A JSON-RPC 2.0 error object."""

    PARSE, REQUEST, METHOD, PARAMS, INTERNAL, REJECTED, REVERTED = (
        -32700,
        -32600,
        -32601,
        -32602,
        -32603,
        -32000,
        3,
    )

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def body(self) -> dict[str, object]:
        error: dict[str, object] = {"code": self.code, "message": self.message}
        return error if self.data is None else {**error, "data": self.data}
