"""The database engine ``portal.tenancy.backend``."""
