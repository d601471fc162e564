"""The ``federated`` command."""
