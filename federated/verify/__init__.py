"""The offline verifier's checks, and the replay of a model."""
