"""Model specs, data, bounded local training, the server's step and metrics."""
