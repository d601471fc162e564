"""The embedded services: databases, chain, web server, workers, and what keeps them up."""
