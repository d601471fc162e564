"""An auditor's report of a job, a campaign or a period, as one organization may see it."""
