"""The embedded services: PostgreSQL, Valkey, the chain, gunicorn, Celery, and what keeps them up."""
