"""What a scientist calls: the client, benchmarks, results."""
