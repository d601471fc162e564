"""The WSGI application that gunicorn serves."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
os.environ.setdefault("FSC_DB_POOL", "1")

from django.core.wsgi import get_wsgi_application

from portal.celery import app

# Celery's current app is one a thread; without a default, a request's thread would make an app of
# its own that looks for a broker that is not there.
app.set_default()
application = get_wsgi_application()
