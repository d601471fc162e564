"""Tenancy: which organization a request or task works for, and what the database lets it touch."""
