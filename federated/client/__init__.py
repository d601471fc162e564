"""What runs beside an organization's data: the SDK, the site's agent, its ledger and policy."""
