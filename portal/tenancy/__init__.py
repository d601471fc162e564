"""Binds a request or task to one organization, and to that organization's database role."""
