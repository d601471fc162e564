"""Mechanisms, noise shares and the accountant: numpy and math, no torch."""
