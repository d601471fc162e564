"""Peers, each run in a virtual environment of its own."""
