"""Starts and supervises the embedded services: database, broker, chain, web, workers."""
