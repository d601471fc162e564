"""What runs beside an organization's data: its folder, ledger, policy and agent."""
