"""Logs that anyone can check: events, Merkle trees, checkpoints, bundles and their verifier."""
