from tests.federated.protocol.conftest import consortium

__all__ = ["consortium"]
